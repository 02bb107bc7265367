"""The report as one HTML page: nothing is loaded from elsewhere, and every text of a record is escaped."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup, escape

from analysis.output.page import environment
from analysis.output.report.compared import compared, in_short
from analysis.output.report.costs import costs
from analysis.output.report.material import Material, gather
from analysis.output.report.origins import provenance, repetition
from analysis.output.report.parts import Section
from analysis.output.report.protocol import protocol
from analysis.output.report.results import explanations, frontier, learning_curves, main_tables, tests
from analysis.output.report.trouble import contamination, failures
from analysis.output.terminal import write_text
from analysis.records.load import places
from analysis.records.results import Results

PAGE_NAME = "report.html"
TITLE = "Benchmark report"
EXAMPLES = "examples"
SHORT = 24
"""A text of so many characters is never broken."""
_BREAKS = re.compile(r"(?<=[+=_/.,:;])(?=[^\s\d])|(?<=[a-z])(?=[A-Z])")


def write_report(results: Results, folder: Path | str, baseline: str | None = None) -> Path:
    """Writes `report.html` into a folder, which is made if it is missing; returns its path.

    Files that cannot be read are named on the page and are added to `results.problems`; the rest is shown.

    Args:
        results: the records, as `load_results` reads them.
        folder: where the page goes; an older page there is replaced once the new one is whole.
        baseline: the method that others are compared with, as tables name it; None takes `answer_only`, or the first
            one where that was not run.

    Raises:
        NoBaselineError: the baseline was run in no table.
        OSError: the page cannot be written.
    """
    material = gather(results.records, baseline)
    path = Path(folder).expanduser() / PAGE_NAME
    write_text(report_page(material), path)
    results.problems[:] = dict.fromkeys([*results.problems, *material.problems])
    return path


def report_page(material: Material) -> str:
    """The page as text."""
    template = environment()
    template.filters["breakable"] = breakable
    return template.get_template("report.html.j2").render(
        title=TITLE,
        where=places(material.records),
        sections=sections(material),
        examples=material.examples,
        methods=list(dict.fromkeys(a.method for q in material.examples.questions for a in q.answers)),
    )


def sections(material: Material) -> list[Section]:
    """All sections in the order of the page; the template fills in the one of the examples."""
    return [
        in_short(material),
        compared(material),
        protocol(material),
        main_tables(material),
        tests(material),
        frontier(material),
        learning_curves(material),
        explanations(material),
        costs(material),
        failures(material),
        contamination(material),
        Section(EXAMPLES, "Examples", []),
        provenance(material),
        repetition(material),
    ]


def breakable(text: str) -> Markup:
    """The escaped text with places at which a long name may go on in the next line."""
    return Markup("<wbr>").join(escape(part) for part in (_BREAKS.split(text) if len(text) > SHORT else [text]))

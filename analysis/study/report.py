"""What a study found, as markdown, tables and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.output.render import markdown_table
from analysis.output.terminal import write_text
from analysis.records.load import ResultsError
from analysis.study.constructs import HIGHEST, LOWEST, NAMES, QUALITY
from analysis.study.measures import (
    Coefficient,
    DunnPair,
    KruskalWallis,
    MeanRating,
    cronbach_alpha,
    dunn,
    krippendorff_alpha,
    kruskal_wallis,
    mean_ratings,
    models_of_quality,
)
from analysis.study.plan_file import Study
from analysis.study.submissions import ASIDE_COLUMNS, Ratings


@dataclass(frozen=True)
class Findings:
    """All statistics of a study."""

    methods: tuple[str, ...]
    """The methods with ratings, in the study's order."""
    means: list[MeanRating]
    """Per method and construct."""
    tests: list[KruskalWallis]
    """Per construct."""
    pairs: list[DunnPair]
    """Per construct and pair of methods."""
    coefficients: list[Coefficient]
    """Of both models of quality."""
    notes: list[str]
    """What a reader must know of the models."""
    cronbach: float
    """Cronbach's alpha of the five constructs."""
    agreement: dict[str, float]
    """Construct -> Krippendorff's alpha."""


def findings(study: Study, ratings: pd.DataFrame) -> Findings:
    """The statistics of the used ratings. Raises ResultsError if fewer than two methods were rated at least twice."""
    counts = ratings["method"].value_counts()
    methods = tuple(name for name in study.methods if counts.get(name, 0) >= 2)
    if len(methods) < 2:
        raise ResultsError(
            f"{len(ratings)} ratings can be used, and {len(methods)} methods have two or more: nothing to compare"
        )
    used = ratings[ratings["method"].isin(methods)]
    coefficients, notes = models_of_quality(used, methods)
    return Findings(
        methods=methods,
        means=mean_ratings(used, methods),
        tests=kruskal_wallis(used, methods),
        pairs=dunn(used, methods),
        coefficients=coefficients,
        notes=notes,
        cronbach=cronbach_alpha(used),
        agreement={name: krippendorff_alpha(used, name) for name in (*NAMES, QUALITY)},
    )


def report(study: Study, ratings: Ratings, found: Findings) -> str:
    """Markdown: who took part, means, tests, models, and what is kept aside."""
    return "\n\n".join(
        [
            f"# Study {study.id}",
            _taking_part(study, ratings),
            f"Means from {LOWEST} to {HIGHEST}, higher is better; 95 % intervals from people drawn anew.",
            _means(found),
            "Do methods differ (Kruskal-Wallis)? How far do people agree on the same explanation (Krippendorff)?",
            _tests(found),
            "Pairs (Dunn). A: how often the second is rated above the first, ties half; 0.5 is no difference.",
            _pairs(found),
            f"Quality, compared with {found.methods[0]}, in points of the scale; length per 100 characters.",
            _models(found),
            _reading(found),
            *([_kept_aside(ratings)] if ratings.aside else []),
        ]
    ) + "\n"  # fmt: skip


def write_findings(text: str, ratings: Ratings, found: Findings, folder: Path) -> list[Path]:
    """Writes the report's text and the tables into a folder; returns their paths. Older files are replaced."""
    tables = {
        "ratings": ratings.used,
        "aside": pd.DataFrame([asdict(row) for row in ratings.aside], columns=list(ASIDE_COLUMNS)),
        "means": _frame(found.means),
        "kruskal_wallis": _frame(found.tests),
        "dunn": _frame(found.pairs),
        "models": _frame(found.coefficients),
    }
    written = []
    for name, table in tables.items():
        write_text(table.to_csv(index=False), folder / f"{name}.csv")
        written.append(folder / f"{name}.csv")
    write_text(text, folder / "report.md")
    return [folder / "report.md", *written]


def _frame(rows: Sequence[Any]) -> pd.DataFrame:
    return pd.DataFrame([asdict(row) for row in rows])


def _taking_part(study: Study, ratings: Ratings) -> str:
    took_part = [count for count in ratings.forms.values() if count]
    pages = study.design.slots
    whole = sum(count == pages for count in took_part)
    return (
        f"{len(took_part)} of {len(study.pages)} people, {len(ratings.used)} ratings of "
        f"{ratings.used['item'].nunique()} explanations. {whole} rated all {pages} explanations. "
        f"{len(ratings.aside)} rows are kept aside."
    )


def _means(found: Findings) -> str:
    by = {(each.method, each.construct): each for each in found.means}
    columns = ("method", *NAMES, QUALITY, "ratings")
    rows = [
        [method, *(_interval(by[method, name]) for name in (*NAMES, QUALITY)), str(by[method, QUALITY].count)]
        for method in found.methods
    ]
    return markdown_table(columns, rows)


def _tests(found: Findings) -> str:
    rows = [
        [test.construct, f"{test.h:.2f}", str(test.degrees), _p(test.p), _p(test.p_holm) if test.construct != QUALITY
         else "-", _number(found.agreement[test.construct])]
        for test in found.tests
    ]  # fmt: skip
    columns = ("construct", "H", "df", "p", "p (Holm, five constructs)", "Krippendorff's alpha")
    return markdown_table(columns, rows)


def _pairs(found: Findings) -> str:
    rows = [
        [each.construct, f"{each.second} over {each.first}", f"{each.a:.3f}", _p(each.p_bonferroni), _p(each.p_holm)]
        for each in found.pairs
    ]
    return markdown_table(("construct", "pair", "A", "p (Bonferroni)", "p (Holm)"), rows)


def _models(found: Findings) -> str:
    rows = [
        [each.model, each.term, f"{each.estimate:+.3f}", f"{each.low:+.3f} to {each.high:+.3f}", _p(each.p)]
        for each in found.coefficients
    ]
    return markdown_table(("model", "term", "estimate", "95 %", "p"), rows)


def _reading(found: Findings) -> str:
    lines = [
        f"- Cronbach's alpha of the five constructs is {_number(found.cronbach)}: near 1, they measure one thing.",
        *(f"- {note}." for note in found.notes),
        "- The Kruskal-Wallis and Dunn tests take the ratings of one person as independent, as the paper's scripts "
        "do. Believe the mixed model first.",
    ]
    return "\n".join(lines)


def _kept_aside(ratings: Ratings) -> str:
    counts = Counter((row.file, row.reason) for row in ratings.aside)
    rows = [[file, str(count), reason] for (file, reason), count in counts.items()]
    return "Kept aside, not used (aside.csv holds the rows):\n\n" + markdown_table(("file", "rows", "reason"), rows)


def _interval(mean: MeanRating) -> str:
    return f"{mean.mean:.2f} ({mean.low:.2f} to {mean.high:.2f})"


def _number(value: float) -> str:
    return "not known" if value != value else f"{value:.2f}"


def _p(value: float) -> str:
    return "-" if value != value else "< .001" if value < 0.001 else f"{value:.3f}"

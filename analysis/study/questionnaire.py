"""What participants get: one web page each that needs no server, and a table for survey platforms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.study.constructs import ANCHORS, HIGHEST, LOWEST, NAMES
from analysis.study.plan_file import Page, Study
from benchmark.records.schema import CONSTRUCTS

TEMPLATE = "questionnaire.html.j2"
SECONDS_PER_PAGE = 45
NO_ANSWER, NO_EXPLANATION = "(no answer)", "(no explanation)"
INTRODUCTION = """\
You will read {pages} short questions. A computer program answered each of them and explained its answer. Please rate \
the explanations, not the answers: say how far you agree with five statements about each. No rating is right or wrong.

This takes about {minutes} minutes. Your ratings stay in this browser until you save them at the end. The saved file \
holds your ratings, the seconds per page and the code {participant}, and nothing else about you. You may stop at any \
time."""
CSV_COLUMNS = ("participant", "page", "item", "context", "question", "choices", "answer", "explanation", "instruction")


def page_of(study: Study, participant: str, introduction: str = INTRODUCTION) -> str:
    """The HTML of one participant's questionnaire; it names no method, record, dataset or test question's id."""
    pages = study.pages[participant]
    minutes = max(1, round(len(pages) * SECONDS_PER_PAGE / 60))
    for name, value in (("pages", len(pages)), ("minutes", minutes), ("participant", participant)):
        introduction = introduction.replace(f"{{{name}}}", str(value))
    content = {
        "study": study.id,
        "participant": participant,
        "pages": [_shown(study, page) for page in pages],
        "constructs": [{"name": name, "statement": statement} for name, statement in CONSTRUCTS.items()],
        "scale": list(range(LOWEST, HIGHEST + 1)),
        "anchors": list(ANCHORS),
    }
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    paragraphs = [part.strip() for part in introduction.split("\n\n") if part.strip()]
    return environment.get_template(TEMPLATE).render(
        content=content, introduction=paragraphs, title="Rate explanations", participant=participant
    )


def write_questionnaires(study: Study, folder: Path, introduction: str = INTRODUCTION) -> None:
    """Writes `questionnaires/CODE.html` for each participant, `pages.csv` and the empty `ratings.csv` to fill in.

    Raises FileExistsError if the folder `questionnaires` is there.
    """
    (folder / "questionnaires").mkdir()
    for participant in study.pages:
        path = folder / "questionnaires" / f"{participant}.html"
        path.write_text(page_of(study, participant, introduction), encoding="utf-8")
    rows = [_row(study, participant, page) for participant, pages in study.pages.items() for page in pages]
    pd.DataFrame(rows, columns=list(CSV_COLUMNS)).to_csv(folder / "pages.csv", index=False)
    empty = [{name: row[name] for name in ("participant", "page", "item")} for row in rows]
    form = pd.DataFrame(empty).reindex(columns=["participant", "page", "item", *NAMES])
    form.to_csv(folder / "ratings.csv", index=False)


def instruction(asked_for: int) -> str:
    """What an attention check tells the participant to do."""
    return (
        f"This page checks that you read. Please choose {asked_for} ({ANCHORS[asked_for - LOWEST]}) for all statements."
    )


def _shown(study: Study, page: Page) -> dict[str, Any]:
    if page.asked_for is not None:
        return {"item": page.item, "instruction": instruction(page.asked_for)}
    item = study.items[page.item]
    return {
        "item": page.item,
        "context": item.context,
        "question": item.question,
        "choices": list(item.choices or ()),
        "answer": item.answer or NO_ANSWER,
        "explanation": item.explanation or NO_EXPLANATION,
    }


def _row(study: Study, participant: str, page: Page) -> Mapping[str, Any]:
    shown = _shown(study, page)
    choices = json.dumps(shown["choices"], ensure_ascii=False) if shown.get("choices") else None
    return {**shown, "choices": choices, "participant": participant, "page": page.number}

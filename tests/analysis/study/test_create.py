"""Questionnaires are balanced, blinded and the same for the same seed."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.commands.app import main
from analysis.study.assignment import AssignmentError, Design, assign, questions_for
from analysis.study.plan_file import read_study
from tests.analysis.study.study_files import METHODS, explanations, make_study, write_explained

Capture = pytest.CaptureFixture[str]


@settings(max_examples=60, deadline=None)
@example(methods=6, people=1, slots=2, available=3, seed=0)
@given(
    methods=st.integers(2, 7), people=st.integers(1, 40), slots=st.integers(1, 15), available=st.integers(1, 90),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_everyone_sees_all_methods_alike_and_no_question_twice(
    methods: int, people: int, slots: int, available: int, seed: int
) -> None:
    most = -(-slots // methods)
    design = Design(people, slots, most, ratings_per_explanation=2, attention_checks=1)
    try:
        questions = questions_for(design, methods, available)
    except AssignmentError:
        assert all(math.gcd(number, methods) > 1 for number in range(slots, available + 1))
        return
    everything: Counter[tuple[int, int]] = Counter()
    for pages in assign(design, methods, questions, seed):
        shown = [page for page in pages if page.asked_for is None]
        assert len(shown) == slots
        assert len(pages) == slots + 1
        assert pages[0].asked_for is None
        assert len({page.question for page in shown}) == slots
        of_methods = Counter(page.method for page in shown)
        assert max(of_methods.values()) <= most
        assert max(of_methods.values()) - min(of_methods.get(number, 0) for number in range(methods)) <= 1
        everything.update((page.question, page.method) for page in shown)
    counts = [everything[q, m] for q in range(questions) for m in range(methods)]
    assert max(counts) - min(counts) <= 1


def test_each_explanation_gets_about_as_many_ratings_as_wanted() -> None:
    design = Design(participants=100, ratings_per_explanation=3)
    questions = questions_for(design, 4, 1000)
    assert questions == 99  # 100 would share a divisor with 4 methods
    counts = Counter(
        (p.question, p.method) for pages in assign(design, 4, questions, 0) for p in pages if p.question >= 0
    )
    assert set(counts.values()) == {3, 4}
    assert questions_for(design, 4, 50) == 49  # too few questions: more ratings each


@pytest.mark.parametrize(
    ("design", "available", "message"),
    [
        (Design(5), 30, "2 methods at most 3 times each fill 6 of 12 slots: lower --slots to 6, or raise .* to 6"),
        (Design(5, slots=6), 5, "5 questions were explained by all methods, fewer than the 6 slots"),
        (
            Design(5, slots=6),
            6,
            "common divisor with 2 methods, .*: explain 7 test questions",
        ),
    ],
)
def test_a_design_that_does_not_fit_says_what_to_change(design: Design, available: int, message: str) -> None:
    with pytest.raises(AssignmentError, match=message):
        questions_for(design, 2, available)


def test_participants_get_pages_that_give_nothing_away(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_explained(results)
    folder = tmp_path / "study"
    command = ["study", "create", "--results", str(results), "--output", str(folder), "--participants", "10"]
    assert main(command) == 0
    assert "10 questionnaires, 4 methods" in capsys.readouterr().out
    study = read_study(folder)
    pages = sorted(path.stem for path in (folder / "questionnaires").iterdir())
    assert pages == list(study.pages) == [f"p{number:02d}" for number in range(1, 11)]
    sent = [*(folder / "questionnaires").iterdir(), folder / "pages.csv", folder / "ratings.csv"]
    for path in sent:
        text = path.read_text(encoding="utf-8")
        for secret in ("trait_choice", *(item.cell_id for item in study.items.values())):
            assert secret not in text, path.name
        for method in METHODS:
            assert method not in text, path.name
        assert "http://" not in text
        assert "https://" not in text
    table = pd.read_csv(folder / "pages.csv")
    assert len(table) == 10 * 13
    assert table.groupby("participant")["instruction"].count().eq(1).all()
    assert set(table["item"].dropna()) >= {page.item for page in study.pages["p03"]}


def test_the_same_seed_makes_the_same_study_and_another_does_not(results: Path) -> None:
    write_explained(results, seeds=(1, 2))
    one, again, other = (make_study(results, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one.id != other.id
    assert one.pages != other.pages


def test_nobody_reads_what_an_untrained_student_wrote(results: Path) -> None:
    write_explained(results, methods=(*METHODS, "untrained"))
    assert make_study(results).methods == METHODS


def test_explanations_come_from_all_seeds_of_a_method(results: Path) -> None:
    write_explained(results, seeds=(1, 2, 3))
    study = make_study(results, people=30)
    used = Counter(item.cell_id for item in study.items.values())
    assert len(used) == 12
    assert min(used.values()) > 2


def test_a_text_cannot_break_out_of_its_page(results: Path, tmp_path: Path) -> None:
    write_explained(results)
    wicked = "</script><script>alert(1)</script><!-- & \u2028"
    for path in results.glob("*/explanations.parquet"):
        frame = explanations("x", 30)
        frame["explanation"] = wicked
        frame.to_parquet(path)
    folder = tmp_path / "study"
    assert main(["study", "create", "--results", str(results), "--output", str(folder), "--participants", "1"]) == 0
    text = (folder / "questionnaires" / "p1.html").read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--slots", "99"], "4 methods at most 3 times each fill 12 of 99 slots"),
        (["--student", "large"], "there is no student 'large': tiny"),
        (["--right-only", "--slots", "21", "--most-per-method", "9"], "20 questions were explained by all methods"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_writes_nothing(
    results: Path, tmp_path: Path, capsys: Capture, more: list[str], message: str
) -> None:
    write_explained(results)
    folder = tmp_path / "study"
    command = ["study", "create", "--results", str(results), "--output", str(folder), "--participants", "5"]
    assert main([*command, *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not folder.exists()


def test_a_study_that_is_there_stays(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_explained(results)
    command = ["study", "create", "--results", str(results), "--output", str(tmp_path / "s"), "--participants", "5"]
    assert main(command) == 0
    before = (tmp_path / "s" / "study.json").read_bytes()
    assert main([*command, "--seed", "1"]) == 2
    assert "may hold a study that runs" in capsys.readouterr().err
    assert (tmp_path / "s" / "study.json").read_bytes() == before


def test_cells_without_explanations_are_named_with_the_command(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_explained(results, methods=METHODS[:3])
    next(results.glob("*/explanations.parquet")).unlink()
    command = ["study", "create", "--results", str(results), "--output", str(tmp_path / "s"), "--participants", "5"]
    assert main([*command, "--slots", "6"]) == 0
    error = capsys.readouterr().err
    assert "has no explanations" in error
    assert "python -m benchmark explain RESULTS/CELL" in error


def test_students_and_datasets_are_not_mixed(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_explained(results)
    write_explained(results, student="small")
    command = ["study", "create", "--results", str(results), "--output", str(tmp_path / "s"), "--participants", "5"]
    assert main(command) == 2
    assert "a study shows one student, and here are small, tiny: choose one with --student" in capsys.readouterr().err
    assert main([*command, "--student", "small"]) == 0

"""What is sent to a teacher and how its reply is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
import pytest

from benchmark.errors import ConfigError
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.teachers.prompts import PromptLibrary, folder_of, prompt_library_for
from benchmark.teachers.replies import split_answer
from benchmark.types import Question

QUESTION = Question("q", "1+2")


@pytest.mark.parametrize(
    ("text", "rationale", "answer"),
    [
        ("4+3=7. The answer is 7.", "4+3=7.", "7"),
        ("4+3=7. The answer is 7", "4+3=7.", "7"),
        ("4+3=7. The answer is  7 .", "4+3=7.", "7"),
        ("It is half. The answer is 3.5.", "It is half.", "3.5"),
        ("It is half. The answer is 3.50", "It is half.", "3.50"),
        ("One. The answer is (b) river bank.", "One.", "(b) river bank"),
        # Missing clause: the reasoning stays.
        ("4+3=7.", "4+3=7.", None),
        ("4+3=7. So 7", "4+3=7. So 7", None),
        # Two clauses: the last counts, as a model that corrects itself means it.
        ("The answer is 5. No: 4+3=7. The answer is 7.", "The answer is 5. No: 4+3=7.", "7"),
        # A base model runs on into a question of its own.
        ("4+3=7. The answer is 7.\n\nQ: 1+1\nA: 1+1=2. The answer is 2.", "4+3=7.", "7"),
        ("4+3=7.\nQ: 1+1\nA: The answer is 2.", "4+3=7.", None),
        ("\nQ: 1+1\nA: The answer is 2.", None, None),
        # Line feeds.
        ("First 4.\nThen 7.\nThe answer is\n7.\n", "First 4.\nThen 7.", "7"),
        ("The answer is 7.", None, "7"),
        ("The answer is", None, None),
        ("The answer is .", None, None),
        ("Well. The answer is ", "Well.", None),
        ("", None, None),
        ("  \n ", None, None),
        ("Does Q: mean question? The answer is yes.", "Does Q: mean question?", "yes"),
    ],
)
def test_split_answer(text: str, rationale: str | None, answer: str | None) -> None:
    assert split_answer(text) == (rationale, answer)


def chain_sums() -> GeneratedDataset:
    return GeneratedDataset(
        name="chain_sum",
        generator="benchmark.tasks.chain_sum",
        task=GeneratedAnswer(),
        exemplars=(Exemplar("4+3-5", "4+3=7;7-5=2.", "2"), Exemplar("1-8+5", "1-8=-7;-7+5=-2.", "-2")),
        pool_size=300,
        validation_size=5,
        test_size=5,
    )


def test_the_shared_template_word_for_word() -> None:
    request = PromptLibrary().render("few_shot_cot", Question("q", "1+2+3"), chain_sums())
    assert request.prompt == (
        "Q: 4+3-5\nA: 4+3=7;7-5=2. The answer is 2.\n\nQ: 1-8+5\nA: 1-8=-7;-7+5=-2. The answer is -2.\n\nQ: 1+2+3\nA:"
    )
    assert (request.role, request.question_id, request.temperature, request.max_new_tokens) == (
        "few_shot_cot",
        "q",
        0.0,
        None,
    )


def test_exemplars_and_question_show_their_options() -> None:
    dataset = replace(
        chain_sums(),
        name="choice",
        task=MultipleChoice(),
        exemplars=(Exemplar("Where?", "There.", "sea", ("sea", "sky")),),
    )
    request = PromptLibrary().render("few_shot_cot", Question("q", "Who?", ("ann", "bob")), dataset)
    assert request.prompt == (
        "Q: Where?\nAnswer choices:\n(a) sea\n(b) sky\nA: There. The answer is sea.\n\n"
        "Q: Who?\nAnswer choices:\n(a) ann\n(b) bob\nA:"
    )


def test_each_exemplar_reads_back_as_its_own_answer() -> None:
    dataset = chain_sums()
    prompt = PromptLibrary().render("few_shot_cot", Question("q", "1+2+3"), dataset).prompt
    for exemplar, block in zip(dataset.exemplars, prompt.split("\n\n"), strict=False):
        assert split_answer(block.partition("A:")[2]) == (exemplar.rationale, exemplar.answer)


def test_no_gold_of_the_asked_question_is_in_the_prompt(tmp_path: Path) -> None:
    """The prompt depends on the question without its gold fields: nothing else is handed to the template."""
    (tmp_path / "few_shot_cot.j2").write_text("{{ question.answer }}")
    example = chain_sums().load().pool[0]
    for field in ("answer", "rationale", "gold"):
        (tmp_path / f"leak_{field}.j2").write_text("{{ question." + field + " }}")
        with pytest.raises(jinja2.UndefinedError):
            PromptLibrary((tmp_path,)).render(f"leak_{field}", example.without_gold(), chain_sums())
    marked = replace(example, answer="987654321", rationale="RATIONALE-OF-GOLD")
    prompt = PromptLibrary().render("few_shot_cot", marked.without_gold(), chain_sums()).prompt
    assert "987654321" not in prompt
    assert "RATIONALE-OF-GOLD" not in prompt
    assert prompt == PromptLibrary().render("few_shot_cot", example.without_gold(), chain_sums()).prompt


def test_an_undefined_variable_is_an_error_not_a_blank(tmp_path: Path) -> None:
    (tmp_path / "hint.j2").write_text("Q: {{ shown }} Hint: {{ hint }}")
    library = PromptLibrary((tmp_path,))
    with pytest.raises(jinja2.UndefinedError, match="hint"):
        library.render("hint", Question("q", "1+2+3"), chain_sums())
    assert library.render("hint", Question("q", "1+2"), chain_sums(), hint="add").prompt == "Q: 1+2 Hint: add"


def test_text_is_not_escaped(tmp_path: Path) -> None:
    (tmp_path / "plain.j2").write_text("{{ shown }}")
    asked = Question("q", 'Is 1 < 2 & "3" > 2? {{ not_a_variable }}')
    assert PromptLibrary((tmp_path,)).render("plain", asked, chain_sums()).prompt == asked.text


def test_folders_come_before_the_shared_one_and_change_the_fingerprint(tmp_path: Path) -> None:
    shared = PromptLibrary().fingerprint("few_shot_cot")
    (tmp_path / "few_shot_cot.j2").write_text("Mine: {{ shown }}")
    mine = PromptLibrary((tmp_path,))
    assert mine.render("few_shot_cot", Question("q", "1+2"), chain_sums()).prompt == "Mine: 1+2"
    assert mine.fingerprint("few_shot_cot") != shared
    assert PromptLibrary((tmp_path / "nothing_here",)).fingerprint("few_shot_cot") == shared


def test_a_missing_template_names_the_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"no prompt template critique\.j2 in {tmp_path}"):
        PromptLibrary((tmp_path,)).render("critique", Question("q", "1+2"), chain_sums())


@dataclass(frozen=True)
class PartHere:
    """A part whose templates would lie beside this file."""


def test_the_library_of_a_method_lies_beside_its_parts() -> None:
    assert prompt_library_for([PartHere()]).folders == (Path(__file__).parent,)


def test_a_folder_of_a_papers_own_takes_the_place_of_the_shared_one(tmp_path: Path) -> None:
    assert folder_of(str(tmp_path / "paper.py")) == tmp_path
    (tmp_path / "prompts" / "paper").mkdir(parents=True)
    assert folder_of(str(tmp_path / "paper.py")) == tmp_path / "prompts" / "paper"
    assert folder_of(str(tmp_path / "other.py")) == tmp_path


@pytest.mark.parametrize("touched", ["role.j2", "frame.j2", "inner.j2", "exemplars.yaml", "more.yaml"])
def test_a_roles_fingerprint_is_its_template_what_that_includes_and_the_data_beside_it(
    touched: str, tmp_path: Path
) -> None:
    files = {
        "role.j2": '{% from "frame.j2" import framed %}{{ framed(shown) }}',
        "frame.j2": '{% macro framed(text) %}{% include "inner.j2" %}{{ text }}{% endmacro %}',
        "inner.j2": "Q: ",
        "unused.j2": "nobody asks for this",
        "exemplars.yaml": "- question: 1+1",
        "more.yaml": "- word",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    library = PromptLibrary((tmp_path,))
    before = library.fingerprint("role")
    assert library.render("role", Question("q", "1+2"), chain_sums()).prompt == "Q: 1+2"
    (tmp_path / "unused.j2").write_text("nor for this")
    assert library.fingerprint("role") == before
    (tmp_path / touched).write_text(files[touched] + "\n")
    assert library.fingerprint("role") != before
    (tmp_path / touched).write_text(files[touched])
    assert library.fingerprint("role") == before


def test_two_parts_with_one_role_are_refused(tmp_path: Path) -> None:
    folders = (tmp_path / "one", tmp_path / "other")
    for folder in folders:
        folder.mkdir()
        (folder / "critique.j2").write_text("{{ shown }}")
    library = PromptLibrary(folders)
    for attempt in (
        lambda: library.fingerprint("critique"),
        lambda: library.render("critique", QUESTION, chain_sums()),
    ):
        with pytest.raises(ConfigError, match=r"two parts bring a prompt template critique\.j2: .*; rename one role"):
            attempt()
    (folders[1] / "critique.j2").unlink()
    assert library.render("critique", QUESTION, chain_sums()).prompt == "1+2"


def test_a_computed_include_is_refused(tmp_path: Path) -> None:
    (tmp_path / "role.j2").write_text("{% include shown %}")
    with pytest.raises(ConfigError, match="computed name"):
        PromptLibrary((tmp_path,)).fingerprint("role")

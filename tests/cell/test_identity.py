"""Who a cell is: every key of the config either changes its id or does not, and so does what lies outside of it."""

from __future__ import annotations

import copy
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import methods.honey.annotation
from benchmark.cell.identity import cell_id, source_hash

Run = Callable[..., Any]

LICENCES = ("dataset.licence", "teacher.licence", "student.licence")
EXECUTION = (
    "trainer.",
    "logger.",
    "results_dir",
    "data_dir",
    "store_path",
    "references",
    "evaluation.paid_teacher_accuracy",
    "teacher.price.",
    "method",
    "mode",
    *LICENCES,
)
"""What says where, how fast and under which name; `method` is only a label beside the axes."""
OF_THE_UNTRAINED = ("dataset.", "student.", "format.", "evaluation.", "seed")
"""All that can change what an untrained student answers."""
OTHER: Mapping[str, Any] = {
    "optimization.decay": "constant",
    "optimization.precision": "bf16-mixed",
    "student.overlong": "truncate",
    "format.labels": "human",
    "teacher.thinking": "keep",
    "format.thinking": "strip",
    "annotation.reading": "flexible",
    "annotation.annotators[0].reading": "flexible",
    "mode": "plan",
    "pool": "covered",
    "dataset.generator": "benchmark.tasks.trait_choice",
    "trainer.evaluation_batch_size": 3,
    "data_dir": "elsewhere",
    "store_path": "elsewhere",
    "trainer.accelerator": "cpu",
    "trainer.threads": 1,
    "budget.calls": 50,
    "budget.tokens": 5000,
    "budget.usd": 0.5,
    "evaluation.max_new_tokens": 9,
    "evaluation.validation_size": 5,
    "evaluation.option_likelihood": "total",
    "optimization.validation_every_n_steps": 7,
    "dataset.exemplars[0].choices": ["2", "3"],
}
"""Another valid value, where the usual change of a value of its type gives none."""


def keys(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every (key, value) of a plain config, but `_target_`s, which stand for a choice of option."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key not in ("hydra", "_target_"):
                yield from keys(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from keys(value, f"{path}[{i}]")
    else:
        yield path, config


def another(key: str, value: Any) -> Any:
    """A valid value that is not the key's own."""
    if key in OTHER:
        assert OTHER[key] != value, f"{key}={value!r} is the default now: give another valid value in OTHER"
        return OTHER[key]
    match value:
        case bool():
            return not value
        case int():
            return value + (value if key == "student.hidden_size" else 1) if "heads" not in key else value * 2
        case float():
            return value / 2 if value else 0.25
        case str():
            return value + "x"
    raise AssertionError(f"{key}={value!r}: give another valid value in OTHER")


@pytest.fixture(scope="module")
def base(compose: Run, miniature: tuple[str, ...]) -> Callable[[str], Any]:
    """The composed miniature of a method."""
    known: dict[str, Any] = {}

    def composed(method: str) -> Any:
        if method not in known:
            known[method] = compose((*miniature, f"method={method}"))
        return known[method]

    return composed


def changed(config: Any, key: str, value: Any) -> Any:
    config = copy.deepcopy(config)
    OmegaConf.update(config, key, value, force_add=True)
    return config


def plain(config: Any) -> Any:
    return OmegaConf.to_container(OmegaConf.masked_copy(config, [k for k in config if k != "hydra"]), resolve=True)


@pytest.mark.parametrize("method", ["rationale_then_answer", "step_by_step"])
def test_every_key_is_of_the_science_or_of_the_execution(method: str, base: Run, read: Run) -> None:
    config = base(method)
    own = cell_id(read(config))
    assert own == cell_id(read(copy.deepcopy(config)))
    wrong = []
    for key, value in keys(plain(config)):
        theirs = cell_id(read(changed(config, key, another(key, value))))
        if (theirs == own) != key.startswith(EXECUTION):
            wrong.append(key)
    assert not wrong, f"these keys change the id and should not, or the other way round: {wrong}"


def test_all_changes_give_ids_of_their_own(base: Run, read: Run) -> None:
    config = base("rationale_then_answer")
    science = [(key, value) for key, value in keys(plain(config)) if not key.startswith(EXECUTION)]
    ids = [cell_id(read(changed(config, key, another(key, value)))) for key, value in science]
    twins = [
        (a, b) for (a, i), (b, j) in itertools.combinations(zip([k for k, _ in science], ids, strict=True), 2) if i == j
    ]
    assert not twins


def test_the_untrained_student_is_its_data_its_weights_and_its_prompt(base: Run, read: Run) -> None:
    config = base("untrained")
    own = cell_id(read(config))
    wrong = []
    for key, value in keys(plain(config)):
        if key == "optimization.precision":
            continue  # has a test of its own
        theirs = cell_id(read(changed(config, key, another(key, value))))
        if (theirs != own) != (key.startswith(OF_THE_UNTRAINED) and not key.startswith(EXECUTION)):
            wrong.append(key)
    assert not wrong


def test_names_of_prerequisites_are_no_science(base: Run, read: Run) -> None:
    config = base("rationale_then_answer")
    named = changed(config, "prerequisites", {"mentor": ["method=gold_answers"]})
    assert cell_id(read(named)) == cell_id(read(config))


def test_precision_changes_what_an_untrained_student_answers(base: Run, read: Run) -> None:
    config = base("untrained")
    assert cell_id(read(config)) != cell_id(read(changed(config, "optimization.precision", "bf16-mixed")))


def test_prices_count_where_dollars_are_limited(base: Run, read: Run) -> None:
    config, key = base("rationale_then_answer"), "teacher.price.usd_per_million_prompt_tokens"
    for limit, counts in (("budget.calls", False), ("budget.tokens", False), ("budget.usd", True)):
        limited = changed(config, limit, 50)
        assert (cell_id(read(limited)) != cell_id(read(changed(limited, key, 7.5)))) is counts


def test_gold_answers_know_no_teacher(base: Run, read: Run) -> None:
    config = base("gold_answers")
    own = cell_id(read(config))
    teacher = [(key, value) for key, value in keys(plain(config)) if key.startswith("teacher.")]
    assert {cell_id(read(changed(config, key, another(key, value)))) for key, value in teacher} == {own}
    for key in ("budget.questions", "data_seed", "optimization.max_steps", "seed"):
        assert cell_id(read(changed(config, key, 7))) != own


def test_the_covered_pool_knows_its_teacher(base: Run, read: Run) -> None:
    config = changed(base("gold_answers"), "pool", "covered")
    assert cell_id(read(config)) != cell_id(read(changed(config, "teacher.seed", 5)))


SPELLINGS = [
    (["teacher.confidence_concentration=4"], ["teacher.confidence_concentration=4.0"]),
    (["optimization.learning_rate=0.003"], ["optimization.learning_rate=3e-3"]),
    (["optimization.gradient_clip=1"], ["optimization.gradient_clip=1.0"]),
    (["budget=questions_100", "budget.questions=20"], ["budget.questions=20"]),
    (["format=rationale_then_answer"], []),
    (["~format.answer_marker"], []),
    (["method=answer_only"], ["format=answer_only"]),
    (["data_seed=3"], ["data_seed=3", "teacher.seed=3"]),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS, ids=lambda overrides: " ".join(overrides) or "nothing")
def test_two_ways_to_say_one_thing(one: list[str], other: list[str], cell: Run, miniature: tuple[str, ...]) -> None:
    assert cell_id(cell((*miniature, *one))) == cell_id(cell((*miniature, *other)))


def test_100_and_100_0_are_one_number(base: Run, read: Run) -> None:
    from benchmark.errors import ConfigError

    config = base("rationale_then_answer")
    own = cell_id(read(changed(config, "teacher.confidence_concentration", 100)))
    assert own == cell_id(read(changed(config, "teacher.confidence_concentration", 100.0)))
    with pytest.raises(ConfigError, match=r"budget.questions=100.0"):  # a whole number is not written so
        read(changed(config, "budget.questions", 100.0))


# --- what lies outside the config ---------------------------------------------------------------------------------


def touched(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "before", "after", "same"),
    [
        ("train.jsonl", "Ann", "Ann", True),
        ("train.jsonl", "Ann", "Amy", False),
        ("test.jsonl", "apples", "pears", False),
        ("teacher_palm540b.jsonl", "5+2=7", "5+2=8", False),
    ],
)
def test_content_counts_and_its_folder_does_not(
    file: str, before: str, after: str, same: bool, cell: Run, write_svamp: Run, tmp_path: Path
) -> None:
    here, there = (cell(write_svamp(tmp_path / name)) for name in ("here", "there"))
    touched(tmp_path / "there" / "svamp" / file, before, after)
    assert (cell_id(here) == cell_id(there)) == same


def test_gold_answers_do_not_know_the_recording(cell: Run, write_svamp: Run, tmp_path: Path) -> None:
    overrides = [write_svamp(tmp_path / name) for name in ("here", "there")]
    touched(tmp_path / "there" / "svamp" / "teacher_palm540b.jsonl", "5+2=7", "5+2=8")
    here, there = (cell((*each, "method=gold_answers")) for each in overrides)
    assert cell_id(here) == cell_id(there)


@pytest.fixture
def model_id(cell: Run, miniature: tuple[str, ...], tmp_path: Path) -> Callable[[str], str]:
    """The id of a cell whose student lies in a folder of `tmp_path`; `here` and `there` hold the same model."""
    source = cell(()).student
    source.network(1).save_pretrained(tmp_path / "here")
    source.tokenizer().save_pretrained(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    return lambda name: cell_id(cell((*miniature, "student=smollm2_135m", f"student.path={tmp_path / name}")))


def test_a_model_is_the_same_in_another_folder(model_id: Callable[[str], str]) -> None:
    assert model_id("here") == model_id("there")


def test_a_model_is_its_bytes(model_id: Callable[[str], str], tmp_path: Path) -> None:
    own, weights = model_id("here"), tmp_path / "here" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert model_id("here") != own
    weights.write_bytes(content)
    assert model_id("here") == own
    touched(tmp_path / "here" / "tokenizer.json", "<unk>", "<unk >")
    assert model_id("here") != own


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_model_is_also_how_it_is_prompted(name: str, model_id: Callable[[str], str], tmp_path: Path) -> None:
    own, path = model_id("here"), tmp_path / "here" / name
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    assert model_id("here") != own


TEMPLATE = "{% for e in exemplars %}Q: {{ e.shown }}\nA: {{ e.rationale }}\n{% endfor %}Q: {{ shown }}\nA:"
SOURCE = '''
    """What the module is."""
    from dataclasses import dataclass
    from benchmark.axes.annotation import FewShotCot

    KNOWN = 3
    """What the constant is."""

    @dataclass(frozen=True)
    class Mine(FewShotCot):
        """What the class is."""

        known: int = KNOWN
        """What the field is."""

        def most_requests(self, question, context):
            """What the method does."""
            return super().most_requests(question, context)  # a remark
'''


RETURN = "return super().most_requests(question, context)"


def own_annotator(plugin: Run, module: str, source: str = SOURCE, template: str = TEMPLATE, **files: str) -> str:
    return plugin(
        {f"{module}/__init__.py": "", f"{module}/mine.py": source, f"{module}/few_shot_cot.j2": template}
        | {f"{module}/{name}.py": text for name, text in files.items()},
        {"annotation/mine": f"_target_: {module}.mine.Mine\nsamples: 1\ntemperature: 0.0\n"},
    )


def plain_id(identity: Mapping[str, Any], module: str) -> str:
    """An identity as text, without the name of the module."""
    return repr(identity).replace(module, "MODULE")


def test_the_template_beside_a_method_counts(cell: Run, plugin: Run, miniature: tuple[str, ...]) -> None:
    from benchmark.cell.identity import identity

    ids = []
    for module, template in (("plug_id_t1", TEMPLATE), ("plug_id_t2", TEMPLATE), ("plug_id_t3", TEMPLATE + " ")):
        folder = own_annotator(plugin, module, template=template)
        ids.append(plain_id(identity(cell((folder, *miniature, "annotation=mine"))), module))
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


HONEY = Path(methods.honey.annotation.__file__)
HONEY_PROMPTS = HONEY.parent / "prompts" / HONEY.stem


@pytest.mark.parametrize("name", sorted(path.name for path in HONEY_PROMPTS.iterdir()))
def test_a_papers_templates_and_exemplars_count(
    name: str, cell: Run, plugin: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    from benchmark.cell.identity import identity

    whos = []
    for edition, addition in (("first", ""), ("same", ""), ("edited", "\n")):
        module = f"plug_honey_{edition}_{name.partition('.')[0]}_{name.partition('.')[2]}"
        folder = tmp_path / edition
        shutil.copytree(HONEY.parent / "prompts", folder / module / "prompts")
        with (folder / module / "prompts" / HONEY.stem / name).open("a", encoding="utf-8") as file:
            file.write(addition)
        settings = (HONEY.parents[2] / "conf" / "annotation" / "critique_revision.yaml").read_text(encoding="utf-8")
        override = plugin(
            {f"{module}/__init__.py": "", f"{module}/{HONEY.name}": HONEY.read_text(encoding="utf-8")},
            {f"annotation/{module}": settings.replace("methods.honey.annotation", f"{module}.{HONEY.stem}")},
            folder,
        )
        who = identity(cell((override, *miniature, "dataset=trait_choice", f"annotation={module}")))
        whos.append(plain_id(who, module))
    assert whos[0] == whos[1]
    assert whos[0] != whos[2]


SAME = [
    ("comment", SOURCE.replace("# a remark", "# another remark")),
    ("docstring", SOURCE.replace("What the method does", "Something else").replace("What the class is", "A class")),
    ("text_under_a_field", SOURCE.replace("What the field is", "What it says")),
    ("text_under_a_constant", SOURCE.replace("What the constant is", "What it says")),
    ("undocumented_field", SOURCE.replace('        """What the field is."""\n', "")),
    ("undocumented_constant", SOURCE.replace('    """What the constant is."""\n', "")),
    (
        "layout",
        SOURCE.replace(RETURN, "return (\n                super().most_requests(question, context)\n            )"),
    ),
]
OTHERS = [
    ("code", SOURCE.replace(RETURN, "return 2 * super().most_requests(question, context)")),
    ("constant", SOURCE + "\n    LIMIT = 3\n"),
    ("default", SOURCE.replace("known: int = KNOWN", "known: int = 4")),
    ("text_that_is_used", SOURCE.replace("KNOWN = 3", 'KNOWN = "3"')),
]


@pytest.mark.parametrize(
    ("source", "same"),
    [*(pytest.param(text, True, id=name) for name, text in SAME), *(pytest.param(t, False, id=n) for n, t in OTHERS)],
)
def test_a_method_is_its_code_and_not_its_words(source: str, same: bool, plugin: Run, request: Any) -> None:
    import importlib

    name = f"plug_id_source_{request.node.callspec.id}"
    plugin({f"{name}_a.py": SOURCE, f"{name}_b.py": source}, {})
    for module in (f"{name}_a", f"{name}_b"):
        importlib.import_module(module)
    assert (source_hash(f"{name}_a") == source_hash(f"{name}_b")) == same


def with_helper(how: str) -> str:
    return SOURCE.replace("from dataclasses", f"{how}\n    from dataclasses", 1)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("module", "import {module}.inner"),
        ("value", "from {module}.inner import VALUE"),
        pytest.param(
            "from_package",
            "from {module} import inner",
        ),
        pytest.param(
            "relative",
            "from .inner import VALUE",
        ),
    ],
)
def test_what_a_method_imports_from_its_own_package_counts(
    name: str, how: str, cell: Run, plugin: Run, miniature: tuple[str, ...]
) -> None:
    from benchmark.cell.identity import identity

    seen = []
    for letter, inner in (("a", "VALUE = 1\n"), ("b", "VALUE = 2\n")):
        module = f"plug_id_inner_{name}_{letter}"
        folder = own_annotator(plugin, module, with_helper(how.format(module=module)), inner=inner)
        seen.append(plain_id(identity(cell((folder, *miniature, "annotation=mine"))), module))
    assert seen[0] != seen[1]


def test_the_code_of_a_task_of_others_counts(cell: Run, plugin: Run, miniature: tuple[str, ...]) -> None:
    from benchmark.cell.identity import identity

    seen = []
    for letter, tolerance in (("a", 0), ("b", 5)):
        module = f"plug_id_task_{letter}"
        source = f"""
            from dataclasses import dataclass
            from benchmark.tasks.generated_answer import GeneratedAnswer

            @dataclass(frozen=True)
            class Near(GeneratedAnswer):
                def is_correct(self, example, answer):
                    return answer is not None and abs(float(answer) - float(example.answer)) <= {tolerance}
        """
        plugin({f"{module}.py": source}, {})
        seen.append(plain_id(identity(cell((*miniature, f"dataset.task._target_={module}.Near"))), module))
    assert seen[0] != seen[1]


def test_a_new_engine_makes_new_cells(cell: Run, miniature: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmark.cell.identity as module

    before = cell_id(cell(miniature))
    monkeypatch.setattr(module, "ENGINE_VERSION", module.ENGINE_VERSION + 1)
    assert cell_id(cell(miniature)) != before


def test_values_without_a_canonical_form_are_refused() -> None:
    from benchmark.cell.identity import canonical

    with pytest.raises(TypeError, match="identity=False"):
        canonical(object())
    assert canonical({"b": (1, 2.5, None, frozenset({"z", "a"}))}) == [["b", [1, 2.5, None, ["a", "z"]]]]
    assert canonical({"b": 1, "a": 2}) != canonical({"a": 2, "b": 1})  # the order may count


def test_a_measure_that_is_off_changes_no_id(cell: Run, miniature: tuple[str, ...]) -> None:
    """Records of before the measure was known keep their ids."""
    from benchmark.cell.identity import identity

    assert "faithfulness_questions" not in identity(cell(miniature))["evaluation"]
    measured = cell((*miniature, "evaluation.faithfulness_questions=8"))
    assert identity(measured)["evaluation"]["faithfulness_questions"] == 8
    assert cell_id(measured) != cell_id(cell(miniature))

"""`evaluation.extra`: its datasets are composed like `dataset=NAME`, checked before any work, and part of the cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.identity import cell_id, identity
from benchmark.errors import ConfigError

Run = Callable[..., Any]
OWN = """
    defaults: [/dataset/chain_sum@_here_, _self_]
    name: sums_of_seed_${seed}
    test_size: 7
"""


def extras(*names: str) -> str:
    return f"evaluation.extra=[{','.join(names)}]"


def test_an_extra_dataset_is_what_dataset_would_choose(cell: Run, tmp_path: Path) -> None:
    data = f"data_dir={tmp_path}"
    made = cell((extras("svamp", "chain_sum_long"), data, "teacher=simulated", "dataset.pool_size=40"))
    own = [cell((f"dataset={name}", data)).dataset for name in ("chain_sum_long", "svamp")]
    assert list(made.extra_datasets) == own
    assert own[1].data_dir == str(tmp_path)
    assert made.dataset.pool_size == 40
    assert made.extra_datasets[0].pool_size == 2000  # settings of the cell's own dataset do not reach it
    assert cell(()).extra_datasets == ()


def test_a_teacher_that_names_the_cells_dataset_still_finds_it(cell: Run, tmp_path: Path) -> None:
    made = cell(("dataset=svamp", "teacher=palm540b", f"data_dir={tmp_path}", extras("gsm8k", "chain_sum_long")))
    assert [dataset.name for dataset in made.extra_datasets] == ["chain_sum_long", "gsm8k"]


def test_a_users_own_yaml_can_be_named(cell: Run, plugin: Run) -> None:
    folder = plugin({}, {"dataset/mine": OWN})
    [dataset] = cell((folder, extras("mine"), "seed=4")).extra_datasets
    assert (dataset.name, dataset.test_size) == ("sums_of_seed_4", 7)
    with pytest.raises(ConfigError, match="there is no dataset 'mines'; did you mean 'mine'"):
        cell((folder, extras("mines")))


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([extras("svmap")], "evaluation.extra: there is no dataset 'svmap'; did you mean 'svamp'?"),
        ([extras("chain_sum")], "chain_sum is called 'chain_sum', and the student is tested on 'chain_sum' already"),
        (["dataset=svamp", extras("svamp")], "svamp is called 'svamp'"),
        ([extras("svamp", "svamp")], "evaluation: extra names svamp twice"),
        (["evaluation.extra=svamp"], "evaluation.extra='svamp': input should be a valid array"),
        (["evaluation.extra=null"], "evaluation.extra=None"),
        (["evaluation.extra=[5]"], "evaluation.extra=[5]: input should be a valid string"),
        (["evaluation.extra=['a,b']"], "there is no dataset 'a,b'; valid: anli, chain_sum"),
        (["evaluation.extra=['']"], "there is no dataset ''; valid: anli"),
    ],
)
def test_a_list_that_cannot_be_is_refused(overrides: list[str], reason: str, command: Run, results: Any) -> None:
    for mode in ("run", "plan"):
        done = command(*overrides, f"mode={mode}", f"results_dir={results.path}")
        assert done.status == 2
        assert reason in done.complaint
    assert not results.path.exists()


def test_two_extras_of_one_name_and_a_faulty_one_are_refused(cell: Run, plugin: Run) -> None:
    twin = "defaults: [/dataset/chain_sum_long@_here_, _self_]\n"
    folder = plugin(
        {},
        {
            "dataset/twin": twin,
            "dataset/slashed": f"{twin}name: a/b\n",
            "dataset/faulty": f"{twin}test_sice: 5\n",
            "dataset/broken": "defaults: [/dataset/nowhere@_here_]\n",
        },
    )
    with pytest.raises(ConfigError, match="twin is called 'chain_sum_long', and the student is tested on"):
        cell((folder, extras("chain_sum_long", "twin")))
    with pytest.raises(ConfigError, match="'a/b' of slashed cannot be part of a file's name"):
        cell((folder, extras("slashed")))
    with pytest.raises(ConfigError, match=r"evaluation.extra.faulty.test_sice: .* did you mean 'test_size'"):
        cell((folder, extras("faulty")))
    from hydra.errors import MissingConfigException

    with pytest.raises(MissingConfigException, match="dataset/nowhere"):
        cell((folder, extras("broken")))


def test_an_empty_list_leaves_no_other_trace_in_the_identity(cell: Run, miniature: tuple[str, ...]) -> None:
    who = identity(cell(miniature))
    assert who["evaluation"]["extra"] == []
    assert "extra_datasets" not in who
    assert set(who["content"]) == {"dataset", "student", "prompt few_shot_cot", "teacher simulated"}


def test_a_cell_is_also_what_its_extras_hold(
    cell: Run, plugin: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    ids = set()
    for size in (7, 8):
        folder = plugin({}, {"dataset/mine": OWN.replace("7", str(size))}, tmp_path / str(size))
        ids.add(cell_id(cell((folder, *miniature, extras("mine")))))
    assert len(ids | {cell_id(cell(miniature)), cell_id(cell((*miniature, extras("chain_sum_long"))))}) == 4


def test_rows_of_an_extra_count_and_their_folder_does_not(
    cell: Run, write_svamp: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    def id_in(folder: str) -> str:
        return cell_id(cell((*miniature, extras("svamp"), f"data_dir={tmp_path / folder}")))

    rows = [{"id": f"t{i}", "question": f"q{i}?", "answer": "1"} for i in range(100)]
    for folder in ("here", "there", "changed"):
        write_svamp(tmp_path / folder, train=rows)
    path = tmp_path / "changed" / "svamp" / "test.jsonl"
    path.write_text(path.read_text().replace("apples", "pears", 1))
    assert id_in("here") == id_in("there") != id_in("changed")


def test_the_order_of_the_list_means_nothing(cell: Run, miniature: tuple[str, ...]) -> None:
    there, back = (
        cell((*miniature, extras(*names)))
        for names in (("chain_sum_long", "trait_choice"), ("trait_choice", "chain_sum_long"))
    )
    assert cell_id(there) == cell_id(back)
    assert [dataset.name for dataset in there.extra_datasets] == [dataset.name for dataset in back.extra_datasets]

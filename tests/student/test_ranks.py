"""What several processes share out and add up; a fit over real processes is in `tests/running/test_processes.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmark.student import ranks
from benchmark.student.generation import Draft
from tests.student.student_parts import shared_student, sums


class Group:
    """Runs a function in several threads, each of which is one of the processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.count = count
        self.sent: list[Any] = [None] * count
        self.exchanges = 0
        self._own = threading.local()
        self._meet = threading.Barrier(count, timeout=20)
        monkeypatch.setattr(ranks, "count", lambda: count)
        monkeypatch.setattr(ranks, "rank", lambda: self.number)
        monkeypatch.setattr(ranks, "_from_all", self._from_all)

    @property
    def number(self) -> int:
        """The number of the running process."""
        number: int = self._own.number
        return number

    def _from_all(self, value: Any) -> list[Any]:
        self.sent[self.number] = value
        self._meet.wait()
        found = list(self.sent)
        self.exchanges += self.number == 0
        self._meet.wait()
        return found

    def run(self, function: Callable[[], Any]) -> list[Any]:
        """What the function returns in each process."""

        def process(number: int) -> Any:
            self._own.number = number
            return function()

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(process, range(self.count)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_are_all_micro_batches_each_once_with_about_equal_tokens(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    from benchmark.student.batch import collate
    from benchmark.student.target_scores import EVERY_TOKEN

    student = shared_student()
    encoded = student.encoder.examples(sums(23))
    batches = collate(encoded, EVERY_TOKEN, student.padding_id, 60).micro_batches
    shares = Group(monkeypatch, count).run(lambda: ranks.own_share(batches))
    assert sorted(map(id, (batch for share in shares for batch in share))) == sorted(map(id, batches))
    loads = [sum(batch.input_ids.numel() for batch in share) for share in shares]
    assert max(loads) - min(loads) <= max(batch.input_ids.numel() for batch in batches)


def test_a_step_is_cut_so_that_each_process_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks.micro_batch_tokens(4096, 300) == 4096
    Group(monkeypatch, 4)
    assert ranks.micro_batch_tokens(4096, 300) == 75
    assert ranks.micro_batch_tokens(50, 300) == 50


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_split_comes_back_in_order_everywhere(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    group, items = Group(monkeypatch, count), list(range(7))
    computed: list[int] = []

    def squares(some: Sequence[int]) -> list[int]:
        computed.extend(some)
        return [each**2 for each in some]

    assert group.run(lambda: ranks.split(items, squares)) == [[each**2 for each in items]] * count
    assert sorted(computed) == items


def test_inside_a_loss_nothing_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone() -> list[int]:
        with ranks.each_alone():
            return ranks.split([1, 2, 3], list)

    group = Group(monkeypatch, 2)
    assert group.run(alone) == [[1, 2, 3]] * 2
    assert group.exchanges == 0


def test_sums_are_over_the_names_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, 2)
    values = [{"label": 0.5}, {"label": 0.25, "rationale": 1.0}]
    assert group.run(lambda: ranks.summed(values[group.number])) == [{"label": 0.75, "rationale": 1.0}] * 2


def test_drafts_are_written_once_and_known_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, 2)

    def write(drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            draft.tokens, draft.end, draft.seconds = [*draft.prompt, group.number], 2, 0.5

    def written() -> list[list[int]]:
        drafts = [Draft([number], limit=5) for number in range(4)]
        ranks.write_split(drafts, write)
        assert all(draft.end == 2 and draft.seconds == 0.5 for draft in drafts)
        return [draft.tokens for draft in drafts]

    assert group.run(written) == [[[0, 0], [1, 1], [2, 0], [3, 1]]] * 2

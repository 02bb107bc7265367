"""Diversity: core-set against a naive one, k-means against scikit-learn, and what was bought counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmark.extras import absence
from benchmark.types import Annotation, Question, Request
from methods.diversity import CoreSet, KMeansDiversity, UncertainDiversity
from methods.ranks import entropy
from tests.methods.selection_context import POOL, CountingStudent, SmallContext, number, numbers, ranked
from tests.rehearsals.scripted import miniature, run

POINTS = np.random.default_rng(3).normal(size=(40, 5))
needs_scikit_learn = pytest.mark.skipif(absence("sklearn") is not None, reason="needs scikit-learn")


def places(text: str) -> Sequence[float]:
    return POINTS[int(text.partition("+")[0])].tolist()


def several(request: Request, sample: int) -> str:
    return f"1+1=2#{sample + 10 if sample < number(request) % 5 else 2}"


def bought(*of_numbers: int) -> list[Annotation]:
    return [
        Annotation(Question(f"q-{each}", f"{each}+1"), kind, "teacher", "", "2")
        for each in of_numbers
        for kind in ("rationale", "gold")
    ]


def naive(factors: Sequence[float], taken: list[int]) -> list[int]:
    """Farthest first by the definition: every distance anew in every step."""
    points = POINTS.astype(np.float32).astype(float)
    order: list[int] = []
    while len(order) < len(POOL):
        left = [i for i in range(len(POOL)) if i not in order]
        worth = {
            i: factors[i] * min(float(np.linalg.norm(points[i] - points[j])) for j in [*taken, *order]) for i in left
        }
        order.append(max(left, key=lambda i: worth[i]))
    return order


def test_core_set_is_the_naive_farthest_first_traversal() -> None:
    context = SmallContext(CountingStudent(places=places), annotations=bought(35, 38))
    picks = ranked(CoreSet(), context)
    assert numbers(picks) == naive([1.0] * 30, [35, 38])
    scores = [pick.score for pick in picks]
    assert scores == sorted(scores, reverse=True)
    assert set(context.student.embedded.values()) == {1}
    assert context.student.embedded.total() == 32


def test_without_purchases_the_first_is_drawn_and_the_rest_follows_from_it() -> None:
    starts = set()
    for seed in range(8):
        picks = ranked(CoreSet(), SmallContext(CountingStudent(places=places), seed=seed))
        first, *others = numbers(picks)
        assert others == [each for each in naive([1.0] * 30, [first]) if each != first]
        assert picks[0].evidence == {"distance": None}
        assert picks[0].score >= picks[1].score
        starts.add(first)
    assert len(starts) > 3


def test_uncertain_diversity_is_farthest_first_over_products() -> None:
    factors = [entropy([*range(10, 10 + i % 5), *[2] * (5 - i % 5)]) for i in range(30)]
    context = SmallContext(CountingStudent(several, places=places), annotations=bought(35))
    picks = ranked(UncertainDiversity(), context)
    certain = [i for i in range(30) if not factors[i]]
    assert numbers(picks)[:24] == [each for each in naive(factors, [35]) if each not in certain][:24]
    assert sorted(numbers(picks)[24:]) == certain
    assert context.student.asked.total() == 150
    fresh = ranked(UncertainDiversity(), SmallContext(CountingStudent(several, places=places)))
    assert fresh[0].evidence["uncertainty"] == pytest.approx(max(factors))


def test_equal_questions_are_ranked_by_the_seed() -> None:
    for selection in (CoreSet(), UncertainDiversity()):
        same = CountingStudent(places=lambda text: (1.0, 1.0))
        assert sorted(numbers(ranked(selection, SmallContext(same)))) == list(range(30))
        assert numbers(ranked(selection, SmallContext(same))) == numbers(
            ranked(selection, SmallContext(same), POOL[::-1])
        )
        assert ranked(selection, SmallContext(same), []) == []


@needs_scikit_learn
def test_k_means_has_the_clusters_of_scikit_learn_and_covers_all_of_them_first() -> None:
    from sklearn.cluster import KMeans

    centres = {0: (0.0, 0.0), 1: (90.0, 0.0), 2: (0.0, 90.0)}

    def in_heaps(text: str) -> Sequence[float]:
        each = int(text.partition("+")[0])
        return [value + each / 100 for value in centres[0 if each < 15 else each % 2 + 1]]

    context = SmallContext(CountingStudent(places=in_heaps))
    picks = ranked(KMeansDiversity(3, 2), context)
    labels = KMeans(3, n_init=2, random_state=0).fit(np.array([in_heaps(f"{i}+1") for i in range(30)])).labels_
    pairs = {(int(labels[each]), pick.evidence["cluster"]) for each, pick in zip(numbers(picks), picks, strict=True)}
    assert len(pairs) == 3
    assert {pick.evidence["cluster"] for pick in picks[:3]} == {0, 1, 2}
    assert [pick.evidence["cluster_size"] for pick in picks[:3]] == [15, 8, 7]
    assert numbers(picks)[0] == 7  # the middle of the largest heap
    assert picks == ranked(KMeansDiversity(3, 2), context, POOL[::-1])
    assert [pick.score for pick in picks] == pytest.approx([1 - i / 30 for i in range(30)])


@needs_scikit_learn
def test_fewer_different_questions_than_clusters_are_fewer_clusters() -> None:
    context = SmallContext(CountingStudent(places=lambda text: (float(text[0] == "1"), 0.0)))
    picks = ranked(KMeansDiversity(20), context)
    assert {pick.evidence["cluster"] for pick in picks} == {0, 1}


@needs_scikit_learn
@pytest.mark.parametrize("form", ["answer_only", "step_by_step"])
def test_k_means_works_on_choices_in_a_cell(form: str, tmp_path: Path) -> None:
    ran = run(miniature("dataset=trait_choice", f"method={form}", "selection=kmeans"), tmp_path)
    assert len(ran.table("picks")) == 40


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("methods.diversity.absence", lambda package: "is not installed")
    with pytest.raises(ValueError, match=r"k-means needs scikit-learn, which is not installed: pip install 'distil"):
        KMeansDiversity()

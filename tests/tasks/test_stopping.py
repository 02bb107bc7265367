"""Where a reply ends, and which repeated questions do not end it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.tasks.stopping import NEXT_EXEMPLAR, has_ended, kept
from benchmark.tasks.thinking import without_trace
from benchmark.types import Contrast, Request

EXEMPLARS = "Q: 4+3\nAnswer choices:\n(a) 7\n(b) 8\nA: 4+3=7. The answer is 7.\n\n"
ASKED = "Q: What is **1+2**?\nAnswer choices:\n(a) 3\n(b) 4\nA:"
REQUEST = Request("few_shot_cot", EXEMPLARS + ASKED, "q", stop=(NEXT_EXEMPLAR,))
REPLY = " 1+2=3. The answer is 3."
INVENTED = "\n\nQ: 5+5\nA: The answer is 10."
CHATTED = "Q: what is 1+2?\n\nAnswer  choices:\n(A) 3\n(B) 4"
"""The question as a chat model may restate it: another letter case and white space, no emphasis."""


@pytest.mark.parametrize(
    "before",
    [
        ASKED,
        f"Sure!\n\n{ASKED}",
        f"Sure!\n{CHATTED}\n\n**A:**",
        f"**{CHATTED}**\nA:",
        f"**Q:** {CHATTED[3:]}\n",
        f"{CHATTED} A:",
        EXEMPLARS + ASKED,
        f"Here is the answer:\n\n{EXEMPLARS}{ASKED}",
    ],
)
def test_a_restated_question_is_left_out_and_an_invented_one_still_ends_the_reply(before: str) -> None:
    assert kept(REQUEST, before + REPLY).strip() == REPLY.strip()
    assert not has_ended(REQUEST, before + REPLY)
    assert kept(REQUEST, before + REPLY + INVENTED).strip() == REPLY.strip()
    assert has_ended(REQUEST, before + REPLY + INVENTED)


@pytest.mark.parametrize("repeated", [ASKED, EXEMPLARS + ASKED, CHATTED, EXEMPLARS])
@pytest.mark.parametrize("answer", [REPLY, " So the answer is (a).", "\n#### 3", " $\\boxed{3}$"])
def test_what_is_repeated_behind_an_answer_ends_the_reply(answer: str, repeated: str) -> None:
    """A base model that goes on: what it then writes may be another answer."""
    text = f"{answer}\n\n{repeated} 4. The answer is 4."
    assert kept(REQUEST, text) == f"{answer}\n"
    assert has_ended(REQUEST, text)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (f"I cannot tell.{INVENTED}", "I cannot tell.\n"),
        ("Hm.\nQ: What is 1+2?\nAnswer choices:\n(a) 3\n(b) 45\nA: 3", "Hm."),
        ("Hm.\nQ: What is 1+2?\nA: 3. The answer is 3.", "Hm."),
        ("Hm.\nQ: 4+3\nAnswer choices:\n(a) 7\n(b) 9\nA: 7", "Hm."),
        (f"Hm.\n{EXEMPLARS}Q: 2+2\nA: 4", "Hm."),
        (f"{ASKED}\nQ: 2+2\nA: 4", ""),
    ],
)
def test_another_question_ends_the_reply(text: str, reply: str) -> None:
    assert kept(REQUEST, text) == reply
    assert has_ended(REQUEST, text)


def test_no_beginning_of_a_restated_question_ends_a_text_that_is_being_written() -> None:
    for whole in (f"Sure!\n{CHATTED}\nA:{REPLY}", f"Sure!\n{EXEMPLARS}{ASKED}{REPLY}"):
        assert not any(has_ended(REQUEST, whole[:length]) for length in range(len(whole) + 1))
    invented = "Hm.\nQ: What is 1+3?\nA: 4"
    ended = [has_ended(REQUEST, invented[:length]) for length in range(len(invented) + 1)]
    assert ended.index(True) == len("Hm.\nQ: What is 1+3")  # at its first other character
    answered = REPLY + INVENTED
    assert has_ended(REQUEST, answered[: answered.index(NEXT_EXEMPLAR) + len(NEXT_EXEMPLAR)])  # at once


def test_other_texts_end_a_reply_wherever_they_stand() -> None:
    request = Request("r", REQUEST.prompt, "q", stop=("END", NEXT_EXEMPLAR))
    assert kept(request, f"{ASKED} 3 END{INVENTED}") == "3 "
    assert kept(request, f"Hm{INVENTED} END") == "Hm\n"
    plain = Request("r", REQUEST.prompt, "q", stop=("END",))
    assert kept(plain, f"{ASKED} 3 END 4") == f"{ASKED} 3 "
    assert kept(Request("r", REQUEST.prompt, "q"), f"Hm{INVENTED}") == f"Hm{INVENTED}"
    line = Request("r", REQUEST.prompt, "q", contrast=Contrast("other", one_line=True))
    assert (kept(line, "one\ntwo"), has_ended(line, "one"), has_ended(line, "one\n")) == ("one", False, True)


def test_a_prompt_without_a_label_or_a_question() -> None:
    bare = Request("r", "Q: 1+2", "q", stop=(NEXT_EXEMPLAR,))
    assert kept(bare, "Sure\nQ: 1+2\nIt is 3.") == "It is 3."
    assert kept(bare, "Sure\nQ: 1+22\nIt is 3.") == "Sure"
    free = Request("r", "What is 1+2?", "q", stop=(NEXT_EXEMPLAR,))
    assert kept(free, "Sure\nQ: What is 1+2?\nA: 3") == "Sure"


@given(st.lists(st.sampled_from(["Q:", "\nQ:", ASKED, EXEMPLARS, REPLY, "A:", "\n", "x", "**", "Q: 4"]), max_size=8))
def test_what_is_kept_is_a_piece_of_the_text_and_stays_as_it_is(pieces: list[str]) -> None:
    text = "".join(pieces)
    reply = kept(REQUEST, text)
    assert reply in text
    if has_ended(REQUEST, text):
        assert has_ended(REQUEST, text + "more")


@pytest.mark.parametrize("piece", ["\nQ:", "\n**Q:", f"{ASKED}\n", "\nQ: What is 1", f"\n{EXEMPLARS}", "Q:", "*", "\n"])
def test_the_work_grows_with_the_text(piece: str) -> None:
    """Were it quadratic, this would take minutes."""
    assert kept(REQUEST, piece * (100_000 // len(piece))) is not None


@pytest.mark.parametrize("begun", ["\n\nQ:", "\nQ: What", "\n**Q: What is"])
def test_a_whole_text_that_breaks_off_in_a_question_ends_before_it(begun: str) -> None:
    """A server that gives the text that stopped it, or a cap in the middle of a further question."""
    assert kept(REQUEST, f"Hm{begun}").strip() == "Hm"
    assert not has_ended(REQUEST, f"Hm{begun}"), "while it is written, it may be the restated question"


# --- further turns in other words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "turn",
    ["**Q: 3+4**", "### Q: 3+4", "q: 3+4", "Question: 3+4", "Question 2: 3+4", "Human: 3+4", "User: 3+4", "**Q:** 3+4"],
)
def test_a_further_turn_behind_an_answer_ends_the_reply(turn: str) -> None:
    request = Request("few_shot_cot", "Q: 1+1\nA: The answer is 2.\n\nQ: 2+2\nA:", "q", stop=(NEXT_EXEMPLAR,))
    reply = "Two and two. The answer is 4."
    assert kept(request, f"{reply}\n\n{turn}\nA: The answer is 7.").strip() == reply
    if "Q:" not in turn:
        thought = "First I ask myself.\nQuestion: what is 2+2?\nThe answer is 4."
        assert kept(request, thought) == thought, "no answer stands before it"


# --- traces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "reply"),
    [
        ("<think>\nQ: 1+1\nA: hm\nQ: 2+2\n</think>\n\nThe answer is 4.\nQ: 3+3", "The answer is 4."),
        ("hm\nQ: 2+2? yes\n</think>\nThe answer is 4.\n\nQ: 3+3\nA: 6", "The answer is 4."),
        ("<think>\nhm\nQ: 1+1", "<think>\nhm\nQ: 1+1"),
    ],
)
def test_nothing_in_a_trace_ends_a_reply(written: str, reply: str) -> None:
    request = Request("few_shot_cot", "Q: 1+1\nA: The answer is 2.\n\nQ: 2+2\nA:", "q", stop=(NEXT_EXEMPLAR,))
    assert kept(request, written).strip().endswith(reply)
    assert without_trace(kept(request, written)).strip() == ("" if reply.startswith("<think>") else reply)
    if written.startswith("<think>"):
        ends = written.find("4.") if "4." in written else len(written)
        assert not any(has_ended(request, written[:length]) for length in range(ends))

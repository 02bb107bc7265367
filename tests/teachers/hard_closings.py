r"""Replies whose closing sentence is hard to read, and what must be read; the specification of `split_answer`.

`rationale` and `stated` are what `split_answer` gives. `strict` is what the task's strict reading makes of `stated`,
and `flexible` what its flexible reading makes of the whole reply where the strict one finds nothing. None: nothing.
`docs/answer-extraction.md` has the rules.
"""

from __future__ import annotations

from typing import NamedTuple

WORK = "8 * 9 = 72."
"""The reasoning before most closings."""


class HardClosing(NamedTuple):
    """A reply, its parts, both readings, and what makes it hard."""

    text: str
    rationale: str | None
    stated: str | None
    strict: str | None
    flexible: str | None
    why: str


def closes(closing: str, stated: str, why: str, rationale: str | None = WORK) -> HardClosing:
    """A closing behind the reasoning that is read strictly as 72."""
    return HardClosing(f"{WORK} {closing}", rationale, stated, "72", "72", why)


def on_a_line(closing: str, stated: str, why: str) -> HardClosing:
    """A closing on a line of its own that is read strictly as 72."""
    return HardClosing(f"{WORK}\n\n{closing}", WORK, stated, "72", "72", why)


NUMBERS = (
    # --- the answer in words
    closes("The answer is 72.", "72", "as the prompt's exemplars write it"),
    closes("The answer is 72", "72", "no full stop"),
    closes("the answer is 72.", "72", "small letters"),
    closes("THE ANSWER IS 72.", "72", "capitals"),
    closes("The answer is: 72.", "72", "a colon"),
    closes("The answer: 72", "72", "a colon for the verb"),
    closes("The answer = 72", "72", "an equals sign for the verb"),
    closes("The final answer is 72.", "72", "the final one"),
    closes("The correct final answer is 72.", "72", "two adjectives"),
    closes("The numerical answer is 72.", "72", "another adjective"),
    closes("My answer is 72.", "72", "whose answer"),
    closes("The answer to the question is 72.", "72", "to what"),
    closes("So, the answer is 72.", "72", "a connecting word with a comma"),
    closes("So the answer is 72.", "72", "a connecting word without one"),
    closes("So The answer is 72.", "72", "a capital letter behind it"),
    closes("Thus, the final answer is 72.", "72", "another connecting word"),
    closes("Hence the answer is: 72", "72", "a third one"),
    closes("And therefore, so the answer is 72.", "72", "three of them"),
    closes("Therefore: the answer is 72.", "72", "a colon behind the connecting word"),
    closes("**Therefore**, the answer is 72.", "72", "a bold connecting word"),
    closes("This means that the answer is 72.", "72", "a connecting phrase"),
    closes("I think the answer is 72.", "72", "an opinion is an answer"),
    HardClosing("We add 70 and 2, so the answer is 72.", "We add 70 and 2", "72", "72", "72", "in mid-sentence"),
    HardClosing("I think so The answer is 72.", "I think so", "72", "72", "72", "this `so` leads to nothing"),
    HardClosing("It is so. The answer is 72.", "It is so.", "72", "72", "72", "neither does one before a full stop"),
    HardClosing("The answer is 72.", None, "72", "72", "72", "no reasoning"),
    HardClosing("So, the answer is 72.", None, "72", "72", "72", "a connecting word is no reasoning"),
    closes("The answer is **72**.", "**72**", "a bold value"),
    closes("**The answer is 72.**", "72", "a bold sentence"),
    closes("**So, the answer is 72**.", "72", "a bold sentence with its connecting word"),
    closes("**The answer is** 72.", "72", "a bold clause"),
    closes("*The answer is 72.*", "72", "an emphasised sentence"),
    closes("The answer is $72.", "$72", "currency is part of the value"),
    closes("The answer is $72$.", "$72$", "mathematics"),
    closes("The answer is $$72$$", "$$72$$", "displayed mathematics"),
    closes("The answer is \\(72\\).", "\\(72\\)", "the other mathematics"),
    closes("The answer is \\[72\\]", "\\[72\\]", "the other displayed mathematics"),
    closes("The answer is \\text{72}.", "\\text{72}", "a text in mathematics"),
    HardClosing("The price is **$8**. The answer is 72.", "The price is **$8**.", "72", "72", "72", "bold reasoning"),
    HardClosing("It is **72**\nThe answer is 72.", "It is **72**", "72", "72", "72", "bold at the end of a line"),
    HardClosing("x = `a`\nThe answer is 72.", "x = `a`", "72", "72", "72", "code at the end of a line"),
    HardClosing(
        "It costs $8$\nThe answer is 72.", "It costs $8$", "72", "72", "72", "mathematics at the end of a line"
    ),
    HardClosing("Call it #\nThe answer is 72.", "Call it #", "72", "72", "72", "a mark that is a word"),
    # --- labels, headings, lists
    on_a_line("Answer: 72", "72", "a label"),
    on_a_line("Final answer: 72.", "72", "a label of two words"),
    on_a_line("**Answer:** 72", "72", "a bold label"),
    on_a_line("**Answer**: 72", "72", "a bold label before its colon"),
    on_a_line("**Answer: 72**", "72", "a bold line"),
    on_a_line("__Final Answer:__ 72", "72", "the other bold"),
    on_a_line("ANSWER = 72", "72", "an equals sign"),
    on_a_line("### Answer: 72", "72", "a label in a heading"),
    on_a_line("### Answer\n72", "72", "a heading and the next line"),
    on_a_line("### Final Answer:\n\n**72**", "**72**", "a heading with a colon, and an empty line"),
    on_a_line("**Final Answer**\n72", "72", "a bold heading"),
    on_a_line("**Final Answer:**\n\n72", "72", "a bold heading with a colon"),
    on_a_line("Final answer\n72", "72", "a plain line as heading"),
    on_a_line("**Final Answer**\n\nThe answer is 72.", "72", "a heading before the clause"),
    on_a_line("**Final Answer**: The final answer is 72.", "72", "two clauses that touch"),
    on_a_line("### Conclusion\nThe answer is 72.", "72", "another heading before the clause"),
    on_a_line("- The answer is 72.", "72", "a list's bullet"),
    on_a_line("* **Answer:** 72", "72", "a bullet before a bold label"),
    on_a_line("> The answer is 72.", "72", "a quotation's mark"),
    on_a_line("So:\n\nThe answer is 72.", "72", "a connecting word on a line of its own"),
    HardClosing("1. Multiply.\n2. The answer is 72.", "1. Multiply.", "72", "72", "72", "the number of a list"),
    HardClosing("We count\n72. The answer is 72.", "We count\n72.", "72", "72", "72", "a number that counts no list"),
    on_a_line("#### 72", "72", "the mark of GSM8K"),
    on_a_line("####72", "72", "the mark without a space"),
    on_a_line("#### $72", "$72", "the mark and currency"),
    closes("#### 72", "72", "the mark in a line"),
    on_a_line("#### The answer is 72.", "72", "the mark before the clause"),
    on_a_line("The answer is:\n#### 72", "72", "the mark behind the clause"),
    # --- boxes
    on_a_line("\\boxed{72}", "\\boxed{72}", "a box alone"),
    on_a_line("$\\boxed{72}$.", "\\boxed{72}", "a box in mathematics"),
    on_a_line("$$\\boxed{72}$$", "\\boxed{72}", "a displayed box"),
    on_a_line("$$\n\\boxed{72}\n$$", "\\boxed{72}", "a displayed box on three lines"),
    on_a_line("\\(\\boxed{72}\\)", "\\boxed{72}", "a box in the other mathematics"),
    on_a_line("\\[\n\\boxed{72}\n\\]", "\\boxed{72}", "a box in the other displayed mathematics"),
    on_a_line("**\\boxed{72}**", "\\boxed{72}", "a bold box"),
    on_a_line("#### \\boxed{72}", "\\boxed{72}", "the mark and a box"),
    on_a_line("### Answer\n\n$$\\boxed{72}$$", "\\boxed{72}", "a heading and a box"),
    on_a_line("**Final Answer**: The answer is \\boxed{72}", "\\boxed{72}", "two clauses that touch, and a box"),
    on_a_line("\\boxed{\\text{72}}", "\\boxed{\\text{72}}", "a text in a box"),
    on_a_line("\\boxed{\\mathbf{72}}", "\\boxed{\\mathbf{72}}", "bold mathematics in a box"),
    on_a_line("\\boxed{\\textbf{72}}", "\\boxed{\\textbf{72}}", "a bold text in a box"),
    closes("Therefore the final answer is: $\\boxed{72}$", "\\boxed{72}", "a clause and a box"),
    closes("So $\\boxed{72}$.", "\\boxed{72}", "a connecting word and a box"),
    closes("We get \\boxed{72}.", "\\boxed{72}", "a connecting phrase and a box"),
    closes("The answer is 8*9=\\boxed{72}", "\\boxed{72}", "a sum inside of the clause: what it comes to"),
    closes("The answer is $8 \\times 9 = \\boxed{72}$.", "\\boxed{72}", "the same in mathematics"),
    closes("The answer is therefore \\boxed{72}.", "\\boxed{72}", "a word inside of the clause"),
    HardClosing(
        "The total is $8 \\times 9 = \\boxed{72}$.",
        "The total is $8 \\times 9 = 72$.",
        "\\boxed{72}",
        "72",
        "72",
        "a box in the reasoning: its sentence stays, without the box",
    ),
    HardClosing(
        "Ann has \\(8 \\cdot 9 = \\boxed{72}\\)",
        "Ann has \\(8 \\cdot 9 = 72\\)",
        "\\boxed{72}",
        "72",
        "72",
        "the same in the other mathematics",
    ),
    HardClosing(
        "We pay \\boxed{\\$1{,}072}.", "We pay \\$1{,}072.", "\\boxed{\\$1{,}072}", "1072", "1072", "braces in a box"
    ),
    closes(
        "The answer is $10\\,000$ or so, no: the answer is 72.",
        "72",
        "a correction",
        f"{WORK} The answer is $10\\,000$ or so, no:",
    ),
    # --- read flexibly only
    HardClosing(f"{WORK} The answer is 72 sides.", WORK, "72 sides", None, "72", "a unit"),
    HardClosing(
        f"{WORK} The answer is \\boxed{{72}} sides.", WORK, "\\boxed{72} sides", None, "72", "a unit behind a box"
    ),
    HardClosing(
        f"{WORK} The answer is 72. I hope this helps!", WORK, "72. I hope this helps!", None, "72", "a further sentence"
    ),
    HardClosing(
        f"{WORK} The answer was 72.", f"{WORK} The answer was 72.", None, None, "72", "the past states nothing"
    ),
    HardClosing(
        f"{WORK} So 72 is the answer.", f"{WORK} So 72 is the answer.", None, None, "72", "the other way round"
    ),
    HardClosing("It weighs 72 kg", "It weighs 72 kg", None, None, "72", "no clause"),
    HardClosing(
        "We want to know what the answer is. It is 72",
        "We want to know what the answer is. It is 72",
        None,
        None,
        "72",
        "an indirect question",
    ),
    HardClosing(
        "Answer: 8 rows.\nSo 72 in all",
        "Answer: 8 rows.\nSo 72 in all",
        None,
        None,
        "8",
        "a label before more than one line: the flexible reading is wrong here",
    ),
    HardClosing("#### Step 2: multiply\nSo 72", "#### Step 2: multiply\nSo 72", None, None, "72", "a heading"),
    HardClosing("\\boxed{5} pens, then 72", "\\boxed{5} pens, then 72", None, None, "5", "a box that ends no text"),
    # --- not the answer
    HardClosing(f"{WORK} The answer is not 72", WORK, "not 72", None, "72", "negated"),
    HardClosing("The answer is not \\boxed{72}.", None, "not \\boxed{72}", None, "72", "negated, in a box"),
    HardClosing("The answer is 3 or \\boxed{4}.", None, "3 or \\boxed{4}", None, "4", "two answers, one in a box"),
    HardClosing("The answer is -\\boxed{72}.", None, "-\\boxed{72}", None, "72", "a sign before the box"),
    HardClosing("Half is 1/\\boxed{2}", "Half is 1/\\boxed{2}", None, None, "2", "an operator before the box"),
    HardClosing("We get \\boxed{3} and \\boxed{4}.", "We get \\boxed{3} and \\boxed{4}.", None, None, "4", "two boxes"),
    HardClosing("So the answer is 72?", None, "72?", None, "72", "a question"),
    HardClosing("Is the answer 72?", "Is the answer 72?", None, None, "72", "another one"),
    HardClosing(
        "If the answer is 5 then we have 7", "If the answer is 5 then we have 7", None, None, "5", "a supposition"
    ),
    HardClosing("Suppose that the answer is 5", "Suppose that the answer is 5", None, None, "5", "another supposition"),
    HardClosing("I don't think the answer is 5", "I don't think the answer is 5", None, None, "5", "a doubt"),
    HardClosing(
        "In the example, the answer is 9", "In the example, the answer is 9", None, None, "9", "of another question"
    ),
    HardClosing(
        "In the example the answer was 9", "In the example the answer was 9", None, None, "9", "and in the past"
    ),
    HardClosing("The wrong answer is 9", "The wrong answer is 9", None, None, "9", "of another kind"),
    HardClosing("Tom's answer: 9", "Tom's answer: 9", None, None, "9", "of another person"),
    HardClosing(
        "The answer is 70. Wait, it is 72", None, "70. Wait, it is 72", None, "70", "taken back without a clause"
    ),
    HardClosing("The answer is 3/4.", None, "3/4", None, None, "a fraction"),
    HardClosing("\\boxed{\\frac{3}{4}}", None, "\\boxed{\\frac{3}{4}}", None, None, "a fraction in a box"),
    HardClosing("The answer is", None, None, None, None, "a clause with nothing behind it"),
    HardClosing("### Answer", None, None, None, None, "a heading with nothing behind it"),
    HardClosing("\\boxed{", "\\boxed{", None, None, None, "a box that is not closed"),
    HardClosing("\\boxed{}", None, "\\boxed{}", None, None, "an empty box"),
    HardClosing("", None, None, None, None, "nothing"),
)

CHOICES = ("river bank", "Blue sky", "U.S.", "bank")
REASON = "It is wet."


def chooses(closing: str, stated: str, answer: str, why: str) -> HardClosing:
    """A closing that is read strictly as an option."""
    return HardClosing(f"{REASON} {closing}", REASON, stated, answer, answer, why)


OPTIONS = (
    chooses("The answer is (b).", "(b)", "Blue sky", "a letter"),
    chooses("The correct answer is (b).", "(b)", "Blue sky", "an adjective"),
    chooses("The best answer is b) Blue sky.", "b) Blue sky", "Blue sky", "letter and text"),
    chooses("The correct answer choice is B.", "B", "Blue sky", "a choice"),
    chooses("The correct option is (b). The answer is (b).", "(b)", "Blue sky", "an option before the clause")._replace(
        rationale=f"{REASON} The correct option is (b)."
    ),
    chooses("Therefore, the most likely answer is **(a) river bank**.", "**(a) river bank**", "river bank", "bold"),
    chooses("**Answer:** (b) Blue sky", "(b) Blue sky", "Blue sky", "a label"),
    chooses("\n\n### Answer\n(b) Blue sky", "(b) Blue sky", "Blue sky", "a heading"),
    chooses("\n#### (a) river bank", "(a) river bank", "river bank", "the mark and several words"),
    chooses("$\\boxed{B}$", "\\boxed{B}", "Blue sky", "a letter in a box"),
    chooses("\\boxed{\\text{(b) Blue sky}}", "\\boxed{\\text{(b) Blue sky}}", "Blue sky", "an option in a box"),
    chooses("So the answer is \\(\\textbf{(B)}\\).", "\\(\\textbf{(B)}\\)", "Blue sky", "a bold letter in mathematics"),
    chooses("The answer is U.S.", "U.S", "U.S.", "the option's own full stop"),
    HardClosing("The answer is (a) Blue sky.", None, "(a) Blue sky", None, None, "letter and text disagree"),
    HardClosing("The answer is either (a) or (b).", None, "either (a) or (b)", None, None, "two options"),
    HardClosing("The answer is not (a).", None, "not (a)", None, None, "negated"),
    HardClosing(
        "The answer is the blue sky, I think.", None, "the blue sky, I think", None, "Blue sky", "more than the option"
    ),
    HardClosing("Answer choices:\n(a) is wet", "Answer choices:\n(a) is wet", None, None, "river bank", "the options"),
)

"""Texts that are hard to read an answer from, and what must be read; written before the code that reads them.

`strict` is what `Task.parse` gives: it decides labels and the main accuracy. `flexible` is what `Task.parse_flexibly`
gives: it decides the accuracy beside it. None: no answer. `docs/answer-extraction.md` has the rules.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmark.contract import Task
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice


class HardCase(NamedTuple):
    """A text, both readings of it, and what makes it hard."""

    text: str
    strict: str | None
    flexible: str | None
    why: str


class HardQuestion(NamedTuple):
    """Cases that share a task and options."""

    task: Task
    choices: tuple[str, ...] | None
    cases: tuple[HardCase, ...]


NUMBERS = HardQuestion(
    GeneratedAnswer(),
    None,
    (
        # --- one number and nothing else
        HardCase("72", "72", "72", "the plain case"),
        HardCase(" 72 \n", "72", "72", "white space"),
        HardCase("72.", "72", "72", "a sentence's full stop"),
        HardCase("72..", None, "72", "two full stops are no sentence"),
        HardCase("1,234", "1234", "1234", "thousands commas"),
        HardCase("1,234,567.50", "1234567.5", "1234567.5", "thousands commas and decimals"),
        HardCase("1,23", None, None, "malformed commas: 1.23 or 123?"),
        HardCase("12,34,567", None, None, "commas of another country"),
        HardCase("1.234,50", None, None, "points and commas of another country"),
        HardCase("1 234", None, None, "a space between thousands looks like two numbers"),
        HardCase("1_000", None, None, "an underscore between thousands"),
        # --- thousands as LaTeX, the Swiss and typographers write them
        HardCase("1\\,000", "1000", "1000", "LaTeX's thin space between thousands"),
        HardCase("\\boxed{1\\,000}", "1000", "1000", "the same in a box"),
        HardCase("$10\\,000$", "10000", "10000", "the same in mathematics"),
        HardCase("\\$10\\,000", "10000", "10000", "the same behind an escaped currency"),
        HardCase("-1\\,000", "-1000", "-1000", "the same behind a sign"),
        HardCase("1,\\!000", "1000", "1000", "a comma without LaTeX's space behind it"),
        HardCase("10\\;000", "10000", "10000", "LaTeX's thick space"),
        HardCase("1\\ 000", "1000", "1000", "LaTeX's forced space"),
        HardCase("1{\\,}000", "1000", "1000", "LaTeX's thin space in braces"),
        HardCase("1~000", "1000", "1000", "LaTeX's space that does not break"),
        HardCase("1'250", "1250", "1250", "a Swiss apostrophe"),
        HardCase("1’250", "1250", "1250", "a typographer's apostrophe"),
        HardCase("1'250.50", "1250.5", "1250.5", "an apostrophe and decimals"),
        HardCase("12'345'678", "12345678", "12345678", "two apostrophes"),
        HardCase("1\u2009000", "1000", "1000", "a thin space"),
        HardCase("1\u202f000", "1000", "1000", "a narrow space that does not break"),
        HardCase("1\u00a0000", "1000", "1000", "a space that does not break"),
        HardCase("She pays 1'250 francs for 3 nights, 1\u202f250 in all", None, "1250", "two of them in a text"),
        HardCase("The answer is $8 \\times 125 = 1\\,000$ pens.", None, "1000", "one in a clause"),
        HardCase("5'11", None, None, "an apostrophe between feet and inches"),
        HardCase("1\\,2", None, None, "a LaTeX space before one digit"),
        HardCase("1'2345", None, None, "a group of four digits"),
        HardCase("1234'567", None, None, "a first group of four digits"),
        HardCase("3.141\\,592", None, None, "groups behind the point"),
        HardCase("It is 5'8 tall and weighs 72", None, "72", "feet and inches before a number"),
        HardCase("72\u00a0kg", None, "72", "a space that does not break before a unit"),
        HardCase("72.00", "72", "72", "trailing zeros"),
        HardCase("72.50", "72.5", "72.5", "one trailing zero"),
        HardCase("007", "7", "7", "leading zeros: one number has one text"),
        HardCase(".5", "0.5", "0.5", "no zero before the point: one number has one text"),
        HardCase("5.", "5", "5", "a point with nothing behind it"),
        HardCase("0", "0", "0", "zero"),
        HardCase("-0", "0", "0", "zero has no sign"),
        HardCase("-0.00", "0", "0", "zero has no sign, however long"),
        HardCase("\uff19" * 3, "999", "999", "full-width digits"),
        HardCase("\uff0d\uff17\uff12", "-72", "-72", "a full-width minus"),
        HardCase("\u0667\u0662", None, None, "digits of another script"),
        HardCase("9" * 400, "9" * 400, "9" * 400, "more digits than a float holds"),
        # --- signs
        HardCase("-3", "-3", "-3", "negative"),
        HardCase("+3", "3", "3", "a plus sign says nothing"),
        HardCase("−3", "-3", "-3", "the Unicode minus"),
        HardCase("–3", None, "3", "an en dash is no minus"),
        HardCase("--3", None, "3", "two signs"),
        HardCase("- 3", None, "3", "a dash with a space begins a list"),
        HardCase("5 - 3 = 2", None, "2", "a minus between numbers is no sign"),
        HardCase("2-7=-5", None, "-5", "a minus behind an equals sign is one"),
        HardCase("The temperature is -4 degrees", None, "-4", "a minus behind a word and a space is a sign"),
        HardCase("He lives in block A-12", None, None, "a hyphen behind a letter makes it part of a name"),
        # --- currency, percent, units
        HardCase("$18", "18", "18", "currency before"),
        HardCase("$ 18.50", "18.5", "18.5", "currency before, with a space"),
        HardCase("18€", "18", "18", "currency behind"),
        HardCase("18 $", "18", "18", "currency behind, with a space"),
        HardCase("-$5", "-5", "-5", "sign before the currency"),
        HardCase("$-5", "-5", "-5", "sign behind the currency"),
        HardCase("-$-5", None, "-5", "a sign on both sides of the currency: in a text, the one at the number counts"),
        HardCase("\\$18", "18", "18", "currency escaped for LaTeX"),
        HardCase("25%", "25", "25", "percent"),
        HardCase("25 %", "25", "25", "percent with a space"),
        HardCase("25\\%", "25", "25", "percent escaped for LaTeX"),
        HardCase("18 dollars", None, "18", "a unit in words"),
        HardCase("72 apples", None, "72", "what is counted"),
        HardCase("72kg", None, "72", "a unit without a space"),
        HardCase("USD 72", None, "72", "a unit before"),
        HardCase("5k", None, None, "k multiplies: 5 would be wrong"),
        HardCase("$1.5 million", None, None, "so does a word behind the number"),
        HardCase("7 dozen", None, "7", "a dozen does not: where GSM8K answers in dozens, it asks for them"),
        # --- decoration
        HardCase("**72**", "72", "72", "Markdown"),
        HardCase("**72.**", "72", "72", "Markdown around a full stop"),
        HardCase("`72`.", "72", "72", "Markdown inside of a full stop"),
        HardCase("$72$", "72", "72", "LaTeX mathematics"),
        HardCase("\\boxed{72}", "72", "72", "LaTeX box"),
        HardCase("$$72$$", "72", "72", "displayed mathematics"),
        HardCase("\\(72\\)", "72", "72", "LaTeX's other mathematics"),
        HardCase("\\[72.\\]", "72", "72", "LaTeX's other displayed mathematics, a full stop inside"),
        HardCase("\\boxed{\\text{72}}", "72", "72", "a text in a box"),
        HardCase("\\(\\boxed{\\mathbf{72}}\\)", "72", "72", "bold mathematics in a box"),
        HardCase("\\boxed{72 \\text{ pens}}", None, "72", "a unit in the box"),
        HardCase("\\boxed{3} + \\boxed{4}", None, "4", "two boxes are not one"),
        HardCase("\\(3\\) + \\(4\\)", None, None, "two pieces of mathematics are not one"),
        HardCase("$\\boxed{1,000}$.", "1000", "1000", "LaTeX box in mathematics"),
        HardCase("\\boxed{1{,}000}", "1000", "1000", "LaTeX commas"),
        HardCase("So we have \\boxed{72} after 3 steps.", None, "72", "the box states the answer"),
        HardCase("\\boxed{\\frac{3}{4}}", None, None, "a fraction in a box"),
        # --- statements
        HardCase("#### 72", None, "72", "the mark of GSM8K: the format cuts it off before the strict reading"),
        HardCase("8 * 9 = 72\n#### 72", None, "72", "the mark behind reasoning"),
        HardCase("#### 72\n\nQ: I have 5 pens", None, "72", "the mark, and then the text runs on"),
        HardCase("#### Step 2\nSo there are 72.", None, "72", "a Markdown heading is no mark"),
        HardCase("#### 2. Add them\nSo there are 72.", None, "72", "a numbered heading neither"),
        HardCase("The answer is 72.", None, "72", "the clause: cut off before the strict reading"),
        HardCase("The answer is 72 apples.", None, "72", "the clause and a unit"),
        HardCase("The answer is 72. I checked it in 3 ways.", None, "72", "the clause, and then another number"),
        HardCase("The answer is 72 apples in 3 baskets.", None, "72", "two numbers in the clause: the first"),
        HardCase("The answer is 8 * 9 = 72 apples.", None, "72", "a sum in the clause: what it comes to"),
        HardCase("The answer is 84 / 2.", None, None, "a sum that is not worked out"),
        HardCase("The answer is either 3 or 4.", None, None, "two answers in the clause"),
        HardCase("The answer is not 70 but 72.", None, "72", "a negated clause states nothing"),
        HardCase("The answer is 70. Wait, the answer is 72.", None, "72", "the last clause counts"),
        HardCase("the answer is unclear. There are 72.", None, "72", "a clause without a number"),
        HardCase("**Answer:** 72", None, "72", "Markdown inside of the clause"),
        HardCase("Answer:\n72\n", None, "72", "the answer on the next line"),
        HardCase("ANSWER = $1,000 per year for 5 years", None, "1000", "an equals sign for the clause"),
        HardCase("The answer is x = 72.", None, "72", "a variable in the clause"),
        HardCase("The final answer is therefore \\boxed{72}.", None, "72", "a box in a clause"),
        # --- several numbers
        HardCase("either 3 or 4", None, None, "two alternatives"),
        HardCase("3 or 4", None, None, "two alternatives"),
        HardCase("either 3 apples or 4 apples", None, None, "two alternatives with their unit"),
        HardCase("between 3 and 4", None, None, "two ends"),
        HardCase("3-4", None, None, "a range"),
        HardCase("3–4", None, None, "a range with an en dash"),
        HardCase("3 to 4", None, None, "a range in words"),
        HardCase("3 4", None, None, "two numbers side by side"),
        HardCase("3\n4", None, "4", "two numbers on two lines: the last"),
        HardCase("72 72", None, None, "the same number side by side"),
        HardCase("72. The answer is 72.", None, "72", "the answer twice"),
        HardCase("He had 48 and got 24, so he has 72 now", None, "72", "the last number of a text"),
        HardCase("In 2020, 72 people came", None, "72", "a comma joins no numbers"),
        HardCase("4+3", None, None, "a sum that is not worked out"),
        HardCase("(84 / 2)", None, None, "a sum that is not worked out"),
        HardCase("8 × 9", None, None, "a sum that is not worked out"),
        HardCase("84 / 2 = 42", None, "42", "a sum that is worked out"),
        HardCase("7-9=-2;-2+7=", None, None, "a text that was cut inside of a sum"),
        HardCase("48/2 = <<48/2=24>>24", None, "24", "the calculator marks of GSM8K"),
        # --- the answer first, the reasoning behind it
        HardCase("72. Because 8 * 9 = 72.", None, "72", "the reasoning ends with the answer"),
        HardCase("72. Because I counted 10 rows.", None, "72", "the reasoning ends with another number"),
        HardCase("72, since there are 10 rows", None, "72", "the same with a comma"),
        HardCase("72, not 70", None, "72", "what it is not"),
        # --- what looks like a number
        HardCase("3/4", None, None, "a fraction: neither 3 nor 4, and 84/2 would be a sum"),
        HardCase("2 1/2", None, None, "a mixed number"),
        HardCase("2½", None, None, "a mixed number in one character"),
        HardCase("½", None, None, "a fraction in one character"),
        HardCase("10²", None, None, "a power in one character"),
        HardCase("10^2", None, None, "a power"),
        HardCase("1e3", None, None, "scientific notation"),
        HardCase("1.5E-3", None, None, "scientific notation with a sign"),
        HardCase("3:30", None, None, "a time of day"),
        HardCase("He gets 72 at 3:30 pm", None, "72", "a time of day is passed over"),
        HardCase("3:1", None, None, "a ratio"),
        HardCase("3rd", None, None, "an ordinal"),
        HardCase("He has 72 on the 3rd day", None, "72", "an ordinal is passed over"),
        HardCase("H2O", None, None, "a name"),
        HardCase("1.2.3", None, None, "a version"),
        HardCase("2024-05-01", None, None, "a date"),
        HardCase("0x1F", None, None, "hexadecimal"),
        HardCase("x", None, None, "a variable"),
        HardCase("forty-two", None, None, "number words are not read"),
        HardCase("inf", None, None, "infinity"),
        HardCase("-∞", None, None, "infinity"),
        HardCase("nan", None, None, "not a number"),
        # --- no answer
        HardCase("", None, None, "nothing"),
        HardCase(" \n\t", None, None, "white space only"),
        HardCase(".", None, None, "a full stop"),
        HardCase("-", None, None, "a sign"),
        HardCase("$", None, None, "currency"),
        HardCase("I do not know.", None, None, "words"),
        HardCase("####", None, None, "a mark with nothing behind it"),
        HardCase("The answer is", None, None, "a clause with nothing behind it"),
        HardCase("\\boxed{}", None, None, "an empty box"),
    ),
)

PLACES = HardQuestion(
    MultipleChoice(),
    ("river bank", "Blue sky", "U.S.", "bank"),
    (
        # --- an option and nothing else
        HardCase("river bank", "river bank", "river bank", "the text"),
        HardCase("  River   Bank. ", "river bank", "river bank", "letter case, white space and a full stop"),
        HardCase("BLUE SKY", "Blue sky", "Blue sky", "capitals"),
        HardCase("u.s", "U.S.", "U.S.", "the option's own full stop"),
        HardCase("bank", "bank", "bank", "an option that is part of another"),
        HardCase("**Blue sky**.", "Blue sky", "Blue sky", "Markdown"),
        HardCase("(b)", "Blue sky", "Blue sky", "the letter as it is shown"),
        HardCase("(B).", "Blue sky", "Blue sky", "a capital letter and a full stop"),
        HardCase("b", "Blue sky", "Blue sky", "a bare letter"),
        HardCase("B.", "Blue sky", "Blue sky", "a bare letter and a full stop"),
        HardCase("b)", "Blue sky", "Blue sky", "half a bracket"),
        HardCase("**B**", "Blue sky", "Blue sky", "Markdown around the letter"),
        HardCase("\\boxed{B}", "Blue sky", "Blue sky", "a box around the letter"),
        HardCase("\\boxed{\\text{(b) Blue sky}}", "Blue sky", "Blue sky", "a text in a box"),
        HardCase("\\(\\textbf{(B)}\\)", "Blue sky", "Blue sky", "a bold letter in mathematics"),
        HardCase("option b", "Blue sky", "Blue sky", "the letter by name"),
        HardCase("Choice (B)", "Blue sky", "Blue sky", "the letter by another name"),
        HardCase("(b) Blue sky", "Blue sky", "Blue sky", "letter and text"),
        HardCase("b) blue sky.", "Blue sky", "Blue sky", "letter and text, half a bracket"),
        HardCase("B. Blue sky", "Blue sky", "Blue sky", "letter and text, a full stop"),
        HardCase("B: Blue sky", "Blue sky", "Blue sky", "letter and text, a colon"),
        HardCase("(d)\nbank", "bank", "bank", "letter and text on two lines"),
        HardCase("a", "river bank", "river bank", "a bare letter that could be an article"),
        # --- contradictions
        HardCase("(a) Blue sky", None, None, "letter and text disagree"),
        HardCase("b. bank", None, None, "letter and text disagree"),
        HardCase("The answer is (a) Blue sky.", None, None, "letter and text disagree in a clause"),
        HardCase("(e)", None, None, "a letter that no option has"),
        HardCase("(e) bank", None, None, "a letter that no option has, and a text"),
        HardCase("(a) (b)", None, None, "two letters"),
        HardCase("a or b", None, None, "two bare letters"),
        HardCase("a, b", None, None, "two bare letters"),
        HardCase("either (a) river bank or (b) Blue sky", None, None, "two options"),
        HardCase("river bank or Blue sky", None, None, "two texts"),
        HardCase("The river bank and the bank", None, None, "an option and one that is part of it"),
        # --- an option in other words
        HardCase("The answer is (b).", None, "Blue sky", "the clause: cut off before the strict reading"),
        HardCase("The answer is B.", None, "Blue sky", "the clause and a bare letter"),
        HardCase(
            "The answer is B because of (a) and (d).", None, "Blue sky", "what stands behind the reason is not it"
        ),
        HardCase("The answer is B. Blue sky.", None, "Blue sky", "the full stop behind the letter ends no sentence"),
        HardCase("The answer is B. bank.", None, None, "so that letter and text can disagree"),
        HardCase("The answer is B. A bank is too dry.", None, "Blue sky", "a sentence of its own behind the letter"),
        HardCase("the answer is the blue sky", None, "Blue sky", "the clause and an article"),
        HardCase("The answer is a bank.", None, "bank", "an article in a clause is no letter"),
        HardCase("Not (d). So the answer is (a) river bank.", None, "river bank", "the clause decides"),
        HardCase("The answer is (a). No, the answer is (d).", None, "bank", "the last clause counts"),
        HardCase("The answer is not the bank.", None, None, "a negated clause"),
        HardCase("a bank", None, "bank", "an article is no letter"),
        HardCase("I stood on the river bank.", None, "river bank", "the longer option covers its part"),
        HardCase("I think it is option b, as I said", None, "Blue sky", "a letter by name in a text"),
        HardCase("the option a person would take", None, None, "an article behind the word option"),
        HardCase("It must be (d)", None, "bank", "a letter in a text"),
        HardCase("the bank(s)", None, "bank", "a plural in brackets is no letter"),
        HardCase("not (a) river bank but (b)", None, "Blue sky", "not a but b"),
        HardCase("It is not the river bank", None, None, "a negated mention"),
        HardCase("It isn't option a. It is the blue sky", None, "Blue sky", "a negated letter"),
        HardCase("neither river bank nor blue sky", None, None, "two negated mentions"),
        HardCase("the blue sky rather than the bank", None, "Blue sky", "what it is not, in other words"),
        HardCase("(b) because (a) is too wet", None, "Blue sky", "the answer first, the reasoning behind it"),
        HardCase("Blue sky. A bank has none.", None, "Blue sky", "the answer first, the reasoning behind it"),
        HardCase("(b), not (a)", None, "Blue sky", "what it is not, behind it"),
        HardCase("The banker flew", None, None, "a word that begins like an option"),
        HardCase("#### (b)", None, "Blue sky", "the mark and a letter"),
        # --- no answer
        HardCase("sky", None, None, "a part of an option"),
        HardCase("none of the above", None, None, "no option"),
        HardCase("", None, None, "nothing"),
        HardCase(" \n", None, None, "white space only"),
        HardCase(".", None, None, "a full stop"),
        HardCase("()", None, None, "brackets"),
    ),
)

PARTS = HardQuestion(
    MultipleChoice(),
    ("river", "river bank", "old river"),
    (
        HardCase("I stood on the river bank.", None, "river bank", "an option that the text's option begins with"),
        HardCase("I swam in the river.", None, "river", "the shorter one alone"),
        HardCase("It is the old river", None, "old river", "an option that the text's option ends with"),
        HardCase("the river bank of the river", None, None, "both of them"),
    ),
)

TWICE = HardQuestion(
    MultipleChoice(),
    ("sea", "sky", "sea"),
    (
        HardCase("sea", "sea", "sea", "two options with one text"),
        HardCase("(a)", "sea", "sea", "the first of them"),
        HardCase("(c) sea", "sea", "sea", "the second of them"),
        HardCase("(a) or (c)", None, "sea", "both letters, one text"),
        HardCase("(b) sea", None, None, "letter and text disagree"),
        HardCase("the sea, I think", None, "sea", "named once"),
    ),
)

ALIKE = HardQuestion(
    MultipleChoice(),
    ("May", "may", "June"),
    (
        HardCase("May", "May", "May", "the letter case decides between two options"),
        HardCase("may", "may", "may", "the letter case decides between two options"),
        HardCase("MAY", None, None, "it decides for none of them"),
        HardCase("(b) MAY", "may", "may", "the letter decides"),
        HardCase("I say may", None, None, "in a text the letter case says too little"),
    ),
)

LETTERS = HardQuestion(
    MultipleChoice(),
    ("c", "b", "a"),
    (
        HardCase("a", "a", "a", "an option that is a letter: the text goes first"),
        HardCase("(a)", "c", "c", "in brackets it is the letter"),
        HardCase("(c) a", "a", "a", "letter and text"),
        HardCase("(a) a", None, None, "letter and text disagree"),
        HardCase("It is a mess", None, None, "an article is no option"),
        HardCase("The answer is a.", None, "a", "in a clause it is one"),
    ),
)

FIGURES = HardQuestion(
    MultipleChoice(),
    ("3", "13", "3.5", "-3"),
    (
        HardCase("3", "3", "3", "an option that is a number"),
        HardCase("3.", "3", "3", "and a full stop"),
        HardCase("(b) 13", "13", "13", "letter and number"),
        HardCase("I count 13 of them", None, "13", "3 is a part of 13"),
        HardCase("It weighs 3.5 kg", None, "3.5", "3 is a part of 3.5"),
        HardCase("It weighs 3.7 kg", None, None, "3 is a part of 3.7, which is no option"),
        HardCase("It is -3 outside", None, "-3", "3 is a part of -3"),
        HardCase("3.0", None, None, "options are compared as text"),
    ),
)

YES_OR_NO = HardQuestion(
    MultipleChoice(),
    ("yes", "no"),
    (
        HardCase("yes", "yes", "yes", "the text"),
        HardCase("No.", "no", "no", "a capital letter and a full stop"),
        HardCase("(a) yes", "yes", "yes", "letter and text"),
        HardCase("(a) no", None, None, "letter and text disagree"),
        HardCase("no way", None, "no", "a word more"),
        HardCase("Yes. There is no doubt.", None, "yes", "the first sentence is the answer"),
        HardCase("There is no doubt, so the answer is yes.", None, "yes", "the clause decides"),
        HardCase("There is no doubt, so yes", None, None, "both words, and nothing says which"),
        HardCase("Yes, because no one can fly.", None, "yes", "the answer before the reason"),
        HardCase("not yes", None, None, "a negation is not turned around"),
        HardCase("yes and no", None, None, "both"),
        HardCase("True", None, None, "another word for it"),
        HardCase("I know nothing", None, None, "words that hold an option's letters"),
    ),
)

INFERENCE = HardQuestion(
    MultipleChoice(),
    ("entailment", "neutral", "contradiction"),
    (
        HardCase("entailment", "entailment", "entailment", "the text"),
        HardCase("Contradiction.", "contradiction", "contradiction", "a capital letter and a full stop"),
        HardCase("(c) contradiction", "contradiction", "contradiction", "letter and text"),
        HardCase("it is a contradiction", None, "contradiction", "named once"),
        HardCase("it is not entailment", None, None, "a negated mention"),
        HardCase("it is not entailment but neutral", None, "neutral", "a negated mention and another"),
        HardCase("not necessarily a contradiction", None, None, "a negated mention with words between"),
        HardCase("it cannot be entailment", None, None, "a negation inside of a word"),
        HardCase("The premise entails the hypothesis.", None, None, "a verb is no option"),
        HardCase("neutral or contradiction", None, None, "two options"),
        HardCase("born in 1995, so the answer is contradiction", None, "contradiction", "a clause in small letters"),
    ),
)

FORMULAS = HardQuestion(
    MultipleChoice(),
    ("$x^2$", "\\(y\\)", "_z_"),
    (
        HardCase("$X^2$.", "$x^2$", "$x^2$", "an option that is mathematics itself"),
        HardCase("(b) \\(y\\)", "\\(y\\)", "\\(y\\)", "letter and mathematics"),
        HardCase("_Z_", "_z_", "_z_", "an option that is emphasis itself"),
        HardCase("$(b)$", "\\(y\\)", "\\(y\\)", "mathematics around the letter"),
    ),
)

UNLETTERED = HardQuestion(
    MultipleChoice(heading="\n", item="{choice}", separator=","),
    ("ape", "fan", "ewe"),
    (
        HardCase("ewe", "ewe", "ewe", "the text"),
        HardCase("(a)", None, None, "letters that were not shown mean nothing"),
        HardCase("c", None, None, "letters that were not shown mean nothing"),
        HardCase("(a) ewe", None, "ewe", "neither do they contradict"),
        HardCase("a fan", None, "fan", "an article"),
    ),
)

HARD_QUESTIONS = (NUMBERS, PLACES, PARTS, TWICE, ALIKE, LETTERS, FIGURES, YES_OR_NO, INFERENCE, FORMULAS, UNLETTERED)

"""Cuts what leads to the last clause of a text: marks that open around it, connecting words, labels and headings."""

from __future__ import annotations

import re

GAP = r"[^\S\n]{1,3}"
_BEGINS, _ENDS = r"(?<![^\W_])", r"(?![^\W_])"  # as \b, but an underscore is emphasis
LABEL = (
    rf"{_BEGINS}(?P<the>(?:the|my|our){GAP})?(?:(?:final|correct|right|best|numerical|most{GAP}likely){GAP}){{0,2}}"
    rf"answer{_ENDS}(?:{GAP}(?:choice|option)\b)?(?:{GAP}to{GAP}(?:the|this){GAP}(?:question|problem)\b)?[*_]{{0,3}}"
)
"""`the answer`, `final answer` and the like, in lower case. The group `the` is set if an article stands before it."""
IS = r"[^\S\n]{0,3}(?:is\b(?:[^\S\n]{0,3}[:=])?|[:=])[*_]{0,3}"
WINDOW = 120
"""How many characters before a place are searched at once, so that the search is linear."""
_BRIEF = r"[*_`]{0,3}"
_EMPHASIS = re.compile(r"(?<![^\s(\"'])[*_`]{1,3}\Z")
_LINE_MARK = re.compile(
    rf"^[^\S\n]{{0,9}}(?:#{{1,6}}[^\S\n]{{0,3}}|[*+•>-]{GAP}|(?P<number>[1-9][0-9]?)[.)]{GAP})\Z", re.MULTILINE
)
_CONNECTOR = re.compile(
    rf"(?:[;–—]\s{{0,3}})?(?<![\w'’-]){_BRIEF}(?P<word>"
    r"so|thus|therefore|hence|then|consequently|accordingly|finally|overall|and|that|it follows that"
    r"|in conclusion|in summary|to conclude|to sum up|as a result|(?:which|this) (?:means|gives|implies|shows)"
    r"|we (?:can |now |can now )?(?:see|conclude|find|get|know|have|say)|i (?:think|believe|conclude|would say)"
    rf"){_BRIEF}(?P<pause>[,:]?){_BRIEF}(?:\s{{1,3}}|(?<=[,:]))\Z",
    re.IGNORECASE,
)
_COMMA = re.compile(r",\s{0,9}\Z")
_OTHER_CLAUSE = re.compile(rf"{LABEL}{IS}\s*\Z", re.IGNORECASE)
_HEADING = re.compile(
    r"^[^\S\n]{0,9}(?:#{1,6}[^\S\n][^\n]{0,99}"
    r"|[*_]{0,3}(?:step [0-9]{1,2}[.:]? )?"
    r"(?:(?:the )?(?:final |correct )?(?:answer|result)|conclusion|summary|solution)"
    r"[^\S\n]?:?[*_]{0,3}:?)\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_LEADS = ((_EMPHASIS, 4), (_LINE_MARK, 20), (_CONNECTOR, 50), (_COMMA, 10), (_OTHER_CLAUSE, 90), (_HEADING, WINDOW))
"""What leads to a clause, and how many characters before it are searched."""
_MOST_LEADS = 40
"""More marks and words than lead to any clause."""


def lead_start(text: str, end: int) -> tuple[int, bool]:
    """Where the marks and words begin that lead to the clause at `end`, and whether there are words among them.

    Words are connecting words (`So`, `which means that`), another clause (`**Final Answer**:`) and headings. A small
    connecting word before a capital letter (`I think so The answer is`) belongs to what stands before.
    """
    words = False
    for _ in range(_MOST_LEADS):
        found = _last_lead(text, end)
        if found is None:
            break
        words = words or found.re in (_CONNECTOR, _OTHER_CLAUSE, _HEADING)
        end = found.start()
    return end, words


def reasoning_before(text: str, end: int) -> str:
    """The text before the clause at `end`, without what leads to it."""
    return text[: lead_start(text, end)[0]].strip()


def _last_lead(text: str, end: int) -> re.Match[str] | None:
    for lead, reach in _LEADS:
        found = lead.search(text, max(0, end - reach), end)
        if found and _belongs_to_the_clause(found):
            return found
    return None


def _belongs_to_the_clause(lead: re.Match[str]) -> bool:
    text, behind = lead.string, lead.end()
    if lead.re is _CONNECTOR:
        return lead["word"][0].isupper() or bool(lead["pause"]) or not text[behind : behind + 1].isupper()
    if lead.re is _LINE_MARK and lead["number"]:
        return lead["number"] == "1" or _counts_on(lead)
    return True


def _counts_on(lead: re.Match[str]) -> bool:
    """Whether a numbered item has the number before it in an earlier line, so that it is no number of the text."""
    before = int(lead["number"]) - 1
    return re.search(rf"^[^\S\n]{{0,9}}{before}[.)][^\S\n]", lead.string[: lead.start()], re.MULTILINE) is not None

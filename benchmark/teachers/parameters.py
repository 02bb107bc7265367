"""The names under which sampling parameters are sent to a server: models refuse some, or know them by other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmark.config import nearest
from benchmark.types import Json

PARAMETERS = ("temperature", "max_tokens", "top_p", "stop", "logprobs", "n")
"""What a request may set besides its prompt, under the names that OpenAI's protocol has for it."""
OWN_SETTING = {
    "max_tokens": "teacher.max_tokens=N gives another value, ",
    "n": "teacher.n_per_request=false never sends it, ",
    "logprobs": "teacher.logprobs=false never sends it, ",
}
"""What to say first of a parameter with a setting of its own."""
RESERVED = ("model", "messages", "prompt")
OTHER_CAP = "max_completion_tokens"
"""The name that newer models of OpenAI want in place of `max_tokens`."""


def refuse_unusable(names: Mapping[str, str | None]) -> None:
    """Raises ValueError for a parameter that there is not, and for two parameters under one name."""
    for ours in names:
        if ours not in PARAMETERS:
            raise ValueError(f"parameter_names holds {ours!r}, which is never sent{nearest(ours, PARAMETERS)}")
    sent = [name for ours in PARAMETERS if (name := names.get(ours, ours)) is not None]
    for name in sent:
        if not name.strip() or name in RESERVED or sent.count(name) > 1:
            raise ValueError(f"parameter_names sends {name!r}, which is empty, taken or there twice")


def left_out(names: Mapping[str, str | None]) -> tuple[str, ...]:
    """The parameters that are not sent, so that the server's own values hold."""
    return tuple(ours for ours in PARAMETERS if names.get(ours, ours) is None)


def renamed(body: Mapping[str, Json], names: Mapping[str, str | None]) -> dict[str, Json]:
    """The body of a request with the server's names, without what is left out."""
    sent = {names.get(ours, ours): value for ours, value in body.items()}
    return {name: value for name, value in sent.items() if name is not None}


def hint_about(error: Json, said: str, body: Mapping[str, Any], names: Mapping[str, str | None]) -> str:
    """The end of an error message: the setting of the parameter that a server complains about; empty if it names none.

    `error` is the server's error, `said` its words, `body` the request that was sent.
    """
    ours_by_sent = {names.get(ours, ours): ours for ours in PARAMETERS}
    named = error.get("param") if isinstance(error, Mapping) else None
    blamed = sorted((sent for sent in body if sent in ours_by_sent), key=lambda sent: (sent != named, -len(sent)))
    found = next((sent for sent in blamed if sent == named or _names(said, sent)), None)
    if found is None:
        return ""
    ours = ours_by_sent[found]
    if ours == "max_tokens" and OTHER_CAP in said and found != OTHER_CAP:
        return f"; give teacher.token_cap_name={OTHER_CAP}"
    setting = f"teacher.parameter_names.{ours}"
    return f"; {OWN_SETTING.get(ours, '')}{setting}=null leaves {found} out, {setting}=NAME sends it under another name"


def _names(said: str, parameter: str) -> bool:
    """Whether a server's words name a parameter; `n` and `stop` are also words, so that they must stand in quotes."""
    quote = "['\"`]" if parameter in ("n", "stop") else r"(?<!\w)"
    return re.search(quote + re.escape(parameter) + r"(?!\w)", said) is not None

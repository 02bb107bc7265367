"""A judge that follows a script, and writes down what it is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from benchmark.tasks.dataset import Dataset
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price, estimated_tokens
from benchmark.types import PlannedRequest, Reply, Request, Usage

ASKED: list[Request] = []
"""All requests that reached a scripted judge; a test that counts them empties the list first."""
IN_FLIGHT: list[int] = []
"""At every request, how many were being answered; emptied likewise."""
INSISTS = "Write nothing else"
LONGEST_REPLY = 64


def shown(prompt: str) -> dict[str, str]:
    """Place -> the explanation that a prompt shows there."""
    return {place: text for place, text in re.findall(r"^Student ([AB])\nAnswer: .*\nExplanation: (.*)$", prompt, re.M)}


def _longer(prompt: str) -> str:
    one, other = shown(prompt)["A"], shown(prompt)["B"]
    return "tie" if len(one) == len(other) else "A" if len(one) > len(other) else "B"


SCRIPTS: Mapping[str, Callable[[str], str]] = {
    "a": lambda prompt: "A",
    "longer": _longer,
    "tie": lambda prompt: "Verdict: tie",
    "mumbles": lambda prompt: "Both are fine in their way.",
    "mumbles_once": lambda prompt: _longer(prompt) if INSISTS in prompt else "Let me think.",
    "a_or_tie": lambda prompt: "A" if _longer(prompt) == "A" else "tie",
}


@dataclass(frozen=True)
class ScriptedJudge:
    """Says what its script says; its replies cost something and go into the store."""

    stored: ClassVar[bool] = True
    roles: ClassVar[None] = None
    capabilities: ClassVar[Capabilities] = Capabilities()
    name: str = "scripted"
    model: str = "scripted-model"
    says: Literal["a", "longer", "tie", "mumbles", "mumbles_once", "a_or_tie"] = "longer"
    concurrency: int = field(default=4, metadata={"identity": False})
    price: Price = field(default=Price(2.0, 10.0), metadata={"identity": False})

    def open(self, dataset: Dataset) -> OpenTeacher:
        return self

    def fingerprint(self, dataset: Dataset) -> str:
        return ""

    def covers(self, question_id: str) -> bool:
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        return Usage(1, estimated_tokens(request.request.prompt), LONGEST_REPLY)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        assert samples == 1
        ASKED.append(request)
        _running.append(request)
        IN_FLIGHT.append(len(_running))
        await asyncio.sleep(0)
        _running.remove(request)
        text = SCRIPTS[self.says](request.prompt)
        return [Reply(text, "stop", estimated_tokens(request.prompt), estimated_tokens(text))]


_running: list[Request] = []


def yaml_of(**settings: Any) -> str:
    """A file of `conf/teacher` that chooses a scripted judge."""
    lines = [f"_target_: {ScriptedJudge.__module__}.{ScriptedJudge.__name__}"]
    lines += [
        f"{name}: {value}"
        for name, value in {"name": "scripted", "model": "scripted-model", "says": "longer", **settings}.items()
    ]
    return "\n".join(lines) + "\n"

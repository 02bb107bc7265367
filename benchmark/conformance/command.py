"""`python -m benchmark check-method NAME [overrides]`: runs all rules on one method and prints a line for each."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.config import nearest
from benchmark.conformance.candidate import Candidate, candidate, traces_of_a_new_process
from benchmark.conformance.miniature import RECORDED, generated_datasets, write_recorded_dataset
from benchmark.conformance.rules import RULES, Broken, Rule, claims_or_refuses
from benchmark.errors import ConfigError, in_a_line

COMMAND = "check-method"
USAGE = f"python -m benchmark {COMMAND} NAME [hydra.searchpath=[FOLDER]] [dataset=NAME,NAME] [SETTING=VALUE ...]"
NEW_PROCESS = "gives the same in a new process"
RUNS = "runs"
CLAIMS = "is claimed, or refused for what the method requires"
CLAIMS_ONE = "claims at least one dataset"
USUAL: tuple[str, ...] = ("chain_sum", "trait_choice", RECORDED)
"""What is tried if nothing is said: answers to write, options to choose from, and rows of a file."""
FIXED = ("method", "mode", "seed", "data_seed", "results_dir", "store_path", "budget.questions")
"""What the checks set themselves."""


class Verdict(NamedTuple):
    """What came of one rule on one dataset."""

    dataset: str
    """The dataset; empty for a rule about all of them."""
    rule: str
    """The rule in a few words."""
    failure: str | None
    """One line that says how the method breaks it; None if it keeps it."""
    note: str = ""
    """What else there is to know: why the plan refuses the dataset."""

    @property
    def line(self) -> str:
        """The line of the report."""
        said = "ok" if self.failure is None else "failed"
        more = self.failure or self.note
        where = f"{self.dataset}: " if self.dataset else ""
        return f"{said:6}  {where}{self.rule}{f': {more}' if more else ''}"


def check_method(arguments: Sequence[str], conf: Path, say: Callable[[str], None] | None = None) -> int:
    """Checks a preset and returns the exit status: 0 if it keeps every rule, 1 if not.

    Args:
        arguments: the preset's name and overrides as Hydra takes them; `hydra.searchpath=[FOLDER]` adds configs.
        conf: the folder of the benchmark's own configs.
        say: receives each line of the report; the default prints it.

    Raises:
        ConfigError: for a missing name, a setting that the checks set themselves, or a dataset that they cannot use.
        Exception: what composing the config raises, such as Hydra's error for a method that does not exist.
    """
    tell = say or _print
    name, datasets, further = _read(arguments, conf)
    failed = count = 0
    with tempfile.TemporaryDirectory() as folder:
        recorded, elsewhere = write_recorded_dataset(Path(folder)), (f"results_dir='{folder}/results'",)
        tried = {data: candidate(conf, name, data, recorded, (*elsewhere, *further)) for data in datasets}
        for each in tried.values():
            _ = each.cell  # a preset that cannot be composed is wrong input, found before any check
        for verdict in verdicts(tried, conf):
            tell(verdict.line)
            count, failed = count + 1, failed + (verdict.failure is not None)
    tell(f"method={name}: {count - failed} checks ok, {failed} failed")
    return 1 if failed else 0


def verdicts(tried: Mapping[str, Candidate], conf: Path) -> Iterator[Verdict]:
    """What comes of every rule, one by one. `tried` holds the method on each dataset, by the dataset's name."""
    for dataset, each in tried.items():
        refusal = each.refusal
        yield _verdict(dataset, CLAIMS, claims_or_refuses, each, "" if refusal is None else f"refused: {refusal}")
    claimed = {dataset: each for dataset, each in tried.items() if each.refusal is None}
    none = "the plan refuses every dataset that was tried; dataset=NAME tries others"
    yield Verdict("", CLAIMS_ONE, None if claimed else none)
    running: dict[str, Candidate] = {}
    for dataset, each in claimed.items():
        first = _verdict(dataset, RUNS, _runs, each)
        yield first
        if first.failure is None:  # else every other rule would say the same
            running[dataset] = each
    for dataset, each in running.items():
        for rule, keeps in RULES.items():
            if rule != NEW_PROCESS:
                yield _verdict(dataset, rule, keeps, each)
    yield from _in_a_new_process(running, conf)


def _runs(tried: Candidate) -> None:
    """The plain cell ends without an error."""
    tried.run()


def _in_a_new_process(running: Mapping[str, Candidate], conf: Path) -> Iterator[Verdict]:
    """The rule about a new process, which is started once for all datasets."""
    if not running:
        return
    try:
        traces = traces_of_a_new_process(conf, {dataset: each.overrides for dataset, each in running.items()})
    except RuntimeError as error:
        yield Verdict("", NEW_PROCESS, f"it failed there: {error}")
        return
    for dataset, each in running.items():
        each.elsewhere = traces[dataset]
        yield _verdict(dataset, NEW_PROCESS, RULES[NEW_PROCESS], each)


def _verdict(dataset: str, rule: str, keeps: Rule, tried: Candidate, note: str = "") -> Verdict:
    try:
        keeps(tried)
    except Broken as broken:
        return Verdict(dataset, rule, str(broken))
    except Exception as error:
        return Verdict(dataset, rule, in_a_line(error))
    return Verdict(dataset, rule, None, note)


def _read(arguments: Sequence[str], conf: Path) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """(name of the preset, datasets to try, further overrides)."""
    if not arguments or "=" in arguments[0] or arguments[0].startswith("-"):
        raise ConfigError(f"{COMMAND} needs the name of a preset: {USAGE}")
    name, *further = arguments
    known, datasets = (*generated_datasets(conf), RECORDED), USUAL
    for override in further:
        key, _, value = override.partition("=")
        if key in FIXED or key.startswith("-"):
            raise ConfigError(f"{COMMAND} sets {key} itself; leave {override} out")
        if key == "dataset":
            datasets = tuple(value.split(","))
            for dataset in datasets:
                if dataset not in known:
                    raise ConfigError(
                        f"dataset={dataset}: {COMMAND} tries {', '.join(known)}, of which it has rows without a "
                        f"download{nearest(dataset, known)}"
                    )
    return name, datasets, tuple(override for override in further if not override.startswith("dataset="))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

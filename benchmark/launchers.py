"""Launchers of sweeps: what they need, how many cells they run side by side, and how many threads a cell gets.

The launchers themselves are plug-ins of Hydra. Our values for them are in `conf/hydra/launcher/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import ConfigError
from benchmark.extras import absence

if TYPE_CHECKING:
    from omegaconf import DictConfig

MOST_AT_ONCE = 8
"""Memory ends before cores do on large machines: each process loads torch, and each cell its models."""
THREADS = "OMP_NUM_THREADS"
"""The environment variable from which a new process, torch included, takes its number of threads."""
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "submitit": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
    "ray": ("hydra_plugins.hydra_ray_launcher", "ray"),
}
"""By extra the modules that its launchers need."""


@dataclass(frozen=True)
class Launcher:
    """How the launcher of a sweep spreads its cells."""

    option: str = "basic"
    """Its name on the command line."""
    at_once: int | None = 1
    """The most cells at one time; None where that is not known before."""
    is_here: bool = True
    """Whether all cells run on this machine."""
    batch_size: int | None = None
    """The most cells that it gets at once; None is no bound."""

    @property
    def spreads(self) -> bool:
        """Whether several processes may run cells at one time."""
        return self.at_once != 1

    @property
    def words(self) -> str:
        """How many cells run at one time, for people; empty if it is one."""
        return f", {self.at_once or 'several'} at a time ({self.option})" if self.spreads else ""

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Inside the block, processes that start here share the cores, and Ray drops no line of a cell.

        What the user has set stays: OMP_NUM_THREADS, RAY_DEDUP_LOGS.
        """
        ours = {"RAY_DEDUP_LOGS": "0"}  # it takes lines of two cells for repetitions if only their numbers differ
        if self.spreads and self.is_here:
            ours[THREADS] = str(max(_cores() // (self.at_once or _cores()), 1))
        ours = {name: value for name, value in ours.items() if name not in os.environ}
        os.environ.update(ours)
        try:
            yield
        finally:
            for name in ours:
                os.environ.pop(name, None)


def launcher_of(config: DictConfig, max_batch_size: int | None) -> Launcher:
    """The launcher of a composed config. Raises ConfigError where its packages are not installed.

    `max_batch_size` is that of the sweeper; None where nobody gave one.
    """
    option, node = str(config.hydra.runtime.choices["hydra/launcher"]), config.hydra.launcher
    kind = str(node.get("_target_")).rpartition(".")[2]
    refuse_absent(option, kind.removesuffix("Launcher").lower())
    if kind == "BasicLauncher":
        return Launcher(option, batch_size=max_batch_size)
    if kind == "JoblibLauncher":
        from joblib import effective_n_jobs

        return Launcher(option, effective_n_jobs(node.n_jobs), batch_size=max_batch_size)
    if kind == "LocalLauncher":  # it starts all that it gets
        size = cells_at_once(config.trainer.accelerator) if max_batch_size is None else max_batch_size
        return Launcher(option, size if size > 0 else None, batch_size=size)
    if kind == "SlurmLauncher":
        return Launcher(option, int(node.array_parallelism), is_here=False, batch_size=max_batch_size)
    if kind == "RayLauncher" and node.ray.init.get("num_cpus") is not None:
        per_cell = max(float(node.ray.remote.get("num_cpus") or 1), 1e-3)
        return Launcher(option, max(int(node.ray.init.num_cpus / per_cell), 1), batch_size=max_batch_size)
    return Launcher(option, None, is_here=False, batch_size=max_batch_size)


def refuse_absent_of(arguments: Sequence[str]) -> None:
    """Raises ConfigError where the launcher that a command names needs a package that is not installed.

    Before any config is composed: without the package, the settings of its launcher have no names.
    """
    for argument in arguments:
        group, _, option = argument.partition("=")
        if group == "hydra/launcher":
            refuse_absent(option)


def refuse_absent(option: str, kind: str = "") -> None:
    """Raises ConfigError where a launcher's package is not installed; `kind` is the name of its class."""
    kinds = {"local": "submitit", "slurm": "submitit", "ray": "ray"}
    extra = kinds.get(kind, option.partition("_")[0])
    for module in EXTRAS.get(extra, ()):
        if (why := absence(module)) is not None:
            package = module.rpartition(".")[2].replace("_", "-")
            raise ConfigError(
                f'hydra/launcher={option} needs {package}, which {why}: pip install -c constraints.txt -e ".[{extra}]"'
            )


def cells_at_once(accelerator: str = "cpu") -> int:
    """How many cells this machine should run side by side: one per core, up to 8; one alone on a GPU."""
    return 1 if gpus_per_cell(accelerator) else min(_cores(), MOST_AT_ONCE)


def gpus_per_cell(accelerator: str) -> int:
    """1 where cells with this `trainer.accelerator` compute on a GPU of this machine, else 0."""
    from benchmark.student.hardware import device_type

    return int(device_type(accelerator) == "cuda")


def _cores() -> int:
    """The cores that this process may use, as far as its affinity and its container limit them."""
    from joblib import cpu_count

    return int(cpu_count())

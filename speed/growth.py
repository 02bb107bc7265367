"""How time and memory grow with the work: stored records, planned cells, a pool of questions.

python speed/growth.py records 100 1000 10000: `analysis table`, `status`, `report` over so many synthetic records.
python speed/growth.py plan 10 100 1000: `mode=plan` of so many tiny cells.
python speed/growth.py sweep 4 40 400: so many tiny cells, run one after the other.
python speed/growth.py pool 1000 10000 100000: one cell with so many questions to choose from, of which it buys 100.

Prints one JSON object per size and command: CPU seconds, wall-clock seconds and the peak of memory of its processes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Commands = Iterator[tuple[str, list[str]]]
TINY = (
    "student=tiny",
    "method=answer_only",
    "dataset.pool_size=40",
    "dataset.validation_size=10",
    "dataset.test_size=10",
    "budget.questions=20",
    "optimization.max_steps=5",
    "trainer.accelerator=cpu",
    "trainer.save_student=false",
)


def records(size: int, folder: Path) -> Commands:
    """Reads records: 20 methods, 5 seeds, and as many datasets as there must be."""
    from tests.analysis.output.plots.plot_files import write_cells

    results = folder / "results"
    for dataset in range(max(1, size // 100)):
        write_cells(results, [f"m{m}" for m in range(min(20, size // 5))], (1, 2, 3, 4, 5), f"set_{dataset}")
    for command in ("table", "status"):
        yield command, ["analysis", command, "--results", str(results)]
    yield "report", ["analysis", "report", "--results", str(results), "--output", str(folder)]


def plan(size: int, folder: Path) -> Commands:
    """Plans cells that differ in their seeds."""
    yield "plan", ["benchmark", "-m", *TINY, f"seed=range(0,{size})", f"results_dir={folder}", "mode=plan"]


def sweep(size: int, folder: Path) -> Commands:
    """Runs them, and asks for them once more when all are there."""
    command = ["benchmark", "-m", *TINY, f"seed=range(0,{size})", f"results_dir={folder}", "references=false"]
    yield "run", command
    yield "run again", command


def pool(size: int, folder: Path) -> Commands:
    """Runs one cell over a pool."""
    sizes = (f"dataset.pool_size={size}", "budget.questions=100", f"results_dir={folder}")
    yield "cell", ["benchmark", *TINY, *sizes]


KINDS: dict[str, Callable[[int, Path], Commands]] = {"records": records, "plan": plan, "sweep": sweep, "pool": pool}


def measured(arguments: list[str]) -> dict[str, float]:
    """What one command costs, with its processes."""
    started = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", *arguments],
            os.environ | {"OMP_NUM_THREADS": "1"},
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1), (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 2)],
        )
        _, status, usage = os.wait4(child, 0)
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "megabytes": round(usage.ru_maxrss / 1024),
    }


def main(kind: str, sizes: list[int]) -> None:
    """Prints one line per size and command."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for name, arguments in KINDS[kind](size, Path(folder)):
                print(json.dumps({"what": f"{kind}: {name}", "size": size} | measured(arguments)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [int(size) for size in sys.argv[2:]])

"""Records golden runs: `python -m tests.golden.record [METHOD ...]`, all presets without a name.

Says what moved in each. Commit the files together with the change that moved them.
"""

from __future__ import annotations

import argparse
import json
import sys

import benchmark
from tests.golden.drift import FOLDER, drift, golden_file
from tests.golden.measure import dataset_for, measure, presets


def record(method: str) -> str:
    """Runs one preset, writes its file and returns a line on what moved."""
    path = golden_file(method)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    measured = measure(method, before["dataset"] if before else dataset_for(method))
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if before is None:
        return f"{method}: recorded"
    moved = [line for line in drift(before, measured) if not line.startswith("engine_version")]
    if moved and before["engine_version"] == benchmark.ENGINE_VERSION:
        return (
            f"{method}: recorded anew, {len(moved)} numbers moved, and ENGINE_VERSION is still "
            f"{benchmark.ENGINE_VERSION}: right only if the method's own module, options or prompts changed"
        )
    return f"{method}: recorded anew, {len(moved)} numbers moved"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    wanted = parser.parse_args().methods or presets()
    unknown = sorted(set(wanted) - set(presets()))
    if unknown:
        parser.error(f"there is no preset {', '.join(unknown)}; there are {', '.join(presets())}")
    for method in wanted:
        sys.stdout.write(record(method) + "\n")
    if wanted == presets():
        for path in sorted(FOLDER.glob("*.json")):
            if path.stem not in presets():
                path.unlink()
                sys.stdout.write(f"{path.stem}: there is no such preset any more, its golden run is removed\n")


if __name__ == "__main__":
    main()

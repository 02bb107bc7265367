"""Runs cells in a process of their own: reads {name: overrides} as JSON, prints {name: traces} as JSON.

Started by the contract tests as `python -m tests.rehearsals.fresh_process`.
"""

from __future__ import annotations

import gc
import json
import sys

from tests.cells import composed_cell
from tests.rehearsals.watched_cells import observe_bare

if __name__ == "__main__":
    gc.freeze()  # a fit searches all objects for what stands in cycles, and need not search the libraries
    wanted: dict[str, list[str]] = json.load(sys.stdin)
    made = {name: vars(observe_bare(composed_cell(overrides)).traces) for name, overrides in wanted.items()}
    sys.stdout.write(json.dumps(made))

"""Runs cells in a process of their own: reads {name: overrides} as JSON, prints {name: traces} as JSON.

Started by the checks as `python -m benchmark.conformance.fresh_process CONF`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from pathlib import Path

from benchmark.conformance.miniature import composed_cell
from benchmark.conformance.observed import observe_bare

if __name__ == "__main__":
    gc.freeze()  # a fit searches all objects for what stands in cycles, and need not search the libraries
    conf, wanted = Path(sys.argv[1]), json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):  # what a method prints is no JSON
        made = {name: vars(observe_bare(composed_cell(conf, overrides)).traces) for name, overrides in wanted.items()}
    sys.stdout.write(json.dumps(made))

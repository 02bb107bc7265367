"""`python -m benchmark.pretraining`: makes the base of a tiny warm student anew, in a few minutes on one core."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmark.student.warm import SHAPES, WIDE, weights_of

REPORT_EVERY = 500
"""Steps between two lines of progress."""


def main(arguments: list[str] | None = None) -> int:
    """Writes weights and card into the folder; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.pretraining", description=__doc__)
    parser.add_argument(
        "--width", type=int, choices=sorted(SHAPES), default=WIDE.hidden_size, help="of the network; default: 64"
    )
    parser.add_argument("--folder", type=Path, help="where weights and card go; default: the package's own")
    options = parser.parse_args(arguments)
    shape = SHAPES[options.width]
    folder: Path = options.folder or weights_of(shape).parent

    from safetensors.torch import save_model

    from benchmark.pretraining.card import card_of
    from benchmark.pretraining.train import SETTINGS, pretrained
    from benchmark.records.contents import file_hash

    def report(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0:
            sys.stderr.write(f"step {step:,} of {SETTINGS.max_steps:,}: loss {loss:.3f} nats\n")

    student = pretrained(shape, report=report)
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / weights_of(shape).name
    save_model(student.network, str(weights))
    (folder / "README.md").write_text(card_of(shape, file_hash(weights)), encoding="utf-8")
    sys.stdout.write(f"{weights}: {weights.stat().st_size:,} bytes, sha256 {file_hash(weights)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``contimg release``: take back a decision; the verdict counts again."""

from __future__ import annotations

from contimg.core.command import Command
from contimg.operate.decide import DecisionFiles, decide


def run(files: DecisionFiles) -> None:
    """Write the rows."""
    decide(files, {"mosaic": "release", "tile": "release"})


COMMAND = Command(
    help="Take back what was decided about mosaics or tiles: their verdict counts again.",
    files=DecisionFiles,
    options=(),
    run=run,
    by_hand=True,
)

"""``contimg publish``: publish mosaics in spite of their verdict."""

from __future__ import annotations

from contimg.core.command import Command
from contimg.operate.decide import DecisionFiles, decide


def run(files: DecisionFiles) -> None:
    """Write the rows."""
    decide(files, {"mosaic": "publish"})


COMMAND = Command(
    help="Decide that mosaics are published in spite of their verdict (at the next run).",
    files=DecisionFiles,
    options=(),
    run=run,
    by_hand=True,
)

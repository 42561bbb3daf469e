"""``contimg hold``: keep a mosaic from being published, or a tile out of its mosaics."""

from __future__ import annotations

from contimg.core.command import Command
from contimg.core.errors import ContimgError
from contimg.operate.decide import DecisionFiles, decide


def run(files: DecisionFiles) -> None:
    """Write the rows; the next run withdraws what is published."""
    if not files.reason:
        raise ContimgError("give the --reason: it stands in the table and in the record")
    decide(files, {"mosaic": "hold", "tile": "leave_out"})


COMMAND = Command(
    help="Hold back mosaics (the next run withdraws them), or leave tiles out of all mosaics.",
    files=DecisionFiles,
    options=(),
    run=run,
    by_hand=True,
)

"""``contimg calibrators list``: check a table of calibrators and print it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.core.calibrators import may_set_scale, read_calibrators
from contimg.core.catalog import flux_density
from contimg.core.command import Command, Files


class CalibratorsFiles(Files):
    """The table and what to print of it."""

    calibrators: Path = Field(
        Path("config/calibrators.csv"), description="table of the calibrators"
    )
    freq_mhz: float = Field(1405.0, gt=0, description="frequency of the flux densities [MHz]")


def run(files: CalibratorsFiles) -> None:
    """Print name, position, flux density, role, and whether it may set the flux scale."""
    table = read_calibrators(files.calibrators)
    freq_hz = files.freq_mhz * 1e6
    flux = flux_density(table, freq_hz * np.array([1.0, 1.001]))
    index = np.log(flux[:, 1] / flux[:, 0]) / np.log(1.001)
    print("name          ra [deg]    dec [deg]   S [Jy]  index  role      scale  why")
    for (_, row), jansky, slope in zip(table.iterrows(), flux[:, 0], index, strict=True):
        allowed, why = may_set_scale(row)
        print(
            f"{row['name']:12s} {row['ra_deg']:10.5f}  {row['dec_deg']:+10.5f}  {jansky:7.3f}"
            f"  {slope:+5.2f}  {row['role']:8s}  {'yes' if allowed else 'no':5s}  {why}"
        )


COMMAND = Command(
    help="Check the table of calibrators and print it: who may set the flux scale, and why.",
    files=CalibratorsFiles,
    options=(),
    run=run,
)

"""The tables that a configuration names, read and checked before anything is planned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contimg.check.fluxes import read_expected
from contimg.core.calibrators import read_calibrators
from contimg.core.catalog import read_sources
from contimg.core.errors import ContimgError
from contimg.core.paths import path
from contimg.core.tables.antennas import read_positions

if TYPE_CHECKING:
    from contimg.config import Config

SOURCES = ("field_model", "targets")  # keys of the config that name source tables


def check_tables(config: Config) -> None:
    """Raise :class:`ContimgError` for the first table of `config` that is not there or not right.

    What the run itself makes, the catalogue of a simulated sky, need not be there yet.
    """
    made = Path(path("sky", config.results)) if config.simulate.enabled else None
    named = {Path(getattr(config, key)) for key in SOURCES}
    for table in sorted(named):
        if (table != made or table.exists()) and read_sources(table).empty:
            raise ContimgError(f"{table}: a table without sources")
    read_calibrators(config.plan.calibrators)
    if config.convert.antenna_positions is not None:
        read_positions(config.convert.antenna_positions)
    if config.check.expected is not None:
        read_expected(config.check.expected)

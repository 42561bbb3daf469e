"""How tables are given out: to read on a terminal, or in a format of other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from contimg.core.command import Files

if TYPE_CHECKING:
    import pandas as pd


class TableFiles(Files):
    """Whose table, and in which form."""

    results: str = Field("results", description="results directory")
    csv: bool = Field(False, description="as CSV")
    ecsv: bool = Field(False, description="as ECSV, with units")
    vot: bool = Field(False, description="as VOTable, with UCDs, units, frame and time scale")
    json_: bool = Field(False, description="as JSON")
    out: Path | None = Field(None, description="file to write (to the terminal if unset)")

    @property
    def form(self) -> str:
        """The form that was asked for."""
        asked = {"csv": self.csv, "ecsv": self.ecsv, "vot": self.vot, "json": self.json_}
        return next((name for name, wanted in asked.items() if wanted), "text")


def give_out(
    files: TableFiles,
    table: pd.DataFrame,
    name: str,
    description: str,
    shown: list[str] | None = None,
) -> None:
    """Print a table or write it; of the columns only `shown` are printed to be read."""
    from contimg.core.export import rendered
    from contimg.core.records import write_text

    if files.form == "text" and shown is not None:
        table = table[[column for column in shown if column in table.columns]]
    text = rendered(table, files.form, name, description)
    if files.out is None:
        sys.stdout.write(text)
    else:
        write_text(files.out, text)
        print(f"{files.out}: {len(table)} rows")

"""``contimg sources``: sources with their statistics, by position, class and variability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from contimg.core.command import Command
from contimg.core.errors import ContimgError
from contimg.operate.output import TableFiles, give_out

if TYPE_CHECKING:
    import pandas as pd

SHOWN = [
    *("source", "ra_deg", "dec_deg", "distance_arcsec", "n_epochs", "mean_flux_jy"),
    *("mean_flux_err_jy", "v", "eta", "p_constant", "class", "list"),
]


class SourcesFiles(TableFiles):
    """Which sources."""

    near: list[str] | None = Field(
        None, description="around a position (8h34m54s +55d34m, 128.7 55.6 in degrees) or a source"
    )
    radius: str = Field("5m", description="with --near: 5m (minutes), 30s (seconds) or 0.1d")
    variable: bool = Field(
        False, description="those that a constant source explains with p < 0.001"
    )
    class_: str | None = Field(None, description="of this class (ese, flare, red_noise, ...)")
    name: str | None = Field(None, description="whose names contain this")
    limit: int | None = Field(None, ge=1, description="only the first of them")


def run(files: SourcesFiles) -> None:
    """Print the sources asked for: by distance with --near, else as they stand in the table."""
    table = select(files)
    if files.limit is not None:
        table = table.head(files.limit)
    give_out(files, table, "sources", "Variability statistics of radio sources", SHOWN)


def select(files: SourcesFiles) -> pd.DataFrame:
    """The sources asked for."""
    from contimg.core.places import angle_deg
    from contimg.report.lookup import near, sources

    table = sources(files.results)
    if files.near is not None:
        table = near(table, " ".join(files.near), angle_deg(files.radius))
    if files.variable:
        table = table[table["p_constant"] < 1e-3]
    if files.class_ is not None:
        known = sorted(set(table["class"]))
        if files.class_ not in known:
            raise ContimgError(f"no source of the class {files.class_}; there are {known}")
        table = table[table["class"] == files.class_]
    if files.name is not None:
        table = table[table["source"].astype(str).str.contains(files.name, regex=False)]
    return table.reset_index(drop=True)


COMMAND = Command(
    help="List sources with their variability: by position, class, name.",
    files=SourcesFiles,
    options=(),
    run=run,
    by_hand=True,
)

"""``contimg lightcurve``: all measurements of a source."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contimg.core.command import Command
from contimg.core.errors import ContimgError
from contimg.core.options import POSITIONAL
from contimg.operate.output import TableFiles, give_out

SHOWN = [
    *("mosaic", "mjd", "flux_jy", "flux_err_jy", "flux_norm_jy", "flux_norm_err_jy", "gain"),
    *("is_reference", "flag"),
]


class LightcurveFiles(TableFiles):
    """Whose light curve."""

    name: Annotated[list[str], POSITIONAL] = Field(
        [], description="name of the source, or a position within a minute of arc of it"
    )


def run(files: LightcurveFiles) -> None:
    """Print the measurements in order of time."""
    from contimg.report.lookup import find, light_curve, light_curves

    if not files.name:
        raise ContimgError("name the source; contimg sources lists them")
    words = " ".join(files.name)
    name = find(light_curves(files.results).drop_duplicates("source"), words)
    if files.form == "text":
        print(name)
    give_out(
        files, light_curve(files.results, name), "light curve", f"Light curve of {name}", SHOWN
    )


COMMAND = Command(
    help="Print the light curve of a source, as measured and normalised, with flags.",
    files=LightcurveFiles,
    options=(),
    run=run,
    by_hand=True,
)

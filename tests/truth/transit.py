"""A simulated transit of a calibrator, converted and ready to be solved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contimg.calibrate.solve import SolveFiles
from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core.groups import Group, write_manifest
from contimg.flag.options import FlagOptions
from contimg.simulate.command import simulate_group
from contimg.simulate.options import SimulateOptions
from truth.observe import INSTRUMENT, sky_of


def surrounded(group: Group) -> pd.DataFrame:
    """A calibrator CAL of 8.8 Jy among F0 .. F10 of 0.3 to 0.8 Jy."""
    rng = np.random.default_rng(4)
    places = [(0.1, -0.3, 8.8)]
    for angle, jansky in zip(np.arange(11) * 2.4, np.linspace(0.3, 0.8, 11), strict=True):
        radius = rng.uniform(0.3, 1.0)
        places.append((radius * np.cos(angle), radius * np.sin(angle), jansky))
    sky = pd.concat([sky_of(group, *place) for place in places], ignore_index=True)
    sky["name"] = ["CAL", *(f"F{k}" for k in range(11))]
    return sky


def observe_transit(
    directory: Path,
    group: Group,
    sky: pd.DataFrame,
    simulate: SimulateOptions,
    flag: FlagOptions,
    **calibrator,
) -> SolveFiles:
    """Files of the solution of `group`; the first source of `sky` is the calibrator, CAL.

    In its table it has the columns `calibrator`, instead of those of the sky; the catalogue is
    the sky.
    """
    sky.to_csv(directory / "catalog.csv", index=False)
    table = sky[:1].assign(**({"name": "CAL"} | calibrator))
    table.to_csv(directory / "calibrators.csv", index=False)
    (directory / "raw").mkdir()
    entries = simulate_group(directory / "raw", group, sky, INSTRUMENT, simulate)
    write_manifest(directory / "manifest.json", group, entries)
    converted = ConvertFiles(
        manifest=directory / "manifest.json",
        calibrator="CAL",
        calibrators=directory / "calibrators.csv",
        ms=directory / "cal.ms",
        record=directory / "cal.json",
    )
    convert(converted, INSTRUMENT, ConvertOptions(), flag)
    return SolveFiles(
        ms=converted.ms,
        ms_record=converted.record,
        calibrator="CAL",
        calibrators=converted.calibrators,
        catalog=directory / "catalog.csv",
        **outputs(directory),
    )


def outputs(directory: Path) -> dict[str, Path]:
    """The files that a solution writes, below `directory`."""
    tables = {name: directory / f"t.{name.upper()}" for name in ("k", "b", "g")}
    return tables | {"plot": directory / "t.png", "record": directory / "solutions.json"}

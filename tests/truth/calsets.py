"""A simulated group, converted for calibration and as a tile, and its solved calset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from contimg.calibrate import solve
from contimg.calibrate.apply import ApplyFiles
from contimg.calibrate.options import CalibrateOptions
from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core.groups import Group, write_manifest
from contimg.flag.options import FlagOptions
from contimg.simulate.command import simulate_group
from contimg.simulate.options import SimulateOptions
from truth.observe import INSTRUMENT


@dataclass(frozen=True)
class Observed:
    """Files of one group below its directory."""

    directory: Path
    group: Group
    sky: pd.DataFrame

    @property
    def catalog(self) -> Path:
        """All sources."""
        return self.directory / "catalog.csv"

    @property
    def calibrators(self) -> Path:
        """The first source of the sky."""
        return self.directory / "calibrators.csv"

    def solved(self, name: str, options: CalibrateOptions | None = None) -> Path:
        """The record of the calset `name`, solved on the first source."""
        folder = self.directory / name
        folder.mkdir()
        ms = self.directory / "cal.ms"
        if not ms.exists():
            self.convert(ms, calibrator=str(self.sky["name"].iloc[0]))
        files = solve.SolveFiles(
            ms=ms,
            ms_record=ms.with_suffix(".json"),
            calibrator=str(self.sky["name"].iloc[0]),
            calibrators=self.calibrators,
            catalog=self.catalog,
            k=folder / "t.K",
            b=folder / "t.B",
            g=folder / "t.G",
            plot=folder / "t.png",
            record=folder / "solutions.json",
        )
        solve.run(files, INSTRUMENT, options or CalibrateOptions())
        return files.record

    def convert(self, ms: Path, calibrator: str | None = None) -> Path:
        """The MS, nothing flagged but what is invalid; about the calibrator if it is named."""
        files = ConvertFiles(
            manifest=self.directory / "manifest.json",
            calibrator=calibrator,
            calibrators=None if calibrator is None else self.calibrators,
            ms=ms,
            record=ms.with_suffix(".json"),
        )
        convert(files, INSTRUMENT, ConvertOptions(), FlagOptions(steps=[]))
        return ms


def observe_sky(
    directory: Path, group: Group, sky: pd.DataFrame, simulate: SimulateOptions
) -> Observed:
    """Simulate one group of a sky, whose first source may calibrate it."""
    observed = Observed(directory, group, sky)
    raw = directory / "raw"
    raw.mkdir(parents=True)
    sky.to_csv(observed.catalog, index=False)
    sky[:1].to_csv(observed.calibrators, index=False)
    entries = simulate_group(raw, group, sky, INSTRUMENT, simulate)
    write_manifest(directory / "manifest.json", group, entries)
    return observed


def apply_files(ms: Path, solutions: list[Path], out: Path, **more) -> ApplyFiles:
    """Files of an application below `out`."""
    return ApplyFiles(
        ms=ms,
        ms_record=ms.with_suffix(".json"),
        solutions=solutions,
        calibrated=out / "calibrated.ms",
        choice=out / "calset.json",
        record=out / "calibrated.json",
        **more,
    )

"""A small array on two days, with a calset of the first; made once for all tests that apply one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from contimg.calibrate.apply import ApplyFiles
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import schedule
from truth.calsets import Observed, apply_files, observe_sky
from truth.observe import INSTRUMENT, PERFECT, sky_of

DRIFT = 0.15  # of the amplitude, and of the phase [rad], of each day
SIMULATE = PERFECT.model_copy(
    update={
        "epochs": 2,
        "noise": True,
        "antenna_step": 6,
        "outriggers": 4,
        "n_times": 8,
        "integration_s": 38.65,
        "gain_rms": 0.1,
        "gain_phases": True,
        "gain_drift_rms": DRIFT,
        "delay_rms_ns": 8.0,
        "bandpass_rms": 0.1,
        "dead_antennas": [7],
        "raw_scale": 0.01,
    }
)


class Days(NamedTuple):
    """Tiles of two days one sidereal day apart; the calset is of the first."""

    simulate: SimulateOptions
    sky: pd.DataFrame
    seen: list[Observed]
    tiles: list[Path]  # Measurement Sets
    record: Path  # of the calset

    def files(self, day: int, solutions: list[Path], out: Path, **more) -> ApplyFiles:
        """Files of an application below `out`."""
        return apply_files(self.tiles[day], solutions, out, **more)


@pytest.fixture(scope="session")
def days(tmp_path_factory) -> Days:
    """A calibrator of 5 Jy and three neighbours, antenna 7 dead."""
    directory = tmp_path_factory.mktemp("days")
    groups = schedule(SIMULATE, INSTRUMENT)
    places = [(0.1, -0.3, 5.0), (-0.6, 0.4, 1.5), (0.7, 0.5, 1.0), (-0.3, -0.9, 0.7)]
    sky = pd.concat([sky_of(groups[0], *place) for place in places], ignore_index=True)
    sky["name"] = ["CAL", "B", "C", "D"]
    seen = [observe_sky(directory / g.group, g, sky, SIMULATE) for g in groups]
    tiles = [s.convert(s.directory / "tile.ms") for s in seen]
    return Days(SIMULATE, sky, seen, tiles, seen[0].solved("calset"))

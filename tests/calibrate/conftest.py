"""A small observation with a calset, made once for all tests that apply one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from contimg.calibrate.apply import ApplyFiles
from contimg.core.beam import InstrumentOptions
from contimg.simulate.schedule import schedule
from truth.calsets import Observed, apply_files, observe_sky
from truth.observe import INSTRUMENT, PERFECT, sky_of

SIMULATE = PERFECT.model_copy(
    update={
        "noise": True,
        "gain_rms": 0.15,
        "gain_phases": True,
        "delay_rms_ns": 8.0,
        "bandpass_rms": 0.1,
        "raw_scale": 0.01,
        "channels_per_subband": 16,
        "dead_antennas": [9],
    }
)


class Calibrated(NamedTuple):
    """What there is of it."""

    seen: Observed
    tile: Path  # Measurement Set
    record: Path  # of the calset

    @property
    def instrument(self) -> InstrumentOptions:
        """The telescope."""
        return INSTRUMENT

    def files(self, solutions: list[Path], out: Path, **more) -> ApplyFiles:
        """Files of an application below `out`."""
        return apply_files(self.tile, solutions, out, **more)


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory) -> Calibrated:
    """A calibrator of 8.8 Jy and a neighbour, antenna 9 dead."""
    group = schedule(SIMULATE, INSTRUMENT)[0]
    sky = pd.concat([sky_of(group, 0.1, -0.3, 8.8), sky_of(group, -0.6, 0.4, 1.0)])
    sky["name"] = ["CAL", "B"]
    seen = observe_sky(tmp_path_factory.mktemp("apply"), group, sky, SIMULATE)
    return Calibrated(seen, seen.convert(seen.directory / "tile.ms"), seen.solved("calset"))

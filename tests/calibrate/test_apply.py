"""From the tile to the calibrated tile: what is flagged, what is averaged, what is recorded."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from contimg.calibrate import apply
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.core.errors import DataQualityError
from contimg.core.ms import open_table, read_axes
from contimg.simulate.schedule import schedule
from truth.calsets import apply_files, observe_sky
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


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A calibrator and a neighbour; the tile, and the record of the calset."""
    group = schedule(SIMULATE, INSTRUMENT)[0]
    sky = pd.concat([sky_of(group, 0.1, -0.3, 8.8), sky_of(group, -0.6, 0.4, 1.0)])
    sky["name"] = ["CAL", "B"]
    seen = observe_sky(tmp_path_factory.mktemp("apply"), group, sky, SIMULATE)
    return seen, seen.convert(seen.directory / "tile.ms"), seen.solved("calset")


def flags_of(ms):
    axes = read_axes(ms)
    with open_table(ms) as table:
        return axes, table.getcol("FLAG").reshape(*axes.shape, axes.freq_hz.size, 2)


def test_exactly_what_has_no_solution_is_flagged(observed, tmp_path):
    """Solutions taken out of the tables: one feed of G, an antenna of K, channels of B."""
    _, tile, record = observed
    wounded = tmp_path / "calset"
    shutil.copytree(record.parent, wounded)
    axes, before = flags_of(tile)
    alive = [a for a in np.union1d(axes.ant1, axes.ant2) if axes.antenna_names[a] != "DSA-9"]
    no_k, no_g, no_b, last = alive[1], alive[2], alive[3], alive[4]
    missing = np.zeros((len(axes.antenna_names), axes.freq_hz.size), bool)  # alike in both hands
    missing[[no_k, no_g]] = True
    missing[no_b, 5:9] = True
    missing[no_b, 20] = True
    missing[last, -3:] = True
    for name, wound in (
        ("K", lambda a, f: f.__setitem__((a == no_k,), True)),
        ("G", lambda a, f: f.__setitem__((a == no_g,), True)),
        ("B", lambda a, f: np.logical_or(f, missing[a][..., None], out=f)),
    ):
        with open_table(wounded / f"t.{name}", writable=True) as table:
            antenna, flags = table.getcol("ANTENNA1"), table.getcol("FLAG")
            wound(antenna, flags)
            table.putcol("FLAG", flags)
    files = apply_files(tile, [wounded / "solutions.json"], tmp_path)
    apply.run(files, INSTRUMENT, ApplyOptions(channel_bin=1))
    _, after = flags_of(files.calibrated)
    expected = before | (missing[axes.ant1] | missing[axes.ant2])[None, :, :, None]
    assert np.array_equal(after, expected)
    data = json.loads(files.record.read_text())["data"]
    assert data["antennas_lost"] == [axes.antenna_names[a] for a in (no_k, no_g)]


def test_coarse_solutions_serve_all_channels(observed, tmp_path):
    """A bandpass of four channels in one has no solution of its own for each; none is lost."""
    seen, tile, _ = observed
    record = seen.solved("coarse", CalibrateOptions(preset="development"))
    files = apply_files(tile, [record], tmp_path, tier="development")
    apply.run(files, INSTRUMENT, ApplyOptions(channel_bin=1))
    assert np.array_equal(flags_of(files.calibrated)[1], flags_of(tile)[1])


def test_development_serves_no_other_tier(observed, tmp_path):
    seen, tile, _ = observed
    record = seen.directory / "coarse" / "solutions.json"
    files = apply_files(tile, [record], tmp_path, tier="standard")
    with pytest.raises(DataQualityError, match="not fit for images of tier standard"):
        apply.run(files, INSTRUMENT, ApplyOptions())
    choice = json.loads(files.choice.read_text())
    assert choice["calset"] == "" and "not fit" in choice["candidates"][0]["refused"]
    assert not files.calibrated.exists()

"""The summary says where the flags are; the picture can be drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contimg.flag.options import FlagOptions
from contimg.flag.plot import draw
from contimg.flag.summary import Tally, checks, for_record, summarise
from flag import simulated_context as m


@pytest.fixture
def tally():
    """Five antennas, 2 subbands of 8 channels; antenna 4 dead, a burst, a line, one correlation."""
    made = m.empty(5, 8, 6)
    context = made.context
    tally = Tally(
        ant1=context.ant1,
        ant2=context.ant2,
        antenna_names=context.antenna_names,
        length_m=context.length_m,
        mjd=context.times_mjd,
        freq_hz=1.4e9 + 1e6 * np.arange(16),
        correlations=["XX", "YY"],
    )
    flags = np.zeros((6, 10, 16, 2), bool)
    flags[:, context.incidence[4]] = True
    flags[2] = True
    flags[:, :, 11] = True
    flags[:, 0, :, 1] = True
    for first in (8, 0):  # subbands in any order
        tally.add(first, flags[:, :, first : first + 8])
    return tally, flags, context


def test_sums_are_those_of_the_flags(tally):
    tally, flags, context = tally
    summary = summarise(tally, {"dead_antennas": 0.1})
    assert summary["flagged_fraction"] == pytest.approx(flags.mean())
    assert summary["usable_fraction"] == pytest.approx(1 - flags.mean())
    for number, name in enumerate(context.antenna_names):
        expected = flags[:, context.incidence[number]].mean()
        assert summary["flagged_by_antenna"][name] == pytest.approx(expected, abs=1e-4)
    assert summary["flagged_by_channel"] == pytest.approx(flags.mean(axis=(0, 1, 3)), abs=1e-4)
    assert summary["flagged_by_time"] == pytest.approx(flags.mean(axis=(1, 2, 3)), abs=1e-4)
    assert summary["flagged_by_correlation"] == pytest.approx(
        dict(zip(["XX", "YY"], flags.mean(axis=(0, 1, 2)), strict=True)), abs=1e-4
    )
    lengths = summary["flagged_by_baseline_length"]
    assert lengths[0]["min_m"] == pytest.approx(21.2, abs=0.1)
    assert [row["min_m"] for row in lengths] == sorted(row["min_m"] for row in lengths)
    assert summary["dead_antennas"] == [context.antenna_names[4]]
    alive = np.delete(flags, np.flatnonzero(context.incidence[4]), axis=1)
    assert summary["time_channel"] == pytest.approx(alive.mean(axis=(1, 3)), abs=1e-6)


def test_channels_that_never_came_count_as_flagged():
    made = m.empty(3, 8, 2)
    tally = Tally(
        ant1=made.context.ant1,
        ant2=made.context.ant2,
        antenna_names=made.context.antenna_names,
        length_m=made.context.length_m,
        mjd=made.context.times_mjd,
        freq_hz=1.4e9 + 1e6 * np.arange(16),
        correlations=["XX", "YY"],
    )
    tally.add(0, made.flags)
    assert summarise(tally)["flagged_fraction"] == pytest.approx(0.5)


def test_record_is_small_plain_json(tally):
    content = for_record(summarise(tally[0]))
    assert "antenna_channel" not in content
    assert json.loads(json.dumps(content)) == content


def test_picture(tally, tmp_path):
    draw(summarise(tally[0], {"dead_antennas": 0.1}), tmp_path / "flags.png", "a test")
    assert (tmp_path / "flags.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("usable", "verdict"), [(0.31, "pass"), (0.29, "warn"), (0.11, "warn"), (0.09, "fail")]
)
def test_limits(usable, verdict):
    assert checks({"usable_fraction": usable}, FlagOptions())[0].verdict == verdict

"""A calset between two others: closed forms, and CASA's application of what was written."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from contimg.calibrate import apply
from contimg.calibrate.interpolate import Gains, between, common_reference, read_gains
from contimg.calibrate.options import ApplyOptions
from contimg.core.ms import open_table, read_axes
from contimg.core.records import read_record
from truth.observe import INSTRUMENT

FREQ = 1.4e9 + 5e6 * (np.arange(16) - 7.5)
N_ANT = 6


def gains(phase=0.0, amplitude=1.0, delay_ns=0.0, split=0.0) -> Gains:
    """Any gains, always the same, times `phase`, `amplitude` (antenna, corr) and a delay.

    `split` is a phase that B has too much and G too little.
    """
    random = np.random.default_rng(2)
    shape = (N_ANT, 2)
    ripple = 0.1 * random.standard_normal((2, *shape, FREQ.size))
    band = (1 + ripple[0]) * np.exp(
        1j * (ripple[1] + np.multiply(split, np.ones(shape))[..., None])
    )
    gain = amplitude * np.exp(1j * (random.uniform(-3, 3, shape) + phase - split))
    return Gains(8 * random.standard_normal(shape) + delay_ns, band, gain, FREQ)


def total(g: Gains) -> np.ndarray:
    """All of it, (antenna, corr, channel), against the first antenna."""
    turn = np.exp(2e-9j * np.pi * g.delay_ns[..., None] * (FREQ - FREQ.mean()))
    whole = g.band * g.gain[..., None] * turn
    return whole * np.exp(-1j * np.angle(whole[0]))


def random(scale: float, seed: int = 5) -> np.ndarray:
    """Changes of the feeds; the first antenna does not change."""
    change = scale * np.random.default_rng(seed).standard_normal((N_ANT, 2))
    change[0] = 0
    return change


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
def test_delay_amplitude_and_phase_go_in_straight_lines(weight):
    """However the solver divides a phase between B and G, and past the ends of the circle."""
    phase, amplitude, delay = random(0.4), random(0.1, 6), random(0.5, 7)
    split = np.random.default_rng(8).uniform(-3, 3, (N_ANT, 2))
    found, masks = between(gains(), gains(phase, 1 + amplitude, delay, split), weight)
    expected = gains(weight * phase, 1 + weight * amplitude, weight * delay)
    assert np.abs(total(found) / total(expected) - 1).max() < 1e-9
    assert not masks["jumped"].any() and not masks["alone"].any()


def test_amplitude_is_kept_where_phases_differ():
    """A mean of complex numbers 80 degrees apart would lose a quarter of the amplitude."""
    turned = random(0.0)
    turned[3] = np.radians(80)
    found, _ = between(gains(), gains(turned), 0.5)
    assert np.abs(found.gain[3]) == pytest.approx(1)
    assert np.degrees(np.angle(found.gain[3] / gains().gain[3])) == pytest.approx(40)


def test_other_reference_antennas_make_no_difference():
    phase = random(0.4)
    sets = [gains(), gains(phase)]
    mixed = [sets[0].refer(2), sets[1].refer(4)]
    reference = common_reference(*mixed)
    found, _ = between(*(g.refer(reference) for g in mixed), 0.5)
    plain, _ = between(sets[0].refer(reference), sets[1].refer(reference), 0.5)
    assert np.abs(total(found) / total(plain) - 1).max() < 1e-9


def test_what_jumped_is_that_of_the_nearer_set():
    jump, delay = random(0.1), random(0.0)
    jump[2, 0] = 2.0
    delay[4, 1] = 12.0  # turns through more than a quarter at the edges of the band
    second = gains(jump, delay_ns=delay)
    for weight, nearer in ((0.4, gains()), (0.6, second)):
        found, masks = between(gains(), second, weight)
        assert [tuple(feed) for feed in np.argwhere(masks["jumped"])] == [(2, 0), (4, 1)]
        for feed in ((2, 0), (4, 1)):
            assert found.gain[feed] == nearer.gain[feed]
            assert found.delay_ns[feed] == nearer.delay_ns[feed]
            assert np.array_equal(found.band[feed], nearer.band[feed])


def test_what_one_set_lacks_is_taken_from_the_other_and_what_both_lack_from_neither():
    phase = random(0.3)
    first, second = gains(), gains(phase)
    first.band[1, 0, 3:5] = np.nan
    second.band[1, 0, 9] = np.nan
    first.gain[2, 1] = np.nan
    second.delay_ns[3, 0] = np.nan
    first.band[4, :, 7] = second.band[4, :, 7] = np.nan
    first.gain[5] = second.gain[5] = np.nan
    found, masks = between(first, second, 0.5)
    expected = gains(0.5 * phase)
    good = np.ones((N_ANT, 2, FREQ.size), bool)
    good[4, :, 7] = good[5] = False
    assert np.array_equal(np.isfinite(total(found)), good)
    alone = {(2, 1): second, (3, 0): first}
    assert {tuple(feed) for feed in np.argwhere(masks["alone"])} == set(alone)
    for feed, only in alone.items():
        assert total(found)[feed] == pytest.approx(total(only)[feed])
        good[feed] = False
    assert np.abs(total(found)[good] / total(expected)[good] - 1).max() < 1e-9


def change_table(path, column: str, change) -> None:
    """Replace a column by change(antennas, values)."""
    with open_table(path, writable=True) as table:
        table.putcol(column, change(table.getcol("ANTENNA1"), table.getcol(column)))


def shifted(record, target, hours: float, phase, amplitude, delay_ns):
    """A copy of a calset `hours` later whose gains have changed; its record."""
    shutil.copytree(record.parent, target)
    new = target / "solutions.json"
    content = json.loads(new.read_text())
    content["data"]["mjd"] += hours / 24
    new.write_text(json.dumps(content))
    factor = ((1 + amplitude) * np.exp(1j * phase)).astype(np.complex64)
    change_table(target / "t.G", "CPARAM", lambda a, v: v * factor[a][:, None])
    change_table(target / "t.K", "FPARAM", lambda a, v: v + delay_ns[a][:, None])
    return new


def lacking(antennas, wounded: int, shape) -> np.ndarray:
    """Flags (row, channel, corr) of one antenna's channel 4."""
    flags = np.zeros(shape, bool)
    flags[antennas == wounded, 4] = True
    return flags


def test_of_several_times_the_nearest_counts_and_short_gains_go_into_the_long(days, tmp_path):
    folder = tmp_path / "calset"
    shutil.copytree(days.record.parent, folder)
    tables = {name: folder / f"t.{name}" for name in ("K", "B", "G")}
    plain = read_gains(tables, 0.0)
    mjd = read_record(days.record)["data"]["mjd"]
    feed = tuple(np.argwhere(plain.complete)[4])
    tables["2G"] = folder / "t.2G"
    shutil.copytree(tables["G"], tables["2G"])
    with open_table(tables["2G"], writable=True) as table:
        table.putcol("CPARAM", np.full_like(table.getcol("CPARAM"), 2))
        table.copyrows(table)
        n = table.nrows() // 2
        values, flags, times = (table.getcol(c) for c in ("CPARAM", "FLAG", "TIME"))
        values[n:], times[n:] = 3, times[n:] + 3600
        flags[n:] |= lacking_feed(table.getcol("ANTENNA1")[n:], feed, flags[n:].shape)
        for column, content in (("CPARAM", values), ("FLAG", flags), ("TIME", times)):
            table.putcol(column, content)
    for when, factor in ((mjd, 2), (mjd + 1 / 24, 3)):
        found = read_gains(tables, when).gain
        expected = np.where(plain.complete, factor, np.nan) * plain.gain
        expected[feed] = 2 * plain.gain[feed]  # flagged at the later time: the other one
        assert found == pytest.approx(expected, nan_ok=True)


def lacking_feed(antennas, feed: tuple[int, int], shape) -> np.ndarray:
    """Flags (row, channel, corr) of one feed."""
    flags = np.zeros(shape, bool)
    flags[antennas == feed[0], :, feed[1]] = True
    return flags


def test_the_tile_gets_what_lies_between(days, tmp_path):
    """Two sets that have drifted away to either side of the true one, two to one in time."""
    seen, tile, record = days.seen[0], days.tiles[0], days.record
    names = read_axes(tile).antenna_names
    draw = np.random.default_rng(4).standard_normal((3, len(names), 2))
    draw[:, names.index(read_record(record)["data"]["refant"])] = 0
    drift = draw * np.array([0.12, 0.05, 0.1])[:, None, None]
    offset = 24 * (seen.group.mid_mjd - read_record(record)["data"]["mjd"])
    early = shifted(record, tmp_path / "early", offset - 3, *(-drift))
    late = shifted(record, tmp_path / "late", offset + 6, *(2 * drift))
    wounded = np.unique(read_axes(tile).ant1)[3]
    for folder in (early.parent, late.parent):  # a channel that both lack
        change_table(folder / "t.B", "FLAG", lambda a, f: f | lacking(a, wounded, f.shape))
    data, flagged, records = {}, {}, {}
    for name, sets, options in (
        ("true", [record], {}),
        ("linear", [late, early], {"interpolate": "linear"}),
    ):
        files = days.files(0, sets, tmp_path / name)
        apply.run(files, INSTRUMENT, ApplyOptions(channel_bin=1, **options))
        with open_table(files.calibrated) as table:
            flagged[name], data[name] = table.getcol("FLAG"), table.getcol("DATA")
            rows = (table.getcol("ANTENNA1") == wounded) | (table.getcol("ANTENNA2") == wounded)
        records[name] = read_record(files.record)["data"]
    good = ~flagged["linear"]
    error = np.abs(data["linear"] - data["true"])[good]
    assert error.max() < 1e-4 * np.abs(data["true"])[good].max()
    flagged["true"][rows, 4] = True
    assert np.array_equal(flagged["linear"], flagged["true"]) and good.mean() > 0.5
    assert records["linear"]["calsets"] == ["early", "late"]
    assert records["linear"]["calset_interpolation"]["feeds_jumped"] == {}

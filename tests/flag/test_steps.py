"""Every step that runs in the stream, against what was put into the data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contimg.core.errors import ContimgError
from contimg.flag import growth, stream
from contimg.flag.options import FlagOptions
from contimg.flag.stream import flag_invalid
from flag import simulated_context as m


@pytest.fixture(scope="module")
def clean():
    """Noise and sources; every test works on its own copy."""
    return m.make(np.random.default_rng(1))


@pytest.fixture
def made(clean):
    return dataclasses.replace(
        clean,
        data=clean.data.copy(),
        flags=clean.flags.copy(),
        bad_inputs=clean.bad_inputs.copy(),
    )


def run(made, *steps, **options):
    """Flags that these steps alone set, and the fractions they report."""
    flags = made.flags.copy()
    settings = FlagOptions(steps=list(steps), **options)
    added = m.flag_subband(made.data.copy(), flags, made.nsamples, made.context, settings)
    return flags, added


def only(flags, where) -> bool:
    """Whether exactly the samples `where` are flagged."""
    expected = np.zeros(flags.shape, bool)
    expected[where] = True
    return bool((flags == expected).all())


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, 1e34, 0.0, complex(np.nan, 1), complex(1, -np.inf)]
)
def test_invalid_values_are_flagged_and_zeroed(value):
    data = np.ones((2, 3, 4, 2), np.complex64)
    data[1, 2, 3, 0] = value
    flags = flag_invalid(data, np.zeros(data.shape, bool), np.ones(data.shape, np.float32))
    assert only(flags, (1, 2, 3, 0)) and data[1, 2, 3, 0] == 0


@pytest.mark.parametrize("samples", [0, -3, np.nan])
def test_data_without_samples_are_flagged(samples):
    data = np.ones((2, 3, 4, 2), np.complex64)
    nsamples = np.ones(data.shape, np.float32)
    nsamples[0] = samples
    assert only(flag_invalid(data, np.zeros(data.shape, bool), nsamples), 0)


def test_invalid_values_go_before_any_other_step_even_without_steps(made):
    made.data[3, 4] = np.nan
    assert only(run(made)[0], (3, 4))
    assert only(run(made, "clip", "invalid", clip_max=1e6)[0], (3, 4))


def test_channels_filled_with_zeros_are_flagged(made):
    made.data[:, :, 10:13] = 0
    assert only(run(made)[0], (slice(None), slice(None), slice(10, 13)))


def test_zeros_in_one_correlation_take_the_other(made):
    made.data[5, 6, 7, 0] = 0
    assert only(run(made)[0], (5, 6, 7, 0))
    assert only(run(made, "zeros")[0], (5, 6, 7))


def test_flags_of_the_file_stay_unless_reset_is_asked_for(made):
    made.flags[2] = True
    assert run(made, *FlagOptions().steps or ("mad_clip",))[0][2].all()
    flags, added = run(made, "reset")
    assert not flags.any() and added["reset"] == pytest.approx(-1 / 24)


def autos_of(made, rng):
    shape = (24, len(made.context.antenna_names), 48, 2)
    return (65 * (1 + 0.3 * rng.random((shape[1], 1, 2))) * np.ones(shape)).astype(np.float32)


def test_autos_find_dead_and_outlying_antennas(made):
    autos = autos_of(made, np.random.default_rng(2))
    autos[:, 3] = 0
    autos[:, 5, :, 1] *= 20
    made.context = dataclasses.replace(made.context, autos=autos)
    expected = np.zeros_like(made.bad_inputs)
    expected[3], expected[5, 1] = True, True
    bad = (expected[made.context.ant1] | expected[made.context.ant2])[None, :, None]
    assert (run(made, "autos")[0] == bad).all()


def test_autos_without_autocorrelations_is_an_error(made):
    with pytest.raises(ContimgError, match="no autocorrelations"):
        run(made, "autos")


def test_clip_keeps_the_range(made):
    made.data[1, 1, 1, 0] = 50
    amplitude = np.abs(made.data)
    assert only(run(made, "clip", clip_max=40)[0], (1, 1, 1, 0))
    assert (run(made, "clip", clip_min=0.02)[0] == (amplitude < np.float32(0.02))).all()


def test_shadow_flags_the_antenna_behind(made):
    uvw = made.context.uvw_m.copy()
    base = 10
    one, two = made.context.ant1[base], made.context.ant2[base]
    for w, behind in ((5.0, one), (-5.0, two)):
        uvw[7, base] = (2.0, 3.0, w)
        made.context = dataclasses.replace(made.context, uvw_m=uvw.copy())
        assert only(run(made, "shadow")[0], (7, made.context.incidence[behind]))
    assert not run(made, "shadow", shadow_tolerance_m=2.0)[0].any()


@pytest.mark.parametrize(("seconds", "integrations"), [(2.0, 1), (12.9, 1), (13.5, 2), (30.0, 3)])
def test_quack_flags_what_overlaps_and_no_more(made, seconds, integrations):
    # 12.9 s are one integration of 12.885 s, not two
    assert only(run(made, "quack", quack_s=seconds)[0], slice(0, integrations))


def test_elevation(made):
    elevation = np.radians(np.linspace(60, 71.5, 24))
    made.context = dataclasses.replace(made.context, elevation_rad=elevation)
    assert only(run(made, "elevation", elevation_min_deg=60.9)[0], slice(0, 2))
    assert only(run(made, "elevation", elevation_max_deg=70.9)[0], slice(22, 24))


def test_uvrange_is_of_projected_lengths(made):
    u, v, _ = np.moveaxis(made.context.uvw_m, -1, 0)
    length = np.hypot(u, v)
    flags, _ = run(made, "uvrange", uv_min_m=50, uv_max_m=400)
    assert (flags == ((length < 50) | (length > 400))[..., None, None]).all()


def test_antennas_and_baselines_go_by_name(made):
    context = made.context
    names = context.antenna_names
    assert only(
        run(made, "antenna", drop_antennas=[names[4]])[0], (slice(None), context.incidence[4])
    )
    pair = context.incidence[4] & context.incidence[9]
    flags, _ = run(made, "baselines", drop_baselines=[f"{names[9]} & {names[4]}"])
    assert only(flags, (slice(None), pair)) and pair.sum() == 1


@pytest.mark.parametrize("name", ["4", "103", "DSA-999"])
def test_an_unknown_antenna_is_an_error_never_a_number(made, name):
    with pytest.raises(ContimgError, match=f"no antenna named '{name}'.*DSA-"):
        run(made, "antenna", drop_antennas=[name])
    with pytest.raises(ContimgError, match=f"no antenna named '{name}'"):
        run(made, "baselines", drop_baselines=[f"{name}&DSA-001"])


HEADER = "# a comment\nantenna,start_utc,end_utc,freq_min_mhz,freq_max_mhz,corr,reason\n"


def table(tmp_path, *rows):
    path = tmp_path / "flags.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def test_manual_flags_what_the_table_says(made, tmp_path):
    from astropy.time import Time

    times = Time(made.context.times_mjd, format="mjd", scale="utc")
    freq = made.context.freq_hz / 1e6
    name = made.context.antenna_names[2]
    path = table(
        tmp_path,
        f"{name},{times[3].isot},{times[5].isot},,,YY,receiver off",
        f",,,{freq[10]},{freq[12]},,known transmitter",
    )
    expected = np.zeros(made.data.shape, bool)
    expected[3:6, made.context.incidence[2], :, 1] = True
    expected[:, :, 10:13] = True
    # the table is used by any strategy, without naming the step
    assert (run(made, manual_table=path)[0] == expected).all()


def test_the_shipped_table_is_valid_and_empty(made):
    from pathlib import Path

    path = Path(__file__).parents[2] / "config" / "flags.csv"
    assert not run(made, manual_table=path)[0].any()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("DSA-999,,,,,,gone", "line 3: no antenna named 'DSA-999'"),
        ("DSA-001,,,,,,", "line 3: no reason"),
        (",,,,,,all of it", "would flag everything"),
        ("DSA-001,yesterday,,,,,x", "'yesterday' is not a UTC"),
        ("DSA-001,,,1.4 GHz,,,x", "not a frequency in MHz"),
        ("DSA-001,,,1420,1410,,x", "ends before it begins"),
        ("DSA-001,,,,,I,x", "corr 'I' is not one of XX"),
        ("DSA-001,,,,x", "5 columns instead of 7"),
    ],
)
def test_errors_in_the_table_name_the_line(made, tmp_path, row, message):
    with pytest.raises(ContimgError, match=message):
        run(made, manual_table=table(tmp_path, row))


def test_dead_antennas_and_single_dead_inputs(made):
    made.data[:, made.context.incidence[6]] *= 1e-3
    view = made.data[..., 1]
    view[:, made.context.incidence[8]] *= 1e-3
    made.bad_inputs[6], made.bad_inputs[8, 1] = True, True
    assert (run(made, "dead_antennas")[0] == made.bad_baselines[None, :, None]).all()


def test_an_antenna_of_which_little_is_left_goes(made):
    made.flags[:23, made.context.incidence[6]] = True
    assert run(made, "dead_antennas")[0][:, made.context.incidence[6]].all()
    assert not run(made, "dead_antennas", dead_flagged=0.97)[0][23].any()


@pytest.mark.parametrize("calibrator_jy", [0.0, 8.8])
def test_bad_polarisations_are_found_and_only_they(calibrator_jy):
    rng = np.random.default_rng(5)
    made = m.make(rng, calibrator_jy=calibrator_jy, antenna_step=2)
    m.noisy_input(rng, made, 3, 0, 4.0)
    if calibrator_jy:  # without a source nothing tells them from good ones
        m.swapped_inputs(rng, made, 7)
    flags, _ = run(made, "outlying_antennas")
    bad = np.broadcast_to(made.bad_baselines[None, :, None], flags.shape)
    assert flags[bad].all() and not flags[~bad].any()


def test_gains_alone_make_no_outlying_antenna(made):
    assert not run(made, "dead_antennas", "outlying_antennas")[0].any()


def test_array_rfi_far_below_the_noise_of_a_sample():
    rng = np.random.default_rng(6)
    made = m.make(rng, antenna_step=2)
    m.line(rng, made, 11, slice(None), 1.2)
    m.line(rng, made, 30, slice(4, 9), 2.5)
    m.satellite(rng, made, slice(14, 18), 2000, 0.05)
    flags, _ = run(made, "array_rfi")
    assert made.recall(flags, least=3) > 0.99
    assert flags[:, :, 11].mean() > 0.95
    assert made.clean_lost(flags) < 0.002


def test_array_rfi_of_short_baselines_leaves_the_long_ones():
    rng = np.random.default_rng(7)
    made = m.make(rng, antenna_step=2, outriggers=14)
    short = made.context.length_m < np.quantile(made.context.length_m, 0.2)
    made.add((slice(3, 6), short), 6 * m.random_phases(rng, (3, short.sum(), 48, 2)))
    flags, _ = run(made, "array_rfi", array_rfi_bins=3)
    classes = made.context.by_length(3, 500)
    assert flags[3:6, short].mean() > 0.99
    assert flags[3:6, classes == classes.max()].mean() < 0.01


def test_a_burst_longer_than_a_third_of_the_tile_is_found():
    rng = np.random.default_rng(8)
    made = m.make(rng)
    m.satellite(rng, made, slice(13, 22), 2000, 0.05)
    assert made.recall(run(made, "array_rfi")[0]) > 0.95


def test_antenna_rfi_stays_with_its_antenna(made):
    rng = np.random.default_rng(9)
    mine = made.context.incidence[4]
    shape = (5, mine.sum(), 6, 2)
    made.add((slice(8, 13), mine, slice(20, 26)), 8 * m.noise_like(rng, shape))
    made.add((slice(2, 4), mine), 4 * m.noise_like(rng, (2, mine.sum(), 48, 2)))
    flags, _ = run(made, "antenna_rfi")
    assert made.recall(flags) > 0.99 and made.clean_lost(flags) < 0.002
    assert flags[:, ~mine].mean() < 0.002


def test_baseline_rfi_stays_with_its_baseline(made):
    rng = np.random.default_rng(10)
    made.add((slice(None), 33, 20), 6 * m.random_phases(rng, (24, 2)))
    made.add((slice(5, 8), 44), 6 * m.random_phases(rng, (3, 48, 2)))
    made.add((slice(10, 15), 55, slice(5, 9)), 8 * m.random_phases(rng, (5, 4, 2)))
    flags, _ = run(made, "baseline_rfi", "extend")
    assert made.recall(flags) > 0.95 and made.clean_lost(flags) < 0.001


def test_mad_clip_takes_single_loud_samples(made):
    rng = np.random.default_rng(11)
    times, bases = rng.integers(0, 24, 200), rng.integers(0, made.data.shape[1], 200)
    made.add((times, bases, rng.integers(0, 48, 200)), 20 * np.ones((200, 2)))
    flags, _ = run(made, "mad_clip")
    assert made.recall(flags) > 0.99 and made.clean_lost(flags) < 5e-4


def single(shape=(8, 6, 10, 2), where=(3, 2, 4, 0)):
    flags = np.zeros(shape, bool)
    flags[where] = True
    return flags


def extend(flags, **options):
    settings = FlagOptions(**{"extend_time": 1, "extend_frequency": 1, **options})
    growth.extend(type("S", (), {"flags": flags})(), settings)
    return flags


def neighbours_in_time_are_of_the_same_baseline() -> None:
    flags = single()
    stream._STEPS["extend"](
        type("S", (), {"flags": flags})(),
        FlagOptions(extend_times=1, extend_time=1, extend_frequency=1, extend_correlations=False),
    )
    assert only(flags, (slice(2, 5), 2, 4, 0)), "the neighbours in time are not those"


def test_extend_in_time_is_along_one_baseline():
    neighbours_in_time_are_of_the_same_baseline()


def test_neighbouring_rows_taken_for_times_are_noticed(monkeypatch):
    def adjacent_rows(subband, options):
        rows = subband.flags.reshape(-1, *subband.flags.shape[2:])
        rows[1:] |= rows[:-1].copy()
        rows[:-1] |= rows[1:].copy()

    monkeypatch.setitem(stream._STEPS, "extend", adjacent_rows)
    with pytest.raises(AssertionError, match="neighbours"):
        neighbours_in_time_are_of_the_same_baseline()


def test_extend_in_frequency_and_correlation():
    assert only(
        extend(single(), extend_channels=2, extend_correlations=False),
        (3, 2, slice(2, 7), 0),
    )
    assert only(extend(single()), (3, 2, 4))


def test_extend_fills_channels_and_times_that_are_mostly_gone():
    flags = single(where=(slice(0, 5), 2, 4, 0))
    assert only(extend(flags, extend_time=0.5, extend_correlations=False), (slice(None), 2, 4, 0))
    flags = single(where=(3, 2, slice(0, 6), 0))
    grown = extend(flags, extend_frequency=0.5, extend_correlations=False)
    assert only(grown, (3, 2, slice(None), 0))


def test_a_dead_polarisation_does_not_take_the_other():
    flags = single(where=(slice(None), 2, slice(None), 1))
    assert only(extend(flags), (slice(None), 2, slice(None), 1))


def channel_occupancy_flags_channels(made) -> None:
    made.flags[:14, :, 9] = True  # 58 % of the times
    made.flags[:10, :, 20] = True  # 42 %
    made.flags[:, made.context.incidence[0]] = True  # a dead antenna counts for neither
    flags, added = run(made, "channel_occupancy")
    assert flags[:, :, 9].all() and not flags[10:, ~made.context.incidence[0], 20].any()
    assert added["channel_occupancy"] > 0


def test_channel_occupancy(made):
    channel_occupancy_flags_channels(made)


@pytest.mark.parametrize("step", ["channel_occupancy", "time_occupancy"])
def test_dead_antennas_do_not_count_against_channels_and_times(made, step):
    """More than half of the baselines are of dead antennas: the others lose nothing."""
    incidence = made.context.incidence
    dead = incidence[: len(incidence) // 2].any(axis=0)
    assert dead.mean() > 0.6
    made.flags[:, dead] = True
    flags, added = run(made, step)
    assert not flags[:, ~dead].any() and added[step] == 0


def test_silently_skipped_channel_flagging_is_noticed(made, monkeypatch):
    monkeypatch.setitem(stream._STEPS, "channel_occupancy", lambda subband, options: None)
    with pytest.raises(AssertionError):
        channel_occupancy_flags_channels(made)


def test_time_and_subband_occupancy(made):
    made.flags[4, :, :30] = True
    assert run(made, "time_occupancy")[0][4].all()
    assert not run(made, "time_occupancy", time_occupancy=0.7)[0][4, :, 30:].any()
    made.flags[:21] = True
    assert run(made, "subband_occupancy")[0].all()
    assert not run(made, "subband_occupancy", subband_occupancy=0.9)[0].all()

"""Values that are no measurements never pass as data; groups that cannot be used say why."""

from __future__ import annotations

import dataclasses
import re
import tracemalloc

import h5py
import numpy as np
import pytest

from contimg.convert import kernels
from contimg.convert.command import ConvertFiles, run
from contimg.convert.inputs import with_sidereal_uvw
from contimg.convert.options import ConvertOptions
from contimg.convert.phase import fill_missing
from contimg.convert.prepare import antenna_names
from contimg.convert.read import Layout
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import read_manifest, write_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import open_table
from contimg.core.records import read_record
from contimg.flag.options import FlagOptions
from contimg.simulate.command import simulate_group
from contimg.simulate.schedule import schedule
from truth.observe import INSTRUMENT, PERFECT, converted, observe, sky_of

# so many antennas and channels that the visibilities are most of what is held
WIDE = PERFECT.model_copy(
    update={"noise": True, "antenna_step": 5, "channels_per_subband": 48, "n_times": 6}
)


def placed(visibilities, nsamples=None, **changes):
    """(data, flags, nsamples, counts) of one baseline: `visibilities` (time, channel, corr)."""
    n_time, n_chan, n_corr = visibilities.shape
    nsamples = np.ones(visibilities.shape, np.float32) if nsamples is None else nsamples
    row_of = np.arange(n_time)[:, None]
    stuck = kernels.find_stuck(visibilities, row_of, np.arange(n_corr))
    out = [np.empty((n_time, n_chan, n_corr), kind) for kind in ("c8", bool, "f4")]
    arguments = {
        "visibilities": visibilities,
        "file_flags": np.zeros(visibilities.shape, bool),
        "file_nsamples": nsamples,
        "row_of": row_of.ravel(),
        "swapped": np.zeros(n_time, bool),
        "stuck": stuck.reshape(n_time, n_corr),
        "pols": np.arange(n_corr),
        "descending": False,
        "most": 1.0,
        "turns": np.zeros(n_time),
        "step": np.zeros(n_time),
    } | changes
    invalid = kernels.place(*arguments.values(), *out)
    return *out, dict(zip(kernels.INVALID, invalid.sum(axis=0).tolist(), strict=True))


def random_block(seed=0, shape=(4, 6, 2)):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.nan, "not finite"),
        (complex(np.nan, 1), "not finite"),
        (complex(1, -np.inf), "not finite"),
        (1e34, "beyond 1e15"),
        (-1e34j, "beyond 1e15"),
        (0.0, "zero"),
    ],
)
def test_invalid_values_are_flagged_zeroed_and_counted(value, why):
    raw = random_block()
    raw[1, 3, 0] = value
    data, flags, _, counts = placed(raw)
    assert flags.sum() == 1 and flags[1, 3, 0]
    assert counts == dict.fromkeys(kernels.INVALID, 0) | {why: 1}
    assert data[1, 3, 0] == 0 and np.isfinite(data).all()


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        *((value, "without samples") for value in (0, -3, np.nan, -np.inf)),
        *((value, "too many samples") for value in (1.01, np.inf, 1e34)),
    ],
)
def test_data_of_impossible_samples_are_flagged(samples, why):
    nsamples = np.ones((4, 6, 2), np.float32)
    nsamples[0] = samples
    _, flags, kept, counts = placed(random_block(), nsamples)
    assert flags[0].all() and not flags[1:].any()
    assert (kept[0] == 0).all() and counts[why] == 12


def test_repeated_and_constant_spectra_are_flagged():
    raw = random_block(shape=(6, 8, 2))
    raw[3, :, 0] = raw[2, :, 0]  # a buffer that was not refilled
    raw[5, :, 1] = 2.5 + 1j  # a spectrum of one value
    _, flags, _, counts = placed(raw)
    expected = np.zeros(flags.shape, bool)
    expected[2:4, :, 0] = expected[5, :, 1] = True
    assert np.array_equal(flags, expected) and counts["stuck"] == 24


def test_order_turn_and_conjugation_are_those_of_the_formula():
    raw = random_block(shape=(3, 5, 2))
    turns, step = np.array([0.3, -7.9, 1234.56]), np.array([0.01, -0.2, 3.4])
    data, *_ = placed(raw, descending=True, turns=turns, step=step)
    cycles = turns[:, None] + step[:, None] * np.arange(5)
    expected = np.conj(raw[:, ::-1] * np.exp(-2j * np.pi * cycles)[..., None])
    assert np.abs(data - expected).max() < 1e-6
    # the same baseline, written the other way round
    swapped, *_ = placed(
        raw.conj(), descending=True, turns=turns, step=step, swapped=np.ones(3, bool)
    )
    assert np.abs(swapped - expected).max() < 1e-6


def spoil(directory, change):
    """Call `change` with the file of the highest subband, open for writing."""
    with h5py.File(next((directory / "raw").glob("*sb00.hdf5")), "r+") as file:
        change(file)


def everywhere(name, value):
    """A change of a tenth of a dataset."""

    def change(file):
        values = file[name][()]
        values[: len(values) // 10] = value
        file[name][()] = values

    return change


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("Data/visdata", np.nan, "not finite"),
        ("Data/visdata", np.inf, "not finite"),
        ("Data/visdata", 1e34, "beyond 1e15"),
        ("Data/visdata", 0, "zero"),
        ("Data/visdata", 3 + 4j, "stuck"),
        ("Data/nsamples", 0, "without samples"),
        ("Data/nsamples", -5, "without samples"),
        ("Data/nsamples", 1e34, "too many samples"),
        ("Data/nsamples", 1e10, "too many samples"),
    ],
)
def test_hostile_blocks_never_reach_the_ms_and_are_counted(tmp_path, name, value, why):
    _, _, manifest = observe(tmp_path)
    spoil(tmp_path, everywhere(name, value))
    ms = converted(tmp_path, manifest)
    with open_table(ms) as table:
        data, flags, weight = (table.getcol(c) for c in ("DATA", "FLAG", "WEIGHT"))
    assert np.isfinite(data).all() and np.abs(data).max() < 100
    assert (data[~flags] != 0).all() and (data[flags] == 0).all()
    assert np.isfinite(weight).all()
    record = read_record(tmp_path / "tile.json")["data"]
    assert record["invalid_samples"] == dict.fromkeys(kernels.INVALID, 0) | {why: flags.sum()}
    assert flags.sum() > 0
    assert record["flagged_by_step"]["invalid"] == pytest.approx(flags.mean(), abs=1e-6)


def test_a_count_that_cannot_be_does_not_spoil_the_weights(tmp_path):
    _, _, manifest = observe(tmp_path)
    clean = converted(tmp_path, manifest)
    with open_table(clean) as table:
        expected = table.getcol("WEIGHT")
    spoil(tmp_path, lambda file: file["Data/nsamples"].__setitem__((7, 0, 3, 0), 1e14))
    with open_table(converted(tmp_path, manifest)) as table:
        assert np.array_equal(table.getcol("WEIGHT"), expected)


def test_a_subband_of_fewer_samples_weighs_less(tmp_path):
    _, _, manifest = observe(tmp_path)
    with open_table(converted(tmp_path, manifest)) as table:
        whole = table.getcol("WEIGHT")
    spoil(tmp_path, lambda file: file["Data/nsamples"].write_direct(file["Data/nsamples"][()] / 2))
    with open_table(converted(tmp_path, manifest)) as table:
        assert np.allclose(table.getcol("WEIGHT"), 0.75 * whole)


DOES_NOT_FIT = [
    (lambda f: f["Header/freq_array"].__setitem__(..., np.nan), "evenly spaced"),
    (lambda f: f["Header/time_array"].__setitem__(3, np.nan), "times differ"),
    (lambda f: retyped(f, np.float32), "not complex"),
    (lambda f: f["Header/ant_1_array"].__setitem__(0, 5), "antennas of its rows differ"),
    (lambda f: f["Header/polarization_array"].__setitem__(0, -7), "polarisations differ"),
    (lambda f: f["Data"].pop("flags"), "unreadable"),
]


@pytest.mark.parametrize(("change", "message"), DOES_NOT_FIT)
def test_a_subband_that_does_not_fit_is_a_data_failure(tmp_path, change, message):
    _, _, manifest = observe(tmp_path)
    spoil(tmp_path, change)
    with pytest.raises(DataQualityError, match=rf"sb00.*{message}"):
        converted(tmp_path, manifest)


@pytest.mark.parametrize(("change", "message"), DOES_NOT_FIT)
def test_a_subband_that_does_not_fit_costs_its_channels_alone(tmp_path, change, message):
    _, _, manifest = observe(tmp_path)
    only_the_other_subband(tmp_path, manifest, change, message)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.98])
def test_a_truncated_file_costs_its_channels_alone(tmp_path, kept):
    """The first of the manifest, of which the layout would have been read."""
    _, _, manifest = observe(tmp_path)

    def cut(path):
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])

    only_the_other_subband(tmp_path, manifest, cut, "(unreadable|truncated)", opened=False)


def only_the_other_subband(directory, manifest, change, message, opened=True):
    """Spoil one of two subbands; the MS must hold the other one as it was, and say why."""
    with open_table(converted(directory, manifest)) as table:
        data, flags = table.getcol("DATA"), table.getcol("FLAG")
    if opened:
        spoil(directory, change)
    else:
        change(next((directory / "raw").glob("*sb00.hdf5")))
    files = ConvertFiles(
        manifest=manifest, ms=directory / "tile.ms", record=directory / "tile.json"
    )
    run(files, INSTRUMENT, ConvertOptions(), FlagOptions(steps=[]))
    with open_table(files.ms) as table:
        assert np.array_equal(table.getcol("FLAG")[:, :8], flags[:, :8])
        assert np.array_equal(table.getcol("DATA")[:, :8], data[:, :8])
        assert table.getcol("FLAG")[:, 8:].all()
    record = read_record(files.record)
    assert record["verdict"] == "warn" and "missing subbands" in record["reason"]
    assert record["data"]["missing_subbands"] == [1]
    assert record["data"]["usable_fraction"] == pytest.approx((~flags[:, :8]).mean() / 2)
    # the limits are of the data there are
    (usable,) = [c for c in record["checks"] if c["metric"] == "usable fraction"]
    assert usable["value"] == pytest.approx((~flags[:, :8]).mean())
    (reason,) = record["data"]["broken_subbands"].values()
    assert re.search(rf"sb00.*{message}", reason)


def retyped(file, kind):
    values = file["Data/visdata"][()].real.astype(kind)
    del file["Data/visdata"]
    file["Data/visdata"] = values


@pytest.mark.parametrize("subband", [0, 1])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.98])
def test_truncated_file_is_a_data_failure(tmp_path, subband, kept):
    """The first file of the manifest, whose header is read first, and another one."""
    _, _, manifest = observe(tmp_path)
    victim = next((tmp_path / "raw").glob(f"*sb{subband:02d}.hdf5"))
    victim.write_bytes(victim.read_bytes()[: int(kept * victim.stat().st_size)])
    with pytest.raises(DataQualityError, match=rf"sb{subband:02d}.*(unreadable|truncated)"):
        converted(tmp_path, manifest)
    assert not list(tmp_path.glob("tile*"))


@pytest.mark.parametrize("subband", [0, 1])
def test_file_that_cannot_be_opened_now_is_no_data_failure(tmp_path, subband):
    """The job fails, and may succeed when it is tried again."""
    _, _, manifest = observe(tmp_path)
    next((tmp_path / "raw").glob(f"*sb{subband:02d}.hdf5")).unlink()
    with pytest.raises(ContimgError, match=rf"sb{subband:02d}.*no access: No such file"):
        converted(tmp_path, manifest)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e34])
def test_uvw_that_are_no_baselines_cost_their_rows(value):
    layout = sidereal_layout()
    layout.uvw_m[1, 2, 0] = value
    kept = with_sidereal_uvw(layout)
    assert (kept.row_of < 0).sum() == 1 and kept.row_of[1, 2] == -1
    filled = fill_missing(kept.uvw_m, kept.ant1, kept.ant2)
    assert np.allclose(filled, sidereal_layout().uvw_m)


def test_uvw_that_are_all_zero_are_refused():
    layout = sidereal_layout()
    layout.uvw_m[:] = 0
    with pytest.raises(DataQualityError, match="all uvw are zero"):
        with_sidereal_uvw(layout)


def sidereal_layout():
    """Rows, antennas and uvw of a tracked field of 5 antennas; the rest is not looked at."""
    rng = np.random.default_rng(1)
    ant1, ant2 = np.triu_indices(5, 1)
    position = rng.normal(size=(3, 5, 3)) * 100
    given = {f.name: None for f in dataclasses.fields(Layout)}
    given |= {"ant1": ant1, "ant2": ant2, "uvw_m": position[:, ant2] - position[:, ant1]}
    return Layout(**given | {"row_of": np.arange(30).reshape(3, 10)})


@pytest.mark.parametrize("value", [0.0, np.inf, 1e34])
def test_antenna_positions_that_cannot_be_are_refused(tmp_path, value):
    _, _, manifest = observe(tmp_path)
    for path in (tmp_path / "raw").iterdir():
        with h5py.File(path, "r+") as file:
            file["Header/antenna_positions"][()] = value
    with pytest.raises(DataQualityError, match=r"stand in one place|no position"):
        converted(tmp_path, manifest)


def test_memory_does_not_grow_with_the_number_of_subbands(tmp_path):
    """Of 9 subbands no more is held than of 3: what is read ahead and what is being written."""
    _, _, manifest = observe(tmp_path / "first")
    converted(tmp_path, manifest)  # imports and compiles, which is slow when traced
    few, many = (wide_band(tmp_path / str(n), n) for n in (3, 9))
    assert many < few + 1


def wide_band(directory, subbands, change=lambda entries: None):
    """Convert a group of files of 1.5 MB; largest memory held, in units of a file."""
    instrument = InstrumentOptions(subbands=subbands, band_mhz=(1311.25, 1498.75))
    group = schedule(WIDE, instrument)[0]
    raw, manifest = directory / "raw", directory / "manifest.json"
    raw.mkdir(parents=True)
    entries = simulate_group(raw, group, sky_of(group, 0.1, 0.1, 1.0), instrument, WIDE)
    write_manifest(manifest, group, entries)
    change(entries)
    files = ConvertFiles(manifest=manifest, ms=directory / "t.ms", record=directory / "t.json")
    tracemalloc.start()
    run(files, instrument, ConvertOptions(), FlagOptions(steps=[]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / (sum(e["bytes"] for e in entries) / subbands)


def test_missing_subband_becomes_flagged_channels(tmp_path):
    _, _, manifest = observe(tmp_path)
    group, entries = read_manifest(manifest)
    write_manifest(manifest, group, entries[1:])
    ms = converted(tmp_path, manifest)
    with open_table(ms) as table:
        flags = table.getcol("FLAG")
    assert flags[:, :8].all() and not flags[:, 8:].any()


def test_group_with_too_little_data_fails(tmp_path):
    _, _, manifest = observe(tmp_path)
    files = ConvertFiles(manifest=manifest, ms=tmp_path / "t.ms", record=tmp_path / "t.json")
    with pytest.raises(DataQualityError, match="usable"):
        victim = next((tmp_path / "raw").glob("*sb00.hdf5"))
        with h5py.File(victim, "r+") as file:
            file["Data/flags"][:10] = True
        run(
            files,
            INSTRUMENT,
            ConvertOptions(),
            FlagOptions(steps=[], usable_warn=1.0, usable_fail=1.0),
        )


def test_missing_uvw_are_filled_from_the_others():
    rng = np.random.default_rng(1)
    ant1, ant2 = np.triu_indices(5, 1)
    position = rng.normal(size=(3, 5, 3)) * 100
    uvw = position[:, ant2] - position[:, ant1]
    holed = uvw.copy()
    holed[1, 4] = np.nan
    assert np.allclose(fill_missing(holed, ant1, ant2), uvw)


def test_antenna_names_are_never_bare_numbers():
    assert antenna_names(["103", "VLA:N7", "ea01"], "DSA-") == ["DSA-103", "VLA-N7", "ea01"]

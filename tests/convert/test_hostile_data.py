"""Values that are no measurements never pass as data; groups that cannot be used say why."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from contimg.convert import kernels
from contimg.convert.command import ConvertFiles, antenna_names, run
from contimg.convert.options import ConvertOptions
from contimg.convert.phase import fill_missing
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import open_table
from contimg.flag.options import FlagOptions
from truth.observe import INSTRUMENT, converted, observe


def placed(visibilities, nsamples=None, **changes):
    """(data, flags, nsamples, invalid) of one baseline: `visibilities` (time, channel, corr)."""
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
        "turns": np.zeros(n_time),
        "step": np.zeros(n_time),
    } | changes
    invalid = kernels.place(*arguments.values(), *out)
    return *out, int(invalid.sum())


def random_block(seed=0, shape=(4, 6, 2)):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e34, 0.0, complex(np.nan, 1)])
def test_invalid_values_are_flagged_and_zeroed(value):
    raw = random_block()
    raw[1, 3, 0] = value
    data, flags, _, invalid = placed(raw)
    assert flags.sum() == invalid == 1 and flags[1, 3, 0]
    assert data[1, 3, 0] == 0 and np.isfinite(data).all()


@pytest.mark.parametrize("samples", [0, -3, np.nan, np.inf])
def test_data_without_samples_are_flagged(samples):
    nsamples = np.ones((4, 6, 2), np.float32)
    nsamples[0] = samples
    _, flags, kept, _ = placed(random_block(), nsamples)
    assert flags[0].all() and not flags[1:].any()
    assert (kept[0] == 0).all()


def test_repeated_and_constant_spectra_are_flagged():
    raw = random_block(shape=(6, 8, 2))
    raw[3, :, 0] = raw[2, :, 0]  # a buffer that was not refilled
    raw[5, :, 1] = 2.5 + 1j  # a spectrum of one value
    _, flags, _, _ = placed(raw)
    expected = np.zeros(flags.shape, bool)
    expected[2:4, :, 0] = expected[5, :, 1] = True
    assert np.array_equal(flags, expected)


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


def test_nan_in_a_file_never_reaches_the_ms(tmp_path):
    _, _, manifest = observe(tmp_path)
    victim = next((tmp_path / "raw").glob("*sb00.hdf5"))
    with h5py.File(victim, "r+") as file:
        values = file["Data/visdata"][()]
        values[10:20] = np.nan
        file["Data/visdata"][()] = values
    ms = converted(tmp_path, manifest)
    with open_table(ms) as table:
        data, flags = table.getcol("DATA"), table.getcol("FLAG")
    assert np.isfinite(data).all()
    assert (data[~flags] != 0).all()


def test_truncated_file_is_a_data_failure(tmp_path):
    _, _, manifest = observe(tmp_path)
    victim = next((tmp_path / "raw").glob("*sb00.hdf5"))
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    with pytest.raises((DataQualityError, ContimgError), match=r"sb00|unreadable|truncated"):
        converted(tmp_path, manifest)
    assert not (tmp_path / "tile.ms").exists()


def test_missing_subband_becomes_flagged_channels(tmp_path):
    from contimg.core.groups import read_manifest, write_manifest

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

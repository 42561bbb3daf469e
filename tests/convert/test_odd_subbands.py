"""One subband that is not like the others costs itself and is named, whatever is odd about it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from contimg.convert import stream
from contimg.convert.agree import agree, full_count
from contimg.convert.describe import effective_fraction
from contimg.convert.write import MeasurementSet
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import open_table
from faults.raw import SUBBANDS, copied, make_group
from faults.raw import convert as convert_copy

CHANNELS, ODD = 16, 3


@pytest.fixture(scope="module")
def observed(tmp_path_factory) -> Path:
    """A group of five subbands."""
    return make_group(tmp_path_factory.mktemp("odd") / "group")


def convert(observed: Path, folder: Path, change, odd: int = ODD, **options) -> dict:
    """The record of the group after `change` of one of its files."""
    entries = copied(observed, folder)
    with h5py.File(entries[odd]["path"], "r+") as file:
        change(file)
    return convert_copy(folder, **options)


def data(function):
    def change(file):
        file["Data/visdata"][()] = function(file["Data/visdata"][()], file)

    return change


def header(name, function):
    def change(file):
        file[f"Header/{name}"][()] = function(file[f"Header/{name}"][()])

    return change


def n_base(file) -> int:
    times = file["Header/time_array"][()]
    return int(np.count_nonzero(times == times[0]))


def test_a_healthy_group_is_whole(observed, tmp_path):
    found = convert(observed, tmp_path, lambda file: None)
    assert found["data"]["broken_subbands"] == {} and found["data"]["missing_subbands"] == []
    assert found["data"]["effective_fraction"] > 0.99 and found["verdict"] == "pass"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (data(lambda v, _: v.conj()), "conjugated, or channels reversed"),
        (data(lambda v, _: np.flip(v, axis=-2)), "conjugated, or channels reversed"),
        (
            data(lambda v, _: np.roll(v, 1, axis=0)),
            "its amplitudes|not those of the same baselines",
        ),
        (data(lambda v, file: np.roll(v, n_base(file), axis=0)), "break after integration 1"),
        (data(lambda v, _: v[..., ::-1]), "correlations are in another order"),
        (data(lambda v, _: 10 * v), "amplitudes are 10"),
        (data(lambda v, _: v / 10), "amplitudes are 0.1"),
        (header("freq_array", lambda f: f[..., ::-1]), "the other way round"),
        (header("freq_array", lambda f: np.roll(f, 1)), "evenly spaced|other way round"),
        (header("antenna_numbers", lambda n: np.roll(n, 1)), "numbers or names of its antennas"),
        (header("latitude", lambda x: x + 1), "the telescope is at"),
        (header("altitude", lambda x: x + 1000), "m high"),
        (header("antenna_positions", lambda x: x + np.array([3.0, 0, 0])), "by up to 3 m"),
        (header("time_array", lambda t: t + 3 / 86400), "times differ"),
        (lambda f: f["Data/nsamples"].__setitem__(..., 1e10), r"1e\+10 samples an integration"),
    ],
    ids=[
        *("conjugated", "reversed", "rows", "times", "swapped", "strong", "weak"),
        *(
            "header reversed",
            "header rolled",
            "antennas",
            "latitude",
            "altitude",
            "positions",
            "late",
            "samples",
        ),
    ],
)
def test_an_odd_subband_costs_itself_and_is_named(observed, tmp_path, change, reason):
    found = convert(observed, tmp_path, change)
    assert found["data"]["missing_subbands"] == [ODD] and found["verdict"] == "warn"
    (said,) = found["data"]["broken_subbands"].values()
    assert re.search(reason, said) and f"sb{SUBBANDS - 1 - ODD:02d}" in said
    here = slice(ODD * CHANNELS, (ODD + 1) * CHANNELS)
    with open_table(tmp_path / "t.ms") as table:
        flags, values = table.getcol("FLAG"), table.getcol("DATA")
    assert flags[:, here].all() and (values[:, here] == 0).all()
    assert not np.delete(flags, np.r_[here], axis=1).all(axis=0).any()


def test_data_of_another_subband_cost_both(observed, tmp_path):
    """Which of the two is right, nobody can tell."""

    def change(file) -> None:
        other = sorted(Path(file.filename).parent.glob("*.hdf5"))[0]
        with h5py.File(other) as source:
            file["Data/visdata"][...] = source["Data/visdata"][...]

    found = convert(observed, tmp_path, change)
    assert len(found["data"]["broken_subbands"]) == 2 and ODD in found["data"]["missing_subbands"]
    assert all("data are those of" in why for why in found["data"]["broken_subbands"].values())


def ended(*_) -> None:
    """As casacore ends its process where the disk takes no more."""
    os._exit(6)


def test_a_disk_that_ends_casacore_is_told(observed, tmp_path, monkeypatch):
    monkeypatch.setattr("contimg.convert.write.create", ended)
    with pytest.raises(ContimgError, match=r"ms: it could not be made.*on the disk of"):
        convert(observed, tmp_path, lambda file: None)
    assert not list(tmp_path.glob("*.ms"))


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_two_threads_share_the_threads_of_numba_where_that_can_be(
    observed, tmp_path, monkeypatch, layer
):
    """Its workqueue, all there is without OpenMP, ends a process whose threads both use it."""
    events = []

    def slow(output, first, *planes):
        events.append("writes")
        time.sleep(0.3)
        put(output, first, *planes)
        events.append("has written")

    def placed(*args):
        events.append("next one")
        return place(*args)

    put, place = MeasurementSet.put_channels, stream._place
    monkeypatch.setattr(MeasurementSet, "put_channels", slow)
    monkeypatch.setattr(stream, "_place", placed)
    monkeypatch.setattr(stream.numba, "threading_layer", lambda: layer)
    convert(observed, tmp_path, lambda file: None)
    apart = ["next one", "writes", "has written"] * SUBBANDS
    assert (events == apart) == (layer == "workqueue")


def test_the_first_file_may_be_the_odd_one(observed, tmp_path):
    """One flipped bit in the lowest subband used to make all the others odd."""
    found = convert(observed, tmp_path, header("ant_1_array", flip), odd=0)
    assert list(found["data"]["broken_subbands"]) == ["0"]


def flip(numbers):
    numbers[17] ^= 1
    return numbers


def test_too_many_odd_ones_are_the_end_of_the_group(observed, tmp_path):
    with pytest.raises(DataQualityError, match=r"cannot be used .*latitude|telescope is at"):
        convert(observed, tmp_path, header("latitude", lambda x: x + 1), max_broken_subbands=0)


@pytest.mark.parametrize("times", [1e10, 3.0, np.inf])
def test_samples_that_cannot_be_cost_themselves(observed, tmp_path, times):
    """One integration of one subband does not decide the weights."""
    clean = convert(observed, tmp_path / "a", lambda file: None)

    def change(file):
        rows = slice(n_base(file))
        file["Data/nsamples"][rows] = file["Data/nsamples"][rows] * times

    found = convert(observed, tmp_path / "b", change)
    assert found["data"]["invalid_samples"]["too many samples"] > 0
    assert found["data"]["effective_fraction"] == pytest.approx(
        clean["data"]["effective_fraction"], abs=0.01
    )
    assert found["data"]["missing_subbands"] == []


@pytest.mark.parametrize("value", [0, -1, np.nan])
def test_a_subband_without_samples_is_missing(observed, tmp_path, value):
    found = convert(observed, tmp_path, lambda f: f["Data/nsamples"].__setitem__(..., value))
    assert found["data"]["missing_subbands"] == [ODD] == found["data"]["empty_subbands"]
    assert found["verdict"] == "warn" and "missing subbands 1" in found["reason"]


def test_the_effective_fraction_is_what_few_weights_leave():
    assert effective_fraction(np.full((4, 5), 3.0)) == pytest.approx(1)
    weight = np.ones(1000)
    weight[:10] = 1e10  # 1 % of the rows have all of the weight
    assert effective_fraction(weight) == pytest.approx(0.01)
    assert effective_fraction(np.r_[weight[10:], np.zeros(500)]) == pytest.approx(1)
    assert np.isnan(effective_fraction(np.zeros(3)))


def test_uneven_weights_are_said(observed, tmp_path):
    """Samples between nothing and all: no count is impossible, and few rows decide."""

    def change(file):
        samples = file["Data/nsamples"][()]
        part = np.random.default_rng(1).choice([0.02, 1.0], p=[0.6, 0.4], size=len(samples))
        file["Data/nsamples"][()] = (samples.T * part).T

    for entry in copied(observed, tmp_path):
        with h5py.File(entry["path"], "r+") as file:
            change(file)
    found = convert_copy(tmp_path)
    assert found["data"]["effective_fraction"] == pytest.approx(0.41, abs=0.03)
    assert found["verdict"] == "warn" and "effective fraction" in found["reason"]


def test_a_full_count_is_not_decided_by_few_values():
    counts = np.ones(100_000)
    counts[:5000] = 1e10
    counts[5000:9000] = 0.5
    counts[9000:9100] = np.nan
    assert full_count(counts) == 1
    assert np.isnan(full_count(np.zeros(5)))


def test_nothing_readable_is_a_data_failure(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"no hdf5")
    with pytest.raises(DataQualityError, match=r"a: .*; .*b: "):
        agree([str(tmp_path / "a"), str(tmp_path / "b")])


def noisier(times: float):
    def change(values, _):
        rng = np.random.default_rng(3)
        spread = times * np.median(np.abs(values))
        noise = rng.normal(size=values.shape) + 1j * rng.normal(size=values.shape)
        return (values + spread * noise).astype(values.dtype)

    return change


def interfered(values, _):
    """A transmitter in three channels, the same on all baselines and steady in time."""
    values[..., 4:7, :] += 30 * np.median(np.abs(values))
    return values


@pytest.mark.parametrize(
    "change",
    [noisier(1.0), noisier(3.0), interfered, lambda v, _: 2.5 * v, lambda v, _: v * np.exp(1.3j)],
    ids=["noisy", "very noisy", "interference", "another gain", "another phase"],
)
def test_what_is_only_worse_is_not_odd(observed, tmp_path, change):
    """Noise, interference and gains are for the flagging and the calibration to deal with."""
    found = convert(observed, tmp_path, data(change))
    assert found["data"]["broken_subbands"] == {}

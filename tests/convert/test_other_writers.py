"""UVH5 as others write it: read as it is meant, or rejected at discovery with the reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from astropy.coordinates import EarthLocation

from contimg.convert.command import ConvertFiles, run
from contimg.convert.options import ConvertOptions
from contimg.core.grouping.scan import find_files, read_headers
from contimg.core.ms import open_table, read_axes
from contimg.core.records import read_record
from contimg.core.uvh5 import HeaderError, geodetic, read_header
from contimg.flag.options import FlagOptions
from contimg.validate.file import check_file
from contimg.validate.verdicts import Settings
from truth.observe import INSTRUMENT, observe


def converted(directory: Path, manifest: Path):
    """(axes, visibilities, record) of an observation."""
    files = ConvertFiles(manifest=manifest, ms=directory / "t.ms", record=directory / "t.json")
    run(files, INSTRUMENT, ConvertOptions(max_broken_subbands=0), FlagOptions(steps=[]))
    with open_table(files.ms) as table:
        return read_axes(files.ms), table.getcol("DATA"), read_record(files.record)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reference")
    return converted(directory, observe(directory)[2])


@pytest.fixture
def observation(tmp_path):
    """(manifest, its files) to be written as another writer would."""
    manifest = observe(tmp_path)[2]
    return manifest, sorted((tmp_path / "raw").iterdir())


def replace(file: h5py.File, name: str, value, **how) -> None:
    del file[name]
    file.create_dataset(name, data=value, **how)


def rewrite(paths: list[Path], change) -> None:
    for path in paths:
        with h5py.File(path, "r+") as file:
            change(file)


def last_bits(file: h5py.File) -> None:
    """Times computed row by row: they differ by one step of a double (40 us)."""
    times = file["Header/time_array"][()]
    step = np.spacing(times) * np.random.default_rng(0).integers(-1, 2, times.size)
    replace(file, "Header/time_array", times + step)


def padded(file: h5py.File) -> None:
    names = [f"{name.decode():<12}" for name in file["Header/antenna_names"][()]]
    replace(file, "Header/antenna_names", np.array(names, dtype="S12"))
    telescope = file["Header/telescope_name"][()].decode()
    replace(file, "Header/telescope_name", np.bytes_(f"{telescope:<20}"))


def absolute(file: h5py.File) -> None:
    latitude, longitude, height = geodetic(file["Header"])
    centre = EarthLocation.from_geodetic(longitude, latitude, height).geocentric
    there = file["Header/antenna_positions"][()] + [x.to_value("m") for x in centre]
    replace(file, "Header/antenna_positions", there)


def compressed(file: h5py.File) -> None:
    for name, how in (
        ("visdata", hdf5plugin.Bitshuffle()),
        ("flags", hdf5plugin.Bitshuffle()),
        ("nsamples", hdf5plugin.LZ4()),
    ):
        data = file[f"Data/{name}"][()]
        replace(file, f"Data/{name}", data, chunks=data.shape, **how)


@pytest.mark.parametrize("change", [last_bits, padded, absolute, compressed])
def test_same_measurement_set(tmp_path, observation, reference, change):
    manifest, paths = observation
    rewrite(paths, change)
    (axes, data, record), (same, truth, before) = converted(tmp_path, manifest), reference
    assert axes.shape == same.shape and axes.antenna_names == same.antenna_names
    assert np.abs(axes.antenna_positions_m - same.antenna_positions_m).max() < 1e-6
    assert np.abs(axes.mjd - same.mjd).max() * 86400 < 1e-4
    # 80 us of the Earth's rotation turn the phases of a 2.6 km baseline by 5e-4
    near = 5e-4 if change is last_bits else 1e-5
    assert np.abs(data - truth).max() < near * np.abs(truth).max()
    assert record["verdict"] == before["verdict"]
    assert record["data"]["antenna_positions_from_earth_centre"] == (change is absolute)


@pytest.mark.parametrize("change", [last_bits, padded])
def test_header_is_read_as_if_nothing_were_different(observation, change):
    _, paths = observation
    before = read_header(paths[0])
    rewrite(paths[:1], change)
    after = read_header(paths[0])
    assert (after.n_times, after.telescope) == (before.n_times, before.telescope)
    assert after.first_mjd == pytest.approx(before.first_mjd, abs=1e-9)


def test_validation_names_positions_from_the_centre_of_the_earth(observation):
    _, paths = observation
    rewrite(paths, absolute)
    settings = Settings(
        quick=False,
        n_times=None,
        telescope=INSTRUMENT.telescope,
        subbands=2,
        band_hz=None,
        max_clock_offset_s=600,
        uvw_tolerance_m=1,
        min_usable=0.1,
        warn_usable=0.5,
        positions=None,
    )
    checks = {c.metric: c for c in check_file(str(paths[0]), settings).checks}
    told = checks["antenna positions relative to the telescope"]
    assert told.verdict == "warn" and "centre of the Earth" in told.reason
    assert "fail" not in {c.verdict for c in checks.values()}


@pytest.mark.parametrize("what", ["antenna_names", "antenna_positions"])
def test_fewer_names_than_numbers_are_rejected_at_discovery(tmp_path, observation, what):
    _, paths = observation
    rewrite(paths[:1], lambda f: replace(f, f"Header/{what}", f[f"Header/{what}"][:100]))
    table = read_headers(find_files(tmp_path / "raw"), tmp_path / "files.parquet")
    row = table[table["path"] == str(paths[0])].iloc[0]
    assert row["kind"] == "antennas" and row["reason"] == f"117 antenna_numbers, but 100 {what}"
    assert (table[table["path"] != str(paths[0])]["reason"] == "").all()


def test_filters_are_loaded_when_a_file_needs_them(observation):
    """In a process that has not loaded them yet, unlike this one."""
    _, paths = observation
    with h5py.File(paths[0]) as file:
        truth = complex(file["Data/visdata"][3, 0, 2, 1])
    rewrite(paths[:1], compressed)
    program = (
        "import sys; from contimg.core.uvh5 import open_uvh5;"
        "print(complex(open_uvh5(sys.argv[1])['Data/visdata'][3, 0, 2, 1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(paths[0])], capture_output=True, text=True, check=True
    )
    assert complex(done.stdout) == truth


def test_an_unknown_compression_is_named(observation):
    _, paths = observation

    def exotic(file: h5py.File) -> None:
        data = file["Data/visdata"][()]
        del file["Data/visdata"]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(data.shape)
        properties.set_filter(40_001, h5py.h5z.FLAG_OPTIONAL)
        kind, space = h5py.h5t.py_create(data.dtype), h5py.h5s.create_simple(data.shape)
        made = h5py.h5d.create(file["Data"].id, b"visdata", kind, space, properties)
        h5py.Dataset(made)[...] = data

    rewrite(paths[:1], exotic)
    with pytest.raises(HeaderError, match="filter 40001") as caught:
        read_header(paths[0])
    assert caught.value.kind == "compression"

"""The file is what the instrument writes: header, order, types."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from contimg.core.instrument import InstrumentOptions
from contimg.core.uvh5 import read_header
from contimg.simulate.array import active_stations, itrf_offsets
from contimg.simulate.command import simulate_group
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import integration_mids, schedule
from contimg.simulate.sky import make_sky

SIMULATE = SimulateOptions(
    epochs=1,
    wide_epochs=[],
    antenna_step=10,
    outriggers=3,
    channels_per_subband=6,
    n_times=5,
    field_sources=3,
)
INSTRUMENT = InstrumentOptions(subbands=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The group and the paths of its files, subband 0 first."""
    group = schedule(SIMULATE, INSTRUMENT)[0]
    sky = make_sky(SIMULATE, [group])
    out = tmp_path_factory.mktemp("raw")
    entries = simulate_group(out, group, sky, INSTRUMENT, SIMULATE)
    return group, [entry["path"] for entry in entries[::-1]]


def test_names(made) -> None:
    group, paths = made
    for subband, path in enumerate(paths):
        name = path.rsplit("/", 1)[-1]
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d_sb{subband:02d}\.hdf5", name)
        seconds = int(name[17:19]) + 60 * int(name[14:16])
        first = int(group.group[13:15]) + 60 * int(group.group[11:13])
        assert -7.5 <= (seconds - first + 1800) % 3600 - 1800 <= 3.5


def test_pyuvdata_reads_the_files(made) -> None:
    from pyuvdata import UVData

    group, paths = made
    stations = active_stations(10, 3)
    tops = []
    for path in paths:
        data = UVData()
        data.read(path, file_type="uvh5", run_check=False)
        assert data.telescope.name == "OVRO_MMA" and data.Nants_telescope == 117
        assert list(data.telescope.antenna_names[[0, 116]]) == ["1", "117"]
        assert data.telescope.location.lat.deg == pytest.approx(37.233386982)
        assert data.telescope.location.height.value == pytest.approx(1188.0519)
        assert data.telescope.antenna_positions == pytest.approx(itrf_offsets())
        assert set(data.ant_1_array) == set(stations - 1)
        n = stations.size
        assert (data.Nbls, data.Ntimes) == (n * (n + 1) // 2, 5)
        assert np.unique(data.time_array) - 2400000.5 == pytest.approx(
            integration_mids(group), abs=1e-9
        )
        assert list(data.polarization_array) == [-5, -6]
        assert np.all(np.diff(data.freq_array) < 0)
        assert data.channel_width == pytest.approx(187.5e6 / 18)
        assert np.all(data.nsample_array == 96) and not data.flag_array.any()
        assert data.extra_keywords["phase_center_epoch"] == "HADEC"
        stored = data.lst_array.copy()
        data.set_lsts_from_time_array()
        assert stored == pytest.approx(data.lst_array, abs=1e-7)
        tops.append(data.freq_array[0])
    assert np.all(np.diff(tops) < 0)


def test_raw_content(made) -> None:
    group, paths = made
    with h5py.File(paths[0]) as file:
        header, data = file["Header"], file["Data"]
        assert header["phase_type"][()] == b"drift" and "phase_center_catalog" not in header
        assert header["phase_center_app_dec"][()] == np.radians(group.dec_app_deg)
        extra = header["extra_keywords"]
        assert extra["phase_center_dec"][()] == np.radians(group.dec_app_deg)
        assert extra["ha_phase_center"][()] == 0
        assert header["freq_array"].shape == (1, 6)
        assert header["channel_width"].shape == ()
        assert data["visdata"].dtype == np.complex64
        assert data["visdata"].id.get_type().get_member_name(0) == b"r"
        assert data["visdata"].shape == (header["Nblts"][()], 1, 6, 2)
        uvw = header["uvw_array"][:]
        assert uvw.dtype == np.float32
        frozen = uvw.reshape(5, -1, 3)
        assert np.all(frozen == frozen[0])
        names = header["ant_1_array"][:4], header["ant_2_array"][:4]
        first = active_stations(10, 3) - 1
        assert list(names[0]) == [first[0], first[0], first[1], first[0]]
        assert list(names[1]) == [first[0], first[1], first[1], first[2]]


def test_uvw_agree_with_pyuvdata(made) -> None:
    from pyuvdata.utils.phasing import calc_uvw

    group, paths = made
    with h5py.File(paths[0]) as file:
        header = {k: v[()] for k, v in file["Header"].items() if not isinstance(v, h5py.Group)}
    rows = header["ant_1_array"].size
    expected = calc_uvw(
        app_ra=header["lst_array"],
        app_dec=np.full(rows, np.radians(group.dec_app_deg)),
        frame_pa=np.zeros(rows),
        lst_array=header["lst_array"],
        use_ant_pos=True,
        antenna_positions=header["antenna_positions"],
        antenna_numbers=header["antenna_numbers"],
        ant_1_array=header["ant_1_array"],
        ant_2_array=header["ant_2_array"],
        telescope_lat=np.radians(header["latitude"]),
        telescope_lon=np.radians(header["longitude"]),
    )
    assert header["uvw_array"] == pytest.approx(expected, abs=2e-4)


def test_the_discovery_reads_the_header(made) -> None:
    group, paths = made
    for path in paths:
        header = read_header(path)
        assert header.tracking == "drift" and header.n_times == 5
        assert header.dec_app_deg == pytest.approx(group.dec_app_deg)
        assert header.first_mjd == pytest.approx(integration_mids(group)[0], abs=1e-9)
    assert header.freq_min_hz == pytest.approx(1311.25e6)
    assert header.telescope == group.telescope

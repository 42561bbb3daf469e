"""Our Measurement Set against pyuvdata's reading and phasing of the same files."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import open_table, read_axes
from contimg.core.records import read_record
from contimg.flag.options import FlagOptions
from contimg.simulate.schedule import schedule
from truth.observe import INSTRUMENT, PERFECT, converted, observe

# what these tests are not about: raw uvw are of hour angle 0, which pyuvdata notices
pytestmark = [
    pytest.mark.filterwarnings("ignore:The uvw_array does not match:UserWarning"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array without adjusting:UserWarning"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(our MS, pyuvdata's object of the same data at the same phase centre)."""
    directory = tmp_path_factory.mktemp("both")
    group, _, manifest = observe(directory)
    for number, entry in enumerate(json.loads(manifest.read_text())["files"]):
        thin_out(entry["path"], number)
    ms = converted(directory, manifest)
    return ms, pyuvdata_phased(manifest, group)


def thin_out(path, seed):
    """Lost packets and flags of the correlator, and correlations that are not alike."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "r+") as file:
        data = file["Data"]
        shape = data["nsamples"].shape
        data["nsamples"][()] = rng.integers(1, 97, shape)
        data["flags"][()] = rng.random(shape) < 0.2
        values = data["visdata"][()]
        values[..., 1] *= 2
        data["visdata"][()] = values


def pyuvdata_phased(manifest, group):
    from pyuvdata import UVData

    parts = []
    for entry in json.loads(manifest.read_text())["files"]:
        part = UVData()
        part.read(entry["path"], file_type="uvh5", run_check=False)
        part.uvw_array = part.uvw_array.astype(float)
        part.reorder_freqs(channel_order="freq", run_check=False)
        parts.append(part)
    data = parts[0].fast_concat(parts[1:], "freq", inplace=False, run_check=False)
    data.select(bls=[b for b in data.get_antpairs() if b[0] != b[1]], run_check=False)
    # the file's phases follow the meridian at the apparent declination of the pointing
    latitude = data.telescope.location.lat.rad
    dec = np.radians(group.dec_app_deg)
    for centre in data.phase_center_catalog.values():
        centre.update(
            cat_type="driftscan",
            cat_frame="altaz",
            cat_lon=0.0 if dec > latitude else np.pi,
            cat_lat=np.pi / 2 - abs(latitude - dec),
        )
    data.set_lsts_from_time_array()
    data._set_app_coords_helper()
    # the file rounds its uvw to float32; both sides start from the antenna positions
    data.set_uvws_from_antenna_positions(update_vis=False)
    data.phase(
        ra=np.radians(group.ra_deg),
        dec=np.radians(group.dec_deg),
        phase_frame="icrs",
        use_ant_pos=True,
        cat_name="tile",
    )
    data.reorder_blts(order="time", minor_order="ant1", run_check=False)
    return data


def test_uvw_agree_to_a_micrometre(both):
    ms, reference = both
    axes = read_axes(ms)
    assert np.abs(axes.uvw_m.reshape(-1, 3) + reference.uvw_array).max() < 1e-6


def test_data_agree_to_a_millionth(both):
    ms, reference = both
    with open_table(ms) as table:
        data = table.getcol("DATA")
    expected = np.where(reference.flag_array, 0, reference.data_array.conj())
    scale = np.abs(expected).max()
    assert np.abs(data - expected).max() < 1e-6 * scale


def test_flags_and_weights_are_those_of_the_file(both):
    """WEIGHT is 2 dnu dt times the mean share of samples of the channels that are not flagged."""
    ms, reference = both
    axes = read_axes(ms)
    with open_table(ms) as table:
        columns = [table.getcol(c) for c in ("FLAG", "WEIGHT", "SIGMA", "FLAG_ROW")]
    flags, weight, sigma, flag_row = columns
    assert np.array_equal(flags, reference.flag_array) and flags.any()
    good = ~reference.flag_array
    samples = reference.nsample_array.astype(float)
    mean = (samples * good).sum(axis=1) / good.sum(axis=1)
    unit = 2 * axes.width_hz * axes.integration_s / samples[good].max()
    assert np.allclose(weight, unit * mean, rtol=1e-6, atol=0)
    assert np.allclose(sigma, weight**-0.5, rtol=1e-6, atol=0)
    assert not flag_row.any()


def test_times_and_frequencies_are_the_same(both):
    ms, reference = both
    axes = read_axes(ms)
    assert np.allclose(axes.mjd + 2400000.5, np.unique(reference.time_array), rtol=0, atol=1e-9)
    assert np.array_equal(np.sort(axes.freq_hz), axes.freq_hz)
    assert np.allclose(axes.freq_hz, reference.freq_array, rtol=0, atol=1)


def test_pyuvdata_reads_our_ms(both):
    from pyuvdata import UVData

    ms, reference = both
    back = UVData()
    back.read(str(ms), file_type="ms")  # with all of its checks
    assert back.check(strict_uvw_antpos_check=True)
    assert back.telescope.name == INSTRUMENT.telescope
    (centre,) = back.phase_center_catalog.values()
    (expected,) = (c for c in reference.phase_center_catalog.values() if c["cat_name"] == "tile")
    assert centre["cat_frame"] == "icrs" and centre["cat_type"] == "sidereal"
    assert centre["cat_lon"] == pytest.approx(expected["cat_lon"], abs=1e-12)
    assert centre["cat_lat"] == pytest.approx(expected["cat_lat"], abs=1e-12)
    assert np.abs(back.uvw_array - reference.uvw_array).max() < 1e-6
    good = ~reference.flag_array
    apart = np.abs(back.data_array - reference.data_array)[good].max()
    assert apart < 1e-6 * np.abs(reference.data_array).max()
    where, there = (d.telescope.location.geocentric for d in (back, reference))
    assert np.allclose([x.value for x in where], [x.value for x in there], rtol=0, atol=1e-3)


def test_subtables_hold_what_the_data_say(both):
    ms, reference = both
    axes = read_axes(ms)
    times = np.unique(reference.time_array) - 2400000.5
    with open_table(f"{ms}/OBSERVATION") as table:
        start, end = table.getcell("TIME_RANGE", 0) / 86400
    half = 51.5 / 2 / 86400
    assert [start, end] == pytest.approx([times[0] - half, times[-1] + half], abs=1e-8)
    with open_table(f"{ms}/SPECTRAL_WINDOW") as table:
        assert table.nrows() == 1
        assert table.getcell("TOTAL_BANDWIDTH", 0) == pytest.approx(187.5e6)
        for name in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
            assert np.allclose(table.getcell(name, 0), 187.5e6 / 16)
        assert table.getcell("REF_FREQUENCY", 0) == axes.freq_hz[0]
        assert table.getcell("MEAS_FREQ_REF", 0) == 5  # TOPO, in casacore's order of frames
    with open_table(f"{ms}/FIELD") as table:
        assert table.nrows() == 1 and table.getcell("SOURCE_ID", 0) == -1
        for name in ("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"):
            assert table.getcolkeyword(name, "MEASINFO")["Ref"] == "ICRS"
            assert table.getcell(name, 0)[0] == pytest.approx(axes.phase_center_rad)
    with open_table(ms) as table:
        for name in ("INTERVAL", "EXPOSURE"):
            assert np.allclose(table.getcol(name), 51.5)


def test_antennas_are_those_of_the_header(both):
    """All stations are in the table, those without data too; rows go by name."""
    ms, reference = both
    axes = read_axes(ms)
    telescope = reference.telescope
    assert axes.antenna_names == [f"DSA-{name}" for name in telescope.antenna_names]
    assert len(axes.antenna_names) == telescope.antenna_numbers.size
    centre = [x.to_value("m") for x in telescope.location.geocentric]
    expected = telescope.antenna_positions + centre
    assert np.abs(axes.antenna_positions_m - expected).max() < 1e-6
    used = {axes.antenna_names[i] for i in np.union1d(axes.ant1, axes.ant2)}
    names = dict(zip(telescope.antenna_numbers, telescope.antenna_names, strict=True))
    assert used == {f"DSA-{names[n]}" for n in np.unique(reference.ant_1_array)} | {
        f"DSA-{names[n]}" for n in np.unique(reference.ant_2_array)
    }
    with open_table(f"{ms}/ANTENNA") as table:
        assert set(table.getcol("MOUNT")) == {"ALT-AZ"}
        assert np.allclose(table.getcol("DISH_DIAMETER"), 4.65)


def test_pointing_follows_the_meridian_not_the_phase_centre(both):
    """At every time the dishes look at hour angle 0 and the pointing's apparent declination."""
    from pyuvdata.utils import get_lst_for_time
    from pyuvdata.utils.phasing import calc_app_coords

    ms, reference = both
    axes, group = read_axes(ms), schedule(PERFECT, INSTRUMENT)[0]
    with open_table(f"{ms}/POINTING") as table:
        assert table.getcolkeyword("DIRECTION", "MEASINFO")["Ref"] == "ICRS"
        time, direction = table.getcol("TIME"), table.getcol("DIRECTION")[:, 0]
    assert time.size == axes.mjd.size * np.union1d(axes.ant1, axes.ant2).size
    jd = time / 86400 + 2400000.5
    place = reference.telescope.location
    lst = get_lst_for_time(jd_array=jd, telescope_loc=place)
    for k in range(0, time.size, 13):
        ra, dec = calc_app_coords(
            lon_coord=direction[k, 0],
            lat_coord=direction[k, 1],
            coord_frame="icrs",
            coord_type="sidereal",
            time_array=jd[k],
            lst_array=lst[k],
            telescope_loc=place,
        )
        # diurnal aberration, 0.3 arcsec at most, belongs to the place or to the meridian
        assert np.degrees(np.cos(dec) * np.sin(ra - lst[k])) * 3600 == pytest.approx(0, abs=0.4)
        assert np.degrees(dec - np.radians(group.dec_app_deg)) * 3600 == pytest.approx(0, abs=0.4)


@pytest.mark.parametrize("frame", ["icrs", "fk5"])
def test_a_tracked_field_of_another_telescope_keeps_centre_and_uvw(both, tmp_path, frame):
    """UVH5 as pyuvdata writes it today: a catalogue of phase centres, one of them used."""
    _, reference = both
    tracked = reference.copy()
    tracked.telescope.name = "ELSEWHERE"
    (number,) = np.unique(tracked.phase_center_id_array)
    tracked.phase_center_catalog = {number: tracked.phase_center_catalog[number]}
    if frame == "fk5":
        tracked.phase(
            lon=np.radians(130.0),
            lat=np.radians(56.0),
            phase_frame="fk5",
            epoch=2000.0,
            cat_name="precessed",
        )
    start = Time(tracked.time_array.min(), format="jd").strftime("%Y-%m-%dT%H:%M:%S")
    path = tmp_path / f"{start}_sb00.hdf5"
    tracked.write_uvh5(path, run_check=False)
    with h5py.File(path, "r+") as file:
        file["Header/uvw_array"][17] = np.inf  # no baseline: its row is lost, its uvw is not
    tracked.flag_array[17] = True
    files = ConvertFiles(files=[path], ms=tmp_path / "t.ms", record=tmp_path / "t.json")
    instrument = InstrumentOptions(subbands=1, telescope="ELSEWHERE")
    convert(files, instrument, ConvertOptions(), FlagOptions(steps=[]))
    axes = read_axes(files.ms)
    assert np.abs(axes.uvw_m.reshape(-1, 3) + tracked.uvw_array).max() < 1e-6
    with open_table(files.ms) as table:
        data, flags = table.getcol("DATA"), table.getcol("FLAG")
    expected = np.where(tracked.flag_array, 0, tracked.data_array.conj())
    assert np.array_equal(flags, tracked.flag_array)
    assert np.abs(data - expected).max() < 1e-6 * np.abs(expected).max()
    (centre,) = tracked.phase_center_catalog.values()
    sky = SkyCoord(centre["cat_lon"], centre["cat_lat"], unit="rad", frame=frame).icrs
    assert axes.phase_center_rad == pytest.approx(
        (sky.ra.wrap_at("180d").rad % (2 * np.pi), sky.dec.rad), abs=1e-9
    )
    assert axes.antenna_names[:2] == ["DSA-1", "DSA-2"]
    metric = "uvw of the file against antenna positions"
    seen = {c["metric"]: c for c in read_record(files.record)["checks"]}[metric]
    assert seen["verdict"] == "pass" and 0 < seen["value"] < 0.05  # those of pyuvdata
    with h5py.File(path, "r+") as file:
        file["Header/antenna_positions"][()] = 1.01 * file["Header/antenna_positions"][()]
    convert(files, instrument, ConvertOptions(), FlagOptions(steps=[]))
    seen = {c["metric"]: c for c in read_record(files.record)["checks"]}[metric]
    length = np.median(np.linalg.norm(axes.uvw_m, axis=-1))
    assert seen["verdict"] == "warn" and seen["value"] == pytest.approx(0.01 * length, rel=0.1)

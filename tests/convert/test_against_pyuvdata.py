"""Our Measurement Set against pyuvdata's reading and phasing of the same files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contimg.core.ms import open_table, read_axes
from truth.observe import INSTRUMENT, converted, observe


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(our MS, pyuvdata's object of the same data at the same phase centre)."""
    directory = tmp_path_factory.mktemp("both")
    group, _, manifest = observe(directory)
    ms = converted(directory, manifest)
    return ms, pyuvdata_phased(manifest, group)


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
    expected = reference.data_array.conj()
    scale = np.abs(expected).max()
    assert np.abs(data - expected).max() < 1e-6 * scale


def test_flags_and_weights_are_those_of_the_file(both):
    ms, reference = both
    axes = read_axes(ms)
    with open_table(ms) as table:
        flags, weight = table.getcol("FLAG"), table.getcol("WEIGHT")
    assert np.array_equal(flags, reference.flag_array)
    samples = reference.nsample_array.mean(axis=1)
    unit = 2 * axes.width_hz * axes.integration_s / samples.max()
    assert np.array_equal(weight, (unit * samples).astype(np.float32))


def test_times_and_frequencies_are_the_same(both):
    ms, reference = both
    axes = read_axes(ms)
    assert np.allclose(axes.mjd + 2400000.5, np.unique(reference.time_array), rtol=0, atol=1e-9)
    assert np.array_equal(np.sort(axes.freq_hz), axes.freq_hz)
    assert np.allclose(axes.freq_hz, reference.freq_array, rtol=0, atol=1)


def test_pyuvdata_reads_our_ms(both):
    from pyuvdata import UVData

    ms, _ = both
    back = UVData()
    back.read(str(ms), file_type="ms")  # with all of its checks
    assert back.telescope.name == INSTRUMENT.telescope
    assert back.phase_center_catalog[next(iter(back.phase_center_catalog))]["cat_frame"] == "icrs"
    assert back.Nfreqs == 16 and back.Ntimes == 6


def test_subtables_hold_what_the_data_say(both):
    ms, _ = both
    axes = read_axes(ms)
    with open_table(f"{ms}/OBSERVATION") as table:
        start, end = table.getcell("TIME_RANGE", 0)
    assert end - start == pytest.approx(6 * 51.5, abs=1e-3)
    with open_table(f"{ms}/SPECTRAL_WINDOW") as table:
        assert table.getcell("TOTAL_BANDWIDTH", 0) == pytest.approx(187.5e6)
        assert np.allclose(table.getcell("CHAN_WIDTH", 0), axes.width_hz)
    with open_table(ms) as table:
        weight = table.getcol("WEIGHT")
    assert np.allclose(weight, 2 * axes.width_hz * 51.5)
    assert all(name.startswith("DSA-") for name in axes.antenna_names)

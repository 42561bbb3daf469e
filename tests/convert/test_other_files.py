"""Files of other shapes: other telescopes and phase centres, odd orders, files named by hand."""

from __future__ import annotations

import contextlib
import io
import json

import h5py
import numpy as np
import pytest

from contimg.convert.command import ConvertFiles, run
from contimg.convert.options import ConvertOptions
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import open_table, read_axes
from contimg.core.records import read_record
from contimg.core.uvh5 import HeaderError, read_header
from contimg.flag.options import FlagOptions
from truth.observe import INSTRUMENT, converted, observe

NO_STEPS = FlagOptions(steps=[])


@pytest.fixture(scope="module")
def observation(tmp_path_factory):
    """(group, MS, data) of a tiny observation converted the usual way."""
    directory = tmp_path_factory.mktemp("reference")
    group, _, manifest = observe(directory)
    ms = converted(directory, manifest)
    return group, ms, column(ms, "DATA")


def column(ms, name):
    with open_table(ms) as table:
        return table.getcol(name)


def convert(directory, options=None, **files):
    named = ConvertFiles(ms=directory / "made.ms", record=directory / "made.json", **files)
    run(named, INSTRUMENT, options or ConvertOptions(max_broken_subbands=0), NO_STEPS)
    return named.ms


def edit(raw, change):
    """Call `change` with every file of a directory, open for writing."""
    for path in raw.glob("*.hdf5"):
        with h5py.File(path, "r+") as file:
            change(file)


def replace(group, name, value):
    del group[name]
    group[name] = value


def test_files_of_a_directory_or_a_list_give_the_same_ms(tmp_path, observation):
    observe(tmp_path)
    for number, files in enumerate(([tmp_path / "raw"], sorted((tmp_path / "raw").iterdir()))):
        there = tmp_path / str(number)
        there.mkdir()
        made = convert(there, files=files)
        # the pointing comes from the header here, where it has fewer digits
        assert np.abs(column(made, "DATA") - observation[2]).max() < 1e-4


def test_one_file_of_a_group_becomes_a_partial_ms(tmp_path):
    observe(tmp_path)
    made = convert(tmp_path, files=sorted((tmp_path / "raw").iterdir())[:1])
    flags = column(made, "FLAG")
    assert flags.shape[1] == 16 and 0.4 < flags.mean() < 0.6
    assert len(read_record(tmp_path / "made.json")["data"]["missing_subbands"]) == 1


def test_names_of_files_given_by_correlation_do_not_matter(tmp_path, observation):
    observe(tmp_path)
    for number, path in enumerate(sorted((tmp_path / "raw").iterdir())):
        path.rename(path.with_name(f"part {number}.uvh5"))
    for number, files in enumerate(([tmp_path / "raw"], sorted((tmp_path / "raw").iterdir()))):
        there = tmp_path / str(number)
        there.mkdir()
        made = convert(there, files=files)
        assert np.abs(column(made, "DATA") - observation[2]).max() < 1e-4


def test_a_missing_subband_does_not_count_as_too_little_data(tmp_path):
    """The limits of flag.usable_* are of the data there are; what is missing has its own check."""
    observe(tmp_path)
    with h5py.File(sorted((tmp_path / "raw").iterdir())[0], "r+") as file:
        file["Data/flags"][:, :, :4] = True
    named = ConvertFiles(
        files=sorted((tmp_path / "raw").iterdir())[:1],
        ms=tmp_path / "t.ms",
        record=tmp_path / "t.json",
    )
    run(
        named, INSTRUMENT, ConvertOptions(), FlagOptions(steps=[], usable_fail=0.4, usable_warn=0.4)
    )
    record = read_record(named.record)
    (usable,) = [c for c in record["checks"] if c["metric"] == "usable fraction"]
    assert usable["value"] == pytest.approx(0.5) and usable["verdict"] == "pass"
    assert record["data"]["usable_fraction"] == pytest.approx(0.25)
    with pytest.raises(DataQualityError, match=r"50.0% of the data usable"):
        run(
            named,
            INSTRUMENT,
            ConvertOptions(),
            FlagOptions(steps=[], usable_fail=0.6, usable_warn=0.6),
        )


def test_files_that_form_no_group_are_named_with_the_reason(tmp_path):
    broken = tmp_path / "2025-10-05T00:00:00_sb00.hdf5"
    broken.write_bytes(b"nothing")
    with pytest.raises(ContimgError, match=r"sb00.*unreadable"):
        convert(tmp_path, files=[broken])
    with pytest.raises(ContimgError, match="either --manifest or --files"):
        convert(tmp_path)


def test_rows_in_any_order_and_sense_give_the_same_ms(tmp_path, observation):
    _, _, manifest = observe(tmp_path)

    def shuffle(file):
        rng = np.random.default_rng(1)
        header, data = file["Header"], file["Data"]
        order = rng.permutation(header["time_array"].size)
        for group, names in (
            (header, ("time_array", "ant_1_array", "ant_2_array", "uvw_array")),
            (data, ("visdata", "flags", "nsamples")),
        ):
            for name in names:
                replace(group, name, group[name][()][order])
        other = rng.random(order.size) < 0.5
        first, second = header["ant_1_array"][()], header["ant_2_array"][()]
        replace(header, "ant_1_array", np.where(other, second, first))
        replace(header, "ant_2_array", np.where(other, first, second))
        uvw, vis = header["uvw_array"][()], data["visdata"][()]
        uvw[other] *= -1
        vis[other] = vis[other].conj()
        replace(header, "uvw_array", uvw)
        replace(data, "visdata", vis)

    edit(tmp_path / "raw", shuffle)
    made = convert(tmp_path, manifest=manifest)
    checks = {c["metric"]: c for c in read_record(tmp_path / "made.json")["checks"]}
    assert checks["uvw of the file against antenna positions"]["value"] < 0.01  # turned with them
    assert np.array_equal(column(made, "ANTENNA1"), column(observation[1], "ANTENNA1"))
    scale = np.abs(observation[2]).max()
    assert np.abs(column(made, "DATA") - observation[2]).max() < 2e-6 * scale


def test_order_of_the_antenna_table_does_not_matter(tmp_path, observation):
    """Rows name antennas by number, which need not be the place in the table."""
    _, _, manifest = observe(tmp_path)

    def shuffle(file):
        header = file["Header"]
        order = np.random.default_rng(2).permutation(header["antenna_numbers"].size)
        for name in ("antenna_numbers", "antenna_names", "antenna_positions"):
            replace(header, name, header[name][()][order])

    edit(tmp_path / "raw", shuffle)
    made = convert(tmp_path, manifest=manifest)
    there, expected = read_axes(made), read_axes(observation[1])
    assert there.antenna_names == expected.antenna_names
    assert np.array_equal(there.antenna_positions_m, expected.antenna_positions_m)
    assert np.array_equal(there.uvw_m, expected.uvw_m)
    assert np.array_equal(column(made, "DATA"), observation[2])


@pytest.mark.parametrize("order", [(-5, -7, -8, -6), (-8, -6, -5, -7)], ids=["xx", "yx"])
def test_of_four_correlations_those_of_one_hand_are_taken(tmp_path, observation, order):
    """As HERA and the MWA write them; the cross hands are a thousand times as strong here."""
    _, _, manifest = observe(tmp_path)

    def crossed(file):
        header, data = file["Header"], file["Data"]
        hands = list(header["polarization_array"][()])
        for name in ("visdata", "flags", "nsamples"):
            two = data[name][()]
            other = np.full(two.shape[:-1], 1000 * two.max() if name == "visdata" else two.flat[0])
            planes = [two[..., hands.index(p)] if p in hands else other for p in order]
            replace(data, name, np.stack(planes, axis=-1).astype(two.dtype))
        replace(header, "polarization_array", np.array(order))
        replace(header, "Npols", 4)

    edit(tmp_path / "raw", crossed)
    made = convert(tmp_path, manifest=manifest)
    assert np.array_equal(column(made, "DATA"), observation[2])


def test_an_array_of_128_antennas_of_which_few_have_data(tmp_path, observation):
    """Numbers with gaps, as of the MWA: those without data stand in the table and take no row."""
    _, _, manifest = observe(tmp_path)

    def more(file):
        header = file["Header"]
        numbers = header["antenna_numbers"][()]
        new = np.setdiff1d(np.arange(1000), numbers)[-(128 - numbers.size) :]
        names = header["antenna_names"][()]
        added = np.array([f"T{n}".encode() for n in new], dtype=object)
        places = 500 + np.random.default_rng(4).normal(0, 300, (new.size, 3))
        replace(header, "antenna_numbers", np.r_[new, numbers])
        replace(header, "antenna_names", np.r_[added, names].astype("S16"))
        replace(header, "antenna_positions", np.r_[places, header["antenna_positions"][()]])
        replace(header, "Nants_telescope", 128)

    edit(tmp_path / "raw", more)
    made = convert(tmp_path, manifest=manifest)
    assert len(read_axes(made).antenna_names) == 128
    assert np.array_equal(column(made, "UVW"), column(observation[1], "UVW"))
    assert np.array_equal(column(made, "DATA"), observation[2])


def test_rows_that_are_missing_are_flagged(tmp_path):
    _, _, manifest = observe(tmp_path)

    def thin(file):
        keep = np.arange(file["Header/time_array"].size) % 50 != 7
        for name in ("time_array", "ant_1_array", "ant_2_array", "uvw_array"):
            replace(file["Header"], name, file["Header"][name][()][keep])
        for name in ("visdata", "flags", "nsamples"):
            replace(file["Data"], name, file["Data"][name][()][keep])

    edit(tmp_path / "raw", thin)
    made = convert(tmp_path, manifest=manifest)
    missing = read_record(tmp_path / "made.json")["data"]["rows_missing"]
    assert missing > 0
    assert column(made, "FLAG_ROW").sum() == missing


def test_subband_of_another_time_is_refused(tmp_path):
    _, _, manifest = observe(tmp_path)
    victim = next((tmp_path / "raw").glob("*sb00.hdf5"))
    with h5py.File(victim, "r+") as file:
        file["Header/time_array"][()] = file["Header/time_array"][()] + 5 / 86400
    with pytest.raises(DataQualityError, match=r"sb00.*times differ"):
        convert(tmp_path, manifest=manifest)


@pytest.mark.parametrize("name", ["visdata", "flags", "nsamples"])
def test_wrong_shapes_are_refused(tmp_path, name):
    _, _, manifest = observe(tmp_path)
    victim = next((tmp_path / "raw").glob("*sb00.hdf5"))
    with h5py.File(victim, "r+") as file:
        replace(file["Data"], name, file["Data"][name][()][:, :, :-1])
    with pytest.raises(DataQualityError, match=rf"sb00.*{name} has shape"):
        convert(tmp_path, manifest=manifest)


def drift_scan_of_now(file, group):
    """Say the same drift in the words of newer UVH5 files: a catalogue of phase centres."""
    header = file["Header"]
    latitude, dec = np.radians(group.latitude_deg), np.radians(group.dec_app_deg)
    centre = header.create_group("phase_center_catalog/0")
    for key, value in {
        "cat_name": "strip",
        "cat_type": "driftscan",
        "cat_frame": "altaz",
        "cat_lon": 0.0 if dec > latitude else np.pi,
        "cat_lat": np.pi / 2 - abs(latitude - dec),
    }.items():
        centre[key] = value
    n_rows = header["time_array"].size
    for name in ("phase_center_app_ra", "phase_center_app_dec", "phase_center_frame_pa"):
        if name in header:
            del header[name]
        header[name] = np.zeros(n_rows)
    header["phase_center_id_array"] = np.zeros(n_rows, int)
    del header["phase_type"]
    header["version"] = "1.2" if "version" not in header else header["version"][()]


def test_drift_scan_in_newer_words_is_the_same(tmp_path, observation):
    group = observation[0]
    observe(tmp_path)
    edit(tmp_path / "raw", lambda file: drift_scan_of_now(file, group))
    header = read_header(next((tmp_path / "raw").iterdir()))
    assert header.tracking == "drift" and not header.unprojected
    assert header.dec_app_deg == pytest.approx(group.dec_app_deg, abs=1e-6)
    made = convert(tmp_path, files=[tmp_path / "raw"])
    scale = np.abs(observation[2]).max()
    assert np.abs(column(made, "DATA") - observation[2]).max() < 1e-4 * scale


def test_catalogues_of_phase_centres_are_read_as_pyuvdata_reads_them(tmp_path, observation):
    """Version 1.0 has them as JSON by name; the number, not the order, says which is meant."""
    from pyuvdata.uvdata import FastUVH5Meta

    observe(tmp_path)
    path = next((tmp_path / "raw").iterdir())
    with h5py.File(path, "r+") as file:
        drift_scan_of_now(file, observation[0])
        header = file["Header"]
        strip = {k: v[()] for k, v in header["phase_center_catalog/0"].items()}
        strip = {k: v.decode() if isinstance(v, bytes) else float(v) for k, v in strip.items()}
        del strip["cat_name"], header["phase_center_catalog"]
        other = {"cat_id": 0, "cat_type": "sidereal", "cat_frame": "icrs"}
        header["phase_center_catalog/field"] = json.dumps(other | {"cat_lon": 1.0, "cat_lat": 0.5})
        header["phase_center_catalog/strip"] = json.dumps(strip | {"cat_id": 3})
        header["phase_center_id_array"][()] = 3
    ours = read_header(path)
    with contextlib.closing(FastUVH5Meta(path)) as theirs:
        centre = theirs.phase_center_catalog[int(theirs.phase_center_id_array[0])]
        latitude = theirs.telescope_location_lat_lon_alt_degrees[0]
    assert ours.tracking == "drift" and ours.field == "strip" == centre["cat_name"]
    south = 1 if abs(centre["cat_lon"] - np.pi) < 1e-9 else -1
    zenith_angle = 90 - np.degrees(centre["cat_lat"])
    assert ours.dec_app_deg == pytest.approx(latitude - south * zenith_angle, abs=1e-9)
    with h5py.File(path, "r+") as file:
        file["Header/phase_center_id_array"][()] = 7
    with pytest.raises(HeaderError, match="phase centre 7 is not in the catalogue"):
        read_header(path)


def test_drift_scan_off_the_meridian_is_refused(tmp_path, observation):
    observe(tmp_path)

    def turned(file):
        drift_scan_of_now(file, observation[0])
        replace(file["Header/phase_center_catalog/0"], "cat_lon", 1.0)

    edit(tmp_path / "raw", turned)
    with pytest.raises(HeaderError, match="not on the meridian"):
        read_header(next((tmp_path / "raw").iterdir()))


def test_data_never_phased_come_out_as_those_phased_on_the_meridian(tmp_path, observation):
    """Undo what the correlator did: the tile of the zenith must hold the same sky."""
    from contimg.convert.phase import rephase_drift
    from contimg.convert.read import read_layout

    group, _, _ = observe(tmp_path / "phased")
    layout = read_layout(next((tmp_path / "phased/raw").iterdir()).as_posix())
    centre = {"ra_rad": np.radians(group.ra_deg), "dec_rad": np.radians(group.dec_deg)}
    common = {
        "times_jd": layout.times_jd,
        "location": layout.location,
        "antenna_positions_m": layout.antenna_positions_m,
        "ant1": layout.ant1,
        "ant2": layout.ant2,
        "dec_app_rad": np.radians(group.dec_app_deg),
    }
    phased = rephase_drift(**common, **centre)
    raw = rephase_drift(**common, **centre, unprojected=True)
    assert np.array_equal(raw.uvw_m, phased.uvw_m)
    # V_unphased = V_phased exp(2 pi i w_old): turning by all of w_new leaves the same data
    assert np.allclose(raw.delta_w_m - phased.delta_w_m, phased.old_uvw_m[..., 2])


def test_old_drift_without_a_declination_is_unprojected(tmp_path):
    observe(tmp_path)
    edit(tmp_path / "raw", lambda file: file["Header/extra_keywords"].pop("phase_center_dec"))
    header = read_header(next((tmp_path / "raw").iterdir()))
    assert header.unprojected
    assert header.dec_app_deg == pytest.approx(header.latitude_deg)


@pytest.mark.parametrize("form", ["{}", "DSA-{}", "DSA-{:0>3}", "pad {}"])
def test_positions_of_a_table_replace_those_of_the_file(tmp_path, observation, form):
    _, _, manifest = observe(tmp_path)
    axes = read_axes(observation[1])
    number = int(axes.ant2[0])
    x, y, z = axes.antenna_positions_m[number] + [0, 0, 1.5]
    table = tmp_path / "positions.csv"
    name = axes.antenna_names[number].removeprefix("DSA-")
    table.write_text(f"name,x_m,y_m,z_m\n{form.format(name)},{x},{y},{z}\n")
    made = convert(tmp_path, ConvertOptions(antenna_positions=table), manifest=manifest)
    there = read_axes(made).antenna_positions_m
    assert there[number] == pytest.approx([x, y, z], abs=1e-6)
    record = read_record(tmp_path / "made.json")
    assert record["data"]["antennas_moved_m"] == {name: pytest.approx(1.5, abs=1e-3)}
    assert record["verdict"] == "warn" and "antenna positions" in record["reason"]
    table.write_text(f"name,x_m,y_m,z_m\n{name},1,2,3\n")
    with pytest.raises(ContimgError, match="not ITRF"):
        convert(tmp_path, ConvertOptions(antenna_positions=table), manifest=manifest)
    table.write_text(f"name,x_m,y_m,z_m\n{name},{x},{y},{z}\nDSA-900,{x},{y},{z}\n")
    with pytest.raises(ContimgError, match=r"positions\.csv: .* 1 of 2 rows are no ant.*DSA-900"):
        convert(tmp_path, ConvertOptions(antenna_positions=table), manifest=manifest)


def test_antenna_with_data_but_no_position_is_named(tmp_path):
    _, _, manifest = observe(tmp_path)

    def lose(file):
        positions = file["Header/antenna_positions"][()]
        used = np.union1d(file["Header/ant_1_array"], file["Header/ant_2_array"])
        numbers = file["Header/antenna_numbers"][()]
        positions[numbers == used[1]] = np.nan
        positions[~np.isin(numbers, used)] = np.nan
        file["Header/antenna_positions"][()] = positions

    edit(tmp_path / "raw", lose)
    with pytest.raises(DataQualityError, match=r"antennas \d+ have data but no position"):
        convert(tmp_path, manifest=manifest)


def test_two_antennas_of_one_name_are_refused(tmp_path):
    _, _, manifest = observe(tmp_path)

    def rename(file):
        names = file["Header/antenna_names"][()]
        names[3] = names[4]
        file["Header/antenna_names"][()] = names

    edit(tmp_path / "raw", rename)
    with pytest.raises(DataQualityError, match="antenna names are not unique"):
        convert(tmp_path, manifest=manifest)


def test_casa_and_wsclean_take_the_ms_without_warnings(tmp_path, observation):
    import shutil
    import subprocess

    from contimg.core.casa import casa_session

    ms = observation[1].absolute()
    with casa_session() as scratch:
        from casatasks import casalog, listobs

        log = scratch / "listobs.log"
        casalog.setlogfile(str(log))
        with contextlib.redirect_stdout(io.StringIO()):
            listobs(vis=str(ms), listfile=str(scratch / "list.txt"))
        listing, messages = (scratch / "list.txt").read_text(), log.read_text()
    assert "OVRO_MMA" in listing and "ICRS" in listing
    complaints = [line for line in messages.splitlines() if "WARN" in line or "SEVERE" in line]
    # the age of CASA's leap second table is not the MS's doing
    assert [line for line in complaints if "TAI_UTC" not in line] == []
    if shutil.which("wsclean") is None:
        pytest.skip("no wsclean")
    copy = shutil.copytree(ms, tmp_path / "tile.ms")
    words = "-size 64 64 -scale 30asec -use-wgridder -no-update-model-required -name"
    done = subprocess.run(
        ["wsclean", *words.split(), str(tmp_path / "out"), str(copy)],
        capture_output=True,
        text=True,
        check=True,
    )
    warned = [line for line in done.stdout.splitlines() if "warning" in line.lower()]
    # weights one a row are all that unaveraged data need
    assert [line for line in warned if "WEIGHT_SPECTRUM" not in line] == [], done.stdout

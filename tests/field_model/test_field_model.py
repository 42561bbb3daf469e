"""What deep mosaics show and the catalogue lacks, on images of known content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.catalog import read_sources
from contimg.core.coords import separation
from contimg.core.fits import Image, write_image
from contimg.core.records import Check, write_record
from contimg.field_model.deep import joined, sources_of
from contimg.field_model.options import DeepFieldOptions
from image.test_quality import BEAM, CELL, NOISE, gaussians, noise, wcs

FREQ = 1.4e9
KNOWN = [(100.3, 100.8, 0.5), (400.0, 380.4, 0.05), (500.2, 80.0, 0.02)]  # x, y [pixels], Jy
UNKNOWN = [(250.4, 300.2, 0.03), (60.7, 520.1, 0.015), (450.0, 520.6, 0.010), (300.2, 60.3, 0.012)]
ARTEFACT = (124.0, 101.0, 0.006)  # four beams from the brightest, 1.2 % of it


def table_of(places, names):
    x, y, flux = (np.array(column) for column in zip(*places, strict=True))
    ra, dec = wcs().all_pix2world(x, y, 0)
    spectrum = {"ref_freq_hz": FREQ, "spectral_index": -0.7}
    return pd.DataFrame(
        {"name": list(names), "ra_deg": ra, "dec_deg": dec, "flux_jy": flux, **spectrum}
    )


def image_of(*places, seed=3):
    x, y, flux = (np.array(column) for column in zip(*places, strict=True))
    data = gaussians(x, y, flux) + NOISE * noise(np.random.default_rng(seed))
    data[:, :20] = np.nan  # not covered
    rms = np.where(np.isfinite(data), NOISE, np.nan)
    return tuple(Image(m.astype(np.float32), wcs(), BEAM, FREQ, None) for m in (data, rms))


@pytest.fixture(scope="module")
def catalog():
    return table_of(KNOWN, ["A", "B", "C"])


def test_what_is_found_is_right(catalog):
    truth = table_of(UNKNOWN, "wxyz").sort_values("ra_deg")
    found = sources_of(
        *image_of(*KNOWN, *UNKNOWN, ARTEFACT), catalog, DeepFieldOptions(dynamic=0.08)
    ).sort_values("ra_deg")
    assert len(found) == len(UNKNOWN)  # neither known ones, nor what stands beside the brightest
    place = np.radians([found[["ra_deg", "dec_deg"]], truth[["ra_deg", "dec_deg"]]])
    away = np.degrees(separation(*place[0].T, *place[1].T)) / CELL
    assert (away < 4 * 6.0 / 2 / found["snr"]).all()  # beam of 6 pixels over twice the SNR
    pull = (found["flux_jy"].to_numpy() - truth["flux_jy"].to_numpy()) / found["flux_err_jy"]
    assert np.abs(pull).max() < 4
    assert found["name"].str.match(r"deep_J\d{6}").all()


def test_what_a_bright_source_leaves_is_not_believed(catalog):
    images = image_of(*KNOWN, ARTEFACT)
    trusting = sources_of(*images, catalog, DeepFieldOptions(snr=5, dynamic=0.0))
    careful = sources_of(*images, catalog, DeepFieldOptions(snr=5, dynamic=0.08))
    assert len(trusting) - len(careful) == 1


def test_a_source_keeps_its_name_and_place(catalog):
    options = DeepFieldOptions()
    first = sources_of(*image_of(*KNOWN, *UNKNOWN[:2], seed=1), catalog, options)
    second = sources_of(*image_of(*KNOWN, *UNKNOWN, seed=2), catalog, options)
    both = joined([first, second])
    assert len(both) == len(UNKNOWN)
    kept = both[both["name"].isin(first["name"])].sort_values("name", ignore_index=True)
    pd.testing.assert_frame_equal(kept, first.sort_values("name", ignore_index=True))
    assert joined([]).empty and joined([second.iloc[:0], second]).equals(joined([second]))


def written(tmp_path, name, images, fail=False):
    """Paths of a mosaic, its noise and its record."""
    paths = [tmp_path / f"{name}.{kind}.fits" for kind in ("image", "rms")]
    for path, image in zip(paths, images, strict=True):
        write_image(path, image.data, image.wcs, unit="Jy/beam", beam=BEAM, freq_hz=FREQ)
    record = tmp_path / f"{name}.json"
    checks = [Check("noise", 9.0, "", "below 3", "fail", "9 > 3")] if fail else []
    write_record(record, product=name, stage="mosaic", data={}, checks=checks)
    return [*map(str, paths), str(record)]


def command(tmp_path, catalog, mosaics, *more):
    catalog.to_csv(tmp_path / "catalog.csv", index=False)
    lists = zip(("--images", "--rms", "--mosaic-records"), zip(*mosaics, strict=True), strict=True)
    words = [word for flag, paths in lists for word in (flag, *paths)]
    out = [f"--table={tmp_path / 'deep.csv'}", f"--record={tmp_path / 'deep.json'}"]
    status = main(["field-model", *words, f"--catalog={tmp_path / 'catalog.csv'}", *out, *more])
    return status, json.loads((tmp_path / "deep.json").read_text())


def test_the_command_goes_on_from_the_table_before(catalog, tmp_path):
    first = written(tmp_path, "one", image_of(*KNOWN, UNKNOWN[0]))
    status, record = command(tmp_path, catalog, [first])
    assert status == 0 and record["verdict"] == "pass" and record["data"]["n_sources"] == 1
    before = tmp_path / "before.csv"
    (tmp_path / "deep.csv").rename(before)
    second = written(tmp_path, "two", image_of(*KNOWN, *UNKNOWN[1:]))
    bad = written(tmp_path, "bad", image_of(*KNOWN, UNKNOWN[0]), fail=True)
    status, record = command(tmp_path, catalog, [second, bad], "--previous", str(before))
    assert status == 0 and record["verdict"] == "warn"
    assert list(record["data"]["mosaics_left_out"]) == ["bad"]
    table = read_sources(tmp_path / "deep.csv")
    assert len(table) == 4 and set(read_sources(before)["name"]) < set(table["name"])
    status, record = command(tmp_path, catalog, [bad])
    assert record["verdict"] == "fail" and "no deep mosaic" in record["reason"]


def test_a_damaged_mosaic_is_left_out(catalog, tmp_path):
    """One exponent bit of a pixel: a source of 1e30 Jy, for all later nights."""
    whole = written(tmp_path, "one", image_of(*KNOWN, UNKNOWN[0]))
    for name, kind in (("two", 0), ("three", 1)):
        bad = written(tmp_path, name, image_of(*KNOWN, UNKNOWN[1]))
        content = bytearray(Path(bad[kind]).read_bytes())
        content[-20_000] ^= 64
        Path(bad[kind]).write_bytes(content)
        status, record = command(tmp_path, catalog, [whole, bad])
        assert status == 0 and record["verdict"] == "warn" and record["data"]["n_sources"] == 1
        assert f"{bad[kind]}: damaged" in record["data"]["mosaics_left_out"][name]
    Path(bad[2]).write_text("{")
    status, record = command(tmp_path, catalog, [whole, bad])
    assert status == 0 and list(record["data"]["mosaics_left_out"]) == ["three"]


def test_a_sky_without_news_is_an_empty_table(catalog, tmp_path):
    nothing = written(tmp_path, "nothing", image_of(*KNOWN))
    assert command(tmp_path, catalog, [nothing])[0] == 0
    before = tmp_path / "before.csv"
    (tmp_path / "deep.csv").rename(before)
    assert read_sources(before).empty
    status, record = command(tmp_path, catalog, [nothing], "--previous", str(before))
    assert status == 0 and record["data"]["n_sources"] == 0

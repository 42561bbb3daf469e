"""Skies and data that break assumptions: the right value, or a word that says why not.

All are of the second simulator; the calset is solved once on a healthy transit, what is wrong comes
a minute later. What each gives is a row of the table in docs/reliability.md.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contimg.core import rowflags
from truth import chain, independent
from truth.independent import NONE, Fault, Instrument, changed

INSTRUMENT = Instrument()
BRIGHT = slice(3, 9)  # of the sources by flux density, those that get a size


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """(sky, calset, directory): solved on a healthy transit."""
    directory = tmp_path_factory.mktemp("skies")
    sky = independent.field(90)
    chain.tables(directory, sky)
    group = independent.transit_group(INSTRUMENT)
    manifest = independent.observe(directory / "transit", INSTRUMENT, group, sky)
    return sky, chain.solved(directory, manifest), directory


def tile(healthy, name: str, sky=None, catalog=None, fault: Fault = NONE) -> chain.Measured:
    """The chain on a tile a minute after the transit; its rows against the truth."""
    known, calset, directory = healthy
    sky = known if sky is None else sky
    group = independent.transit_group(INSTRUMENT, 60.0)
    chain.tables(directory / name, known if catalog is None else catalog)
    manifest = independent.observe(directory / name / "obs", INSTRUMENT, group, sky, fault)
    found = chain.fitted(directory / name, manifest, calset, directory / name / "catalog.csv")
    if not found.failed:
        found.rows = chain.against(found.rows, sky)
    return found


def validation(found: chain.Measured) -> dict:
    return found.records["image"]["data"]["validation"]


def none_is_wrong_and_used(found: chain.Measured) -> bool:
    if found.failed:
        return True
    rows = found.rows
    wrong = (np.abs(rows["ratio"] - 1) > 0.1) & (np.abs(rows["pull"]) > 5)
    return not (wrong & rowflags.usable(rows["flag"])).any()


def beside(sky: pd.DataFrame, east_deg: float, north_deg: float, flux_jy: float) -> pd.DataFrame:
    """`sky` with one source more, away from the calibrator."""
    dec = sky["dec_deg"][0] + north_deg
    ra = sky["ra_deg"][0] + east_deg / np.cos(np.radians(dec))
    new = sky.iloc[[1]].assign(name="NEW", ra_deg=ra, dec_deg=dec, flux_jy=flux_jy)
    return pd.concat([sky, new], ignore_index=True)


def test_gains_that_drift_are_measured_and_told_in_every_row(healthy):
    """Voltages 6 % up: a flux scale of 1.1236."""
    found = tile(healthy, "gains", fault=changed(gain=1.06))
    field = validation(found)["field"]
    assert np.exp(field["log_level"]) == pytest.approx(1.1236, abs=4 * field["log_level_err"])
    assert field["log_level_err"] < 0.005
    assert "error of the flux scale" in found.records["image"]["reason"]
    assert [found.records[s]["verdict"] for s in ("image", "photometry")] == ["warn", "warn"]
    assert rowflags.has(found.rows["flag"], ["flux_scale"]).all()
    scaled_to_the_catalogue(healthy, field)


def scaled_to_the_catalogue(healthy, before: dict):
    """The same tile by the road of images, divided by what was measured."""
    sky, calset, directory = healthy
    place = directory / "gains"
    options = chain.CLEANED.model_copy(update={"apply_flux_scale": True})
    manifest = place / "obs" / "manifest.json"
    found = chain.measured(place / "images", manifest, calset, place / "catalog.csv", options)
    applied = found.records["image"]["data"]["flux_scale_applied"]
    level, error = np.exp(before["log_level"]), before["log_level_err"]
    assert applied["factor"] == pytest.approx(level, rel=error)
    assert abs(validation(found)["field"]["log_level"]) < 1e-3
    assert found.records["photometry"]["verdict"] == "pass"
    rows = chain.against(found.rows, sky)
    assert (rows["scale_factor"] == applied["factor"]).all()
    bright = rows[rows["true_snr"] > 30]
    assert bright["ratio"].median() == pytest.approx(1, abs=0.005)
    of_scale = bright["flux_jy"] * bright["scale_factor_err"] / bright["scale_factor"]
    error = np.hypot(bright["flux_err_jy"], of_scale)
    assert np.sqrt((((bright["flux_jy"] - bright["true_jy"]) / error) ** 2).mean()) < 1.5


def test_another_dish_is_measured(healthy):
    """The true beam 5 % wider than the one assumed."""
    found = tile(healthy, "beam", fault=changed(dish_m=4.65 / 1.05))
    field = validation(found)["field"]
    assert field["dish_diameter_m"] == pytest.approx(
        4.65 / 1.05, abs=3 * field["dish_diameter_err_m"]
    )
    assert field["dish_diameter_err_m"] < 0.03
    assert rowflags.has(found.rows["flag"], ["flux_scale"]).all()


def test_sources_with_a_size_have_their_integrated_flux_density(healthy):
    """20 to 90 arcsec where the catalogue says point; the beam is 35 arcsec."""
    sky = healthy[0]
    order = np.argsort(-sky["flux_jy"].to_numpy())[BRIGHT]
    wide = sky.assign(size_arcsec=0.0)
    wide.loc[order, "size_arcsec"] = np.linspace(20, 90, order.size)
    found = tile(healthy, "sizes", sky=wide)
    rows = found.rows.set_index("source").loc[sky["name"][order]]
    assert rowflags.has(rows["flag"], ["extended"]).all()
    assert np.abs(rows["pull"]).max() < 4
    assert np.abs(rows["ratio"] - 1).max() < 0.06
    size = np.sqrt(rows["size_major_arcsec"] * rows["size_minor_arcsec"])
    assert np.allclose(size, wide["size_arcsec"][order], rtol=0.25)
    assert none_is_wrong_and_used(found)


def test_a_source_that_no_catalogue_has_is_named(healthy):
    found = tile(healthy, "unknown", sky=beside(healthy[0], 0.4, 0.35, 0.5))
    listed = validation(found)["unknown_above_10_sigma"]
    assert len(listed) == 1
    assert listed[0]["flux_jy"] == pytest.approx(0.5, rel=0.03)
    assert listed[0]["dec_deg"] == pytest.approx(healthy[0]["dec_deg"][0] + 0.35, abs=1 / 3600)
    assert none_is_wrong_and_used(found)


def test_a_bright_source_outside_that_no_catalogue_has_is_told(healthy):
    """2 Jy, 0.85 degrees beyond the edge of the image."""
    found = tile(healthy, "outside", sky=beside(healthy[0], 2.35, 0.2, 2.0))
    assert "peaks below -5 sigma" in found.told()
    assert found.failed or not rowflags.usable(found.rows["flag"]).any()


def test_a_catalogue_beside_the_sky_is_told(healthy):
    """Field positions 3 arcsec off, the calibrator's right."""
    catalog = healthy[0].copy()
    catalog.loc[1:, "dec_deg"] += 3 / 3600
    found = tile(healthy, "offset", catalog=catalog)
    field = validation(found)["field"]
    assert field["shift_north_arcsec"] == pytest.approx(-3, abs=0.3)
    assert "offset from the catalogue" in found.records["image"]["reason"]
    assert rowflags.has(found.rows["flag"], ["position"]).all()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (changed(screen_deg=60.0), "rms over thermal noise"),
        (changed(subband_gain=(1, 1.2)), "amplitude of a subband against the others"),
        (changed(swapped=(3, 28)), "uvw of the file against antenna positions"),
    ],
    ids=["ionosphere", "subband", "swapped"],
)
def test_data_that_cannot_be_right_fail_with_the_reason(healthy, fault, words):
    found = tile(healthy, words.split()[0], fault=fault)
    assert found.failed and words in found.told(), found.told()
    assert found.rows.empty


def both(healthy, name: str, fault: Fault = NONE, sky=None, calibrators=None) -> chain.Measured:
    """Transit and tile with one fault; `calibrators` stands for the table of the calibrator."""
    known, _, directory = healthy
    place = directory / name
    chain.tables(place, known)
    if calibrators is not None:
        calibrators[:1].to_csv(place / "calibrators.csv", index=False)
    true = known if sky is None else sky
    group = independent.transit_group(INSTRUMENT)
    manifest = independent.observe(place / "transit", INSTRUMENT, group, true, fault)
    calset = chain.solved(place, manifest)
    group = independent.transit_group(INSTRUMENT, 60.0)
    manifest = independent.observe(place / "obs", INSTRUMENT, group, true, fault)
    found = chain.fitted(place, manifest, calset, place / "catalog.csv")
    found.rows = found.rows if found.failed else chain.against(found.rows, known)
    return found


def test_a_calibrator_of_another_flux_density_is_measured(healthy):
    """The table says 20 % too much, and so do all fluxes."""
    sky = healthy[0]
    found = both(healthy, "flux", calibrators=sky.assign(flux_jy=1.2 * sky["flux_jy"]))
    field = validation(found)["field"]
    assert np.exp(field["log_level"]) == pytest.approx(1.2, abs=0.02)
    assert "catalogued over measured flux density of the field" in found.told()
    assert rowflags.has(found.rows["flag"], ["flux_scale"]).all()


def test_a_calibrator_with_a_size_is_told_in_every_row(healthy):
    """60 arcsec, where the table says point: long baselines are lost, fluxes 20 % too high."""
    sky = healthy[0]
    wide = sky.assign(size_arcsec=np.where(sky["name"] == "CAL", 60.0, 0.0))
    found = both(healthy, "size", sky=wide)
    assert "catalogued over measured flux density of the field" in found.told()
    assert found.records["image"]["data"]["cleared_by_measurement"] is None
    assert rowflags.has(found.rows["flag"], ["calibration"]).all()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (changed(moved=(4, 1.0)), "null_scatter"),
        (changed(pointing_deg=0.2), "gradient of fluxes"),
    ],
    ids=["moved", "pointing"],
)
def test_places_and_pointings_that_are_wrong_are_told(healthy, fault, words):
    """An antenna a metre off; dishes that all point 0.2 degrees off."""
    found = both(healthy, words.split()[0], fault)
    assert words in found.told(), found.told()
    assert none_is_wrong_and_used(found)


def test_feeds_that_are_swapped_give_no_signal_and_are_left_out(healthy):
    found = both(healthy, "feeds", changed(feeds_swapped=4))
    assert "lost all data in the calibration: DSA-5" in found.told()
    assert none_is_wrong_and_used(found)
    assert found.rows["ratio"].median() == pytest.approx(1, abs=0.02)


def test_feeds_that_are_swapped_after_the_transit_are_told(healthy):
    found = tile(healthy, "later", fault=changed(feeds_swapped=4))
    assert "rms over thermal noise" in found.told()
    assert none_is_wrong_and_used(found)


def test_time_tags_that_are_late_turn_the_field(healthy):
    """One integration, of transit and tile alike: the calibrator stays in place."""
    sky, _, directory = healthy
    group = independent.transit_group(INSTRUMENT)
    chain.tables(directory / "late", sky)
    place = directory / "late"
    manifest = independent.observe(place / "obs", INSTRUMENT, group, sky, changed(late=1))
    calset = chain.solved(place, manifest)
    found = chain.fitted(place, manifest, calset, place / "catalog.csv")
    assert "rotation against the catalogue" in found.told(), found.told()
    assert found.failed or not rowflags.usable(found.rows["flag"]).any()


def test_an_antenna_that_changed_its_gain_is_told(healthy):
    found = tile(healthy, "antenna", fault=changed(antenna_gain=(4, 1.2)))
    assert found.records["photometry"]["verdict"] == "warn"
    assert none_is_wrong_and_used(found)


def test_a_dead_antenna_is_harmless(healthy):
    found = tile(healthy, "dead", fault=changed(dead=4))
    assert found.records["photometry"]["verdict"] == "pass"
    assert none_is_wrong_and_used(found)
    assert found.rows["ratio"].median() == pytest.approx(1, abs=0.02)

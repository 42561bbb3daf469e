"""The fit of a tile through its command, on Measurement Sets of known skies."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import nearest
from contimg.core.fluxfit.measurement import stokes_i
from contimg.core.fluxfit.sweep import Arrays
from contimg.core.ms import open_table, read_axes
from contimg.core.records import write_record
from contimg.photometry.tile import targets
from contimg.photometry.tile.measure import measure_tile
from contimg.photometry.tile.options import FluxFitOptions
from truth.observe import INSTRUMENT, converted, observe
from truth.tiles import SIMULATE, sky, with_sky

# the data of these tests are of the middles of channels and integrations
UNSMEARED = {"channel_smearing": False, "time_smearing": False, "min_beam": 0.4}
NOISE = 0.3  # Jy, one part of one visibility of one hand
SOURCES = [
    *[(f"S{k}", 0.35 * np.cos(k) * (0.4 + k / 8), 0.35 * np.sin(k) * (0.4 + k / 8), 0.1 * (k + 2))
      for k in range(8)],
    ("bright", 0.25, -0.3, 4.0),
    ("pair1", -0.35, -0.2, 0.8),
    ("pair2", -0.35, -0.19, 0.5),
]  # fmt: skip


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An MS whose data are going to be replaced."""
    directory = tmp_path_factory.mktemp("tile")
    _, _, manifest = observe(directory, simulate=SIMULATE)
    return converted(directory, manifest)


def photometry(ms, catalog, out, *flags, steadied=None):
    """Run ``contimg photometry tile``: status, table, new sources, record."""
    out.mkdir()
    taken = [] if steadied is None else steadied[["name", "flux_jy"]].to_dict("records")
    data = {"group": "20251005T034512", "sources_steadied": taken}
    write_record(out / "ms.json", product="tile", stage="apply", data=data)
    catalog.to_csv(out / "catalog.csv", index=False)
    paths = {
        "ms": ms,
        "ms-record": out / "ms.json",
        "catalog": out / "catalog.csv",
        "table": out / "t.parquet",
        "model": out / "model.parquet",
        "new": out / "new.csv",
        "record": out / "t.json",
    }
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    instrument = ["--subbands=2", "--band-mhz", "1311.25", "1498.75"]
    middles = ["--no-channel-smearing", "--no-time-smearing", "--min-beam=0.4"]
    status = main(["photometry", "tile", *words, *instrument, *middles, *flags])
    record = json.loads((out / "t.json").read_text()) if status == 0 else None
    return status, out / "t.parquet", out / "new.csv", record


def pulls(table, truth):
    """Measured less true over the error, at the table's frequency; flat spectra."""
    true = truth.set_index("name")["flux_jy"]
    table = table.set_index("source")
    common = table.index.intersection(true.index)
    return (table["flux_jy"] - true)[common] / table["flux_err_jy"][common]


def test_a_tile(empty, tmp_path):
    """Everything known but flux densities; the drift's modulation subtracted by the calibration."""
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE)
    catalog = truth.assign(flux_jy=2 * truth["flux_jy"])
    status, path, new, record = photometry(
        ms, catalog, tmp_path / "out", "--null-targets=40", steadied=truth
    )
    assert status == 0
    table = pd.read_parquet(path)
    assert record["verdict"] == "pass", record["reason"]
    assert set(table["source"]) == set(truth["name"])
    assert np.abs(pulls(table, truth)).max() < 4
    assert np.sqrt((pulls(table, truth) ** 2).mean()) < 1.6
    assert record["data"]["last_step_sigma"] < 0.01
    assert record["data"]["null_scatter"] == pytest.approx(1, abs=4 / np.sqrt(80))
    rows = table.set_index("source")
    assert list(rows.loc["pair1", "neighbours"]) == ["pair2"]
    assert rows.loc["pair1", "neighbour_cov_jy2"][0] < 0
    assert rows.loc["pair1", "n_blend"] == 2
    bright = rows.loc["bright"]
    assert np.isfinite(bright["fit_ra_deg"]) and bright["fit_err_arcsec"] < 1
    assert (table["flag"] == "").all()
    assert pd.read_csv(new).empty
    # information on a source that shares it with others: the parts hold less than the whole
    error = np.stack(table["part_err_jy"].to_numpy())
    share = (1 / error**2).sum(axis=1) * table["flux_err_jy"] ** 2
    assert (share <= 1.001).all() and (share > 0.75).all()
    axes = read_axes(ms)
    assert table["mjd"].between(axes.mjd[0], axes.mjd[-1]).all()
    assert table["freq_eff_hz"].between(axes.freq_hz[0], axes.freq_hz[-1]).all()


def test_what_the_catalogue_lacks_or_has_wrong(empty, tmp_path):
    """Flux densities wrong by two, one source missing, positions off, one source twice."""
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE, steady=False)
    rng = np.random.default_rng(3)
    alone = ~truth["name"].str.startswith("pair")
    wrong = truth.assign(
        flux_jy=truth["flux_jy"] * rng.choice([0.5, 2], len(truth)),
        dec_deg=truth["dec_deg"] + rng.choice([-1, 1], len(truth)) / 3600 * alone,
    )
    twice = truth[truth["name"] == "S3"].assign(name="again", ra_deg=lambda t: t["ra_deg"] + 1e-4)
    catalog = pd.concat([wrong[wrong["name"] != "S6"], twice], ignore_index=True)
    _, path, new, record = photometry(
        ms, catalog, tmp_path / "out", "--null-targets=40", "--search-snr=6"
    )
    table = pd.read_parquet(path)
    found = table[table["role"] == "new"]
    assert len(found) == 1 and record["data"]["n_new"] == 1
    missing = truth[truth["name"] == "S6"].iloc[0]
    offset = np.hypot(
        (found["ra_deg"].iloc[0] - missing["ra_deg"]) * np.cos(np.radians(missing["dec_deg"])),
        found["dec_deg"].iloc[0] - missing["dec_deg"],
    )
    assert offset * 3600 < 10
    assert abs(found["flux_jy"].iloc[0] - missing["flux_jy"]) < 4 * found["flux_err_jy"].iloc[0]
    model = pd.read_parquet(path.with_name("model.parquet"))
    assert model["name"].str.startswith("new_J").sum() == 1
    listed = pd.read_csv(new)
    assert listed["name"].tolist() == found["source"].tolist()
    bright = table[table["source"] == "bright"].iloc[0]
    shift = (bright["fit_dec_deg"] - bright["dec_deg"]) * 3600
    assert abs(shift) == pytest.approx(1, abs=4 * bright["fit_err_arcsec"])
    rows = table.set_index("source")
    for name in ("S3", "again"):
        assert "duplicate" in rows.loc[name, "flag"]
        assert rows.loc[name, "flux_jy"] == rows.loc["S3", "flux_jy"]
    measured = pulls(table, truth)
    assert np.abs(measured.drop("bright")).max() < 4


def test_a_bright_source_of_another_spectrum_costs_the_others_nothing(empty, tmp_path):
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE, steady=False)
    bright = truth["name"] == "bright"
    wrong = truth.assign(spectral_index=np.where(bright, -2.0, truth["spectral_index"]))
    _, path, _, record = photometry(ms, wrong, tmp_path / "out", "--null-targets=40")
    assert record["verdict"] == "pass", record["reason"]
    assert record["data"]["spectra_not_catalogued"] == ["bright"]
    assert record["data"]["null_scatter"] == pytest.approx(1, abs=4 / np.sqrt(80))
    table = pd.read_parquet(path).set_index("source")
    assert np.abs(pulls(table.reset_index(), truth)).max() < 4
    parts = table.loc["bright"]
    pull = (parts["part_flux_jy"] - 4.0) / parts["part_err_jy"]
    assert np.abs(pull).max() < 4  # flat, whatever the catalogue says


def test_the_flux_density_of_a_spectrum_with_a_step_is_its_mean(empty, tmp_path):
    """As behind a lens: 4 Jy in the lower half of the band, 2 Jy in the upper."""
    truth = sky(empty, *SOURCES)
    bright = truth["name"] == "bright"
    flat = truth.assign(flux_jy=np.where(bright, 2.0, truth["flux_jy"]))
    ms = with_sky(empty, tmp_path / "t.ms", flat, NOISE, steady=False)
    more = truth[bright].assign(flux_jy=2.0)
    other = with_sky(empty, tmp_path / "more.ms", more, 0.0, steady=False)
    with open_table(ms, writable=True) as table, open_table(other) as added:
        extra = added.getcol("DATA")
        extra[:, extra.shape[1] // 2 :] = 0
        table.putcol("DATA", table.getcol("DATA") + extra)
    _, path, _, record = photometry(ms, truth, tmp_path / "out", "--null-targets=40")
    assert record["data"]["spectra_not_catalogued"] == ["bright"]
    row = pd.read_parquet(path).set_index("source").loc["bright"]
    # the nearest power law has 2.84 Jy in the middle
    assert row["flux_jy"] == pytest.approx(3.0, rel=0.01)


def test_emission_larger_than_the_beam_is_told(empty, tmp_path):
    """A Gaussian of four beams that no catalogue has: found as many points."""
    truth = sky(empty, *SOURCES[:4])
    ms = with_sky(empty, tmp_path / "points.ms", truth, NOISE, steady=False)
    large = sky(empty, ("large", 0.1, -0.25, 2.0))
    other = with_sky(empty, tmp_path / "large.ms", large, 0.0, steady=False, gaussian_arcsec=180)
    with open_table(ms, writable=True) as table, open_table(other) as added:
        table.putcol("DATA", table.getcol("DATA") + added.getcol("DATA"))
    _, _, _, record = photometry(ms, truth, tmp_path / "out", "--null-targets=40")
    assert record["verdict"] != "pass"
    assert "sources_found_in_clumps" in record["reason"]


def test_sources_of_the_field_take_part_and_are_not_listed(empty, tmp_path):
    """Targets are three of the field, one by another name; calibration knows the field's names."""
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE)
    truth.to_csv(tmp_path / "field.csv", index=False)
    wanted = truth.iloc[:3].assign(name=["S0", "S1", "mine"], flux_jy=1.0)
    status, path, _, record = photometry(
        ms,
        wanted,
        tmp_path / "out",
        "--null-targets=20",
        f"--field-model={tmp_path / 'field.csv'}",
        steadied=truth,
    )
    assert status == 0 and record["verdict"] == "pass", record["reason"]
    table = pd.read_parquet(path)
    assert table["source"].tolist() == ["S0", "S1", "mine"]
    known = truth.assign(name=truth["name"].replace("S2", "mine"))
    assert np.abs(pulls(table, known)).max() < 4
    assert record["data"]["n_field"] == len(truth) - 3
    model = pd.read_parquet(path.with_name("model.parquet")).set_index("name")
    assert set(model.index) == set(truth["name"])
    pull = (model["fitted_jy"] - truth.set_index("name")["flux_jy"]) / model["flux_err_jy"]
    assert np.abs(pull).max() < 4.5


def test_sources_of_deep_mosaics_are_measured_as_well(empty, tmp_path):
    """Three sources are known from there, one of them under another name from the catalogue."""
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE, steady=False)
    deep = truth.iloc[:3].assign(name=["deep_0", "deep_1", "deep_2"], snr=9.0)
    deep.to_csv(tmp_path / "deep.csv", index=False)
    status, path, new, record = photometry(
        ms,
        truth.iloc[2:],
        tmp_path / "out",
        "--null-targets=20",
        f"--deep={tmp_path / 'deep.csv'}",
    )
    assert status == 0 and record["verdict"] == "pass", record["reason"]
    table = pd.read_parquet(path)
    known = truth.assign(name=["deep_0", "deep_1", *truth["name"][2:]])
    assert set(table["source"]) == set(known["name"])
    assert (table["role"] == "target").all() and pd.read_csv(new).empty
    assert np.abs(pulls(table, known)).max() < 4


def test_new_sources_that_the_last_fit_finds_faint_are_not_listed():
    roles = [targets.TARGET, targets.NEW, targets.NEW, targets.NULL, targets.TARGET]
    table = pd.DataFrame({"role": roles})
    flux, error = np.array([1.0, 6.9, 7.1, 0.0]), np.ones(4)
    found = targets.without_faint(table, flux, error, 7.0)["role"].tolist()
    assert found == [targets.TARGET, targets.UNSURE, targets.NEW, targets.NULL, targets.TARGET]


def test_sources_found_after_others_were_dropped_have_names_of_their_own(
    empty, tmp_path, monkeypatch
):
    """Three places without a source are dropped again; four real sources come in two rounds."""
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE, steady=False)
    nothing = sky(empty, *((f"X{k}", 0.1 + 0.1 * k, 0.5 - 0.1 * k, 1.0) for k in range(3)))
    missing = truth[truth["name"].isin(["S4", "S5", "S6", "S7"])]
    answers = [nothing, missing.iloc[:2], missing.iloc[2:]]

    def found(*_):
        answer = answers.pop(0) if answers else nothing.iloc[:0]
        places = np.radians(answer[["ra_deg", "dec_deg"]].to_numpy(dtype=float).T)
        return places, np.full(len(answer), 0.1)

    monkeypatch.setattr("contimg.photometry.tile.rounds.find", found)
    known = truth[~truth["name"].isin(missing["name"])]
    status, path, _, record = photometry(ms, known, tmp_path / "out", "--null-targets=20")
    assert status == 0 and not answers
    dropped = [r["sources_dropped"] for r in record["data"]["rounds"]]
    table = pd.read_parquet(path)
    assert sum(dropped) == 3 and (table["role"] == "new").sum() == 4
    assert table["source"].is_unique


def test_empty_places_lie_among_the_targets(empty):
    axes, beam = read_axes(empty), PrimaryBeam(INSTRUMENT)
    options = FluxFitOptions(null_targets=30, min_beam=0.4)
    table = targets.choose(sky(empty, *SOURCES).assign(standard=""), beam, axes, options)
    width = np.radians(40 / 3600)
    places = targets.empty_places(table, beam, axes, width, options)
    assert len(places) == 30 and (places["beam"] >= 0.4).all() and places["name"].is_unique
    distance, _ = nearest(places, table)
    assert (distance > 3 * width).all() and (distance < 25.1 * width).all()
    for k in range(len(places)):
        others = places.drop(index=k)
        assert nearest(places.iloc[[k]], others)[0][0] > 3 * width
    again = targets.empty_places(table, beam, axes, width, options)
    assert again.equals(places)


def test_another_catalogue_than_that_of_the_calibration(empty, tmp_path, capsys):
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE)
    status, *_ = photometry(ms, truth[:-1], tmp_path / "out", steadied=truth)
    assert status == 1
    assert "drift of pair2 was taken out" in capsys.readouterr().err


def test_bad_input(empty, tmp_path):
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE, steady=False)
    far = truth.assign(dec_deg=truth["dec_deg"] - 30)
    status, path, _, record = photometry(ms, far, tmp_path / "far")
    assert status == 0 and record["verdict"] == "fail"
    assert "no source of the catalogue where the primary beam is above 0.4" in record["reason"]
    assert path.exists()
    with open_table(ms, writable=True) as table:
        table.putcol("FLAG", np.ones_like(table.getcol("FLAG")))
    _, _, _, record = photometry(ms, truth, tmp_path / "flagged")
    assert record["verdict"] == "fail" and "no unflagged visibilities" in record["reason"]


def test_without_spectral_index(empty, tmp_path):
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE, steady=False)
    catalog = truth.assign(spectral_index=np.nan)
    _, path, _, record = photometry(ms, catalog, tmp_path / "out", "--spectral-index=0")
    assert record["data"]["n_without_spectral_index"] == len(truth)
    assert np.abs(pulls(pd.read_parquet(path), truth)).max() < 4


@pytest.fixture(scope="module")
def confused(empty, tmp_path_factory):
    """A sky of which the faint half is not known: axes, blocks, truth."""
    directory = tmp_path_factory.mktemp("confused")
    rng = np.random.default_rng(8)
    faint = [(f"F{k}", *rng.uniform(-0.8, 0.8, 2), 0.06) for k in range(150)]
    known = [(f"K{k}", *rng.uniform(-0.6, 0.6, 2), 0.4) for k in range(40)]
    truth = sky(empty, *known, *faint)
    ms = with_sky(empty, directory / "t.ms", truth, 0.02, steady=False)
    axes = read_axes(ms)
    return axes, stokes_i(ms, axes, directory), truth


@pytest.mark.parametrize("f2", [0.0, None])
def test_errors_are_measured_where_the_model_is_not_complete(confused, f2):
    """Empty places widen the errors; weights that know the confusion make them smaller."""
    axes, blocks, truth = confused
    options = FluxFitOptions(**UNSMEARED, confusion_f2=f2, search_rounds=0, null_targets=60)
    catalog = truth[~truth["name"].str.startswith("F")]
    with tempfile.TemporaryDirectory() as scratch:
        fitted = measure_tile(
            axes, blocks, catalog, PrimaryBeam(INSTRUMENT), options, Path(scratch)
        )
    assert fitted.null_scatter > (3 if f2 == 0 else 1.5)
    assert (fitted.confusion_f2 > 0) == (f2 is None)
    target = (fitted.table["role"] == targets.TARGET).to_numpy()
    error = np.sqrt(np.diagonal(fitted.covariance))[target]
    true = truth.set_index("name")["flux_jy"][fitted.table["name"][target]].to_numpy()
    pull = (fitted.solution.flux_jy[target] - true) / error
    assert np.sqrt((pull**2).mean()) == pytest.approx(1, abs=4 / np.sqrt(2 * 40))
    _errors[f2] = np.median(error)
    if len(_errors) == 2:
        assert _errors[None] < 0.8 * _errors[0.0]


_errors: dict = {}


def test_short_baselines_left_out(confused):
    axes, blocks, truth = confused
    with tempfile.TemporaryDirectory() as scratch:
        options = FluxFitOptions(**UNSMEARED, uv_min_lambda=500, search_rounds=0, null_targets=0)
        fitted = measure_tile(axes, blocks, truth, PrimaryBeam(INSTRUMENT), options, Path(scratch))
    length = (
        np.hypot(axes.uvw_m[..., 0], axes.uvw_m[..., 1])[..., None] * axes.freq_hz / 299792458.0
    )
    expected = (blocks.weight > 0) & (length >= 500)
    assert fitted.solution.count == expected.sum()
    assert fitted.factor == 1.0 and np.isnan(fitted.null_scatter)


def test_stokes_i(empty, tmp_path):
    """Both hands, weights of the mean, nothing where one is flagged."""
    truth = sky(empty, *SOURCES)
    ms = with_sky(empty, tmp_path / "t.ms", truth, NOISE)
    axes = read_axes(ms)
    with open_table(ms, writable=True) as table:
        flag, data = table.getcol("FLAG"), table.getcol("DATA")
        flag[5, 3, 1] = True
        table.putcol("FLAG", flag)
        table.putcol("WEIGHT", np.full_like(table.getcol("WEIGHT"), 4.0) * [1, 0.5])
    blocks = stokes_i(ms, axes, tmp_path)
    weight, good = blocks.weight.reshape(len(data), -1), ~flag.any(axis=-1)
    assert not weight[5, 3] and good.sum() == (weight > 0).sum()
    assert weight[good] == pytest.approx(np.full(good.sum(), 4 / (1 / 4 + 1 / 2)))
    found = blocks.data.reshape(len(data), -1)
    assert np.allclose(found[good], data.mean(axis=-1)[good])
    assert isinstance(blocks, Arrays) and dataclasses.is_dataclass(blocks)

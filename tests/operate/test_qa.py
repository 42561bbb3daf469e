"""One question about the quality of anything: products by their records, foreign files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.cli import main
from contimg.core.paths import path
from contimg.core.records import check, write_record, write_text
from contimg.core.seals import seal
from contimg.report import quality

PLAN = "0123456789"
GROUPS = ["20251005T080000", "20251006T080509"]
CALSET = f"{GROUPS[0]}_0834+555"
TIER = "standard"


@pytest.fixture
def results(tmp_path: Path) -> str:
    """Two tiles on two days; the image of the second has a warning."""
    root = str(tmp_path / "results")
    plan = {
        "groups": {g: {"start_mjd": 60953.0} for g in GROUPS},
        "calsets": {CALSET: {"group": GROUPS[0]}},
        "tiles": {g: {"calsets": [CALSET]} for g in GROUPS},
        "mosaics": {},
        "files": {},
        "rejected": 0,
    }
    write_text(path("plan", root, plan=PLAN), json.dumps(plan))
    for group in GROUPS:
        image(root, group, 1.2 if group == GROUPS[0] else 3.5)
    return root


def image(root: str, group: str, ratio: float) -> None:
    bins = [
        {"snr_from": 5.0, "apparent_from_jy": 0.005, "catalogued": 10, "found": 8, "detected": 9},
        {"snr_from": 10.0, "apparent_from_jy": 0.01, "catalogued": 20, "found": 20, "detected": 21},
        {"snr_from": 20.0, "apparent_from_jy": 0.02, "catalogued": 0, "found": 0, "detected": 0},
        {"snr_from": 50.0, "apparent_from_jy": 0.05, "catalogued": 4, "found": 4, "detected": 4},
    ]
    data = {
        **{"rms_jy_beam": 0.001, "peak_jy_beam": 0.5, "dynamic_range": 500.0},
        **{"bmaj_arcsec": 40.0, "bmin_arcsec": 30.0, "bpa_deg": 5.0},
        "sources_subtracted": [
            {"offset_east_arcsec": 3.0, "offset_north_arcsec": 4.0},
            {"offset_east_arcsec": 0.0, "offset_north_arcsec": 1.0},
            {"offset_east_arcsec": 0.0, "offset_north_arcsec": 0.0},
        ],
        "validation": {
            **{"matched": 25, "detections": 34, "flux_ratio": 0.97, "flux_ratio_err": 0.002},
            **{"offset_east_arcsec": 0.3, "offset_north_arcsec": -0.4},
            **{"completeness_10_sigma": 1.0, "bins": bins},
        },
    }
    checks = [
        check("rms over thermal noise", ratio, warn_above=3.0),
        check("offset from the catalogue", 0.5, "arcsec", warn_above=1.0),
        check("error of the flux scale against the catalogue", 0.03, warn_above=0.02),
    ]
    if ratio < 3:
        checks[2] = check("error of the flux scale against the catalogue", 0.01, warn_above=0.02)
    record = path("image_record", root, group=group, tier=TIER)
    catalogue = Path(root) / "catalog.csv"
    catalogue.parent.mkdir(parents=True, exist_ok=True)
    catalogue.write_text("name\n")
    write_record(record, product=group, stage="image", data=data, checks=checks, inputs=[catalogue])
    names = ("image", "residual", "psf", "model", "pb", "pbcor")
    files = [Path(path(name, root, group=group, tier=TIER)) for name in names]
    for file in files:
        file.write_text("x")
    seal(Path(record), files)


def qa(results: str, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    status = main(["qa", *words, "--json", "--results", results])
    return status, json.loads(capsys.readouterr().out or "{}")


def test_the_exit_status_is_the_worst_verdict(results, capsys):
    assert qa(results, capsys, GROUPS[0])[0] == 0
    status, said = qa(results, capsys, "--all")
    assert (status, said["verdict"], len(said["products"])) == (1, "warn", 2)
    assert qa(results, capsys, "--day", "2025-10-05")[0] == 0
    assert qa(results, capsys, "--day", "2025-10-06")[0] == 1
    assert qa(results, capsys, "2025*", "--kind", "image")[0] == 1
    Path(path("pb", results, group=GROUPS[1], tier=TIER)).unlink()
    status, said = qa(results, capsys, "--all")
    assert status == 2 and "pb.fits missing" in said["products"][1]["reason"]


def test_a_kind_alone_is_asked_of_everything(results, capsys):
    status, said = qa(results, capsys, "--kind", "image")
    assert status == 1 and len(said["products"]) == 2


def test_a_question_without_an_answer_is_no_verdict(results, capsys):
    for words, said in (
        ([], "--all"),
        (["20251005T080001"], "did you mean"),
        (["--all", "--kind", "mosaic"], "nothing"),
        ([f"{results}/catalog.csv.txt"], "no product"),
    ):
        assert main(["qa", *words, "--results", results]) == 3
        assert said in capsys.readouterr().err


def test_a_damaged_file_fails_unless_only_records_are_asked(results, capsys):
    Path(path("image", results, group=GROUPS[0], tier=TIER)).write_text("y")
    status, said = qa(results, capsys, GROUPS[0])
    assert status == 2 and "damaged" in said["products"][0]["reason"]
    assert qa(results, capsys, GROUPS[0], "--fast")[0] == 0


def test_people_see_the_worst_first_and_the_checks(results, capsys):
    assert main(["qa", "--all", "--details", "--results", results]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["warn", "image", f"{GROUPS[1]}:"]
    assert any("rms over thermal noise: 3.5" in line for line in lines)
    assert lines[-1] == "1 pass, 1 warn"


def test_the_fields_of_the_image_and_its_validation(results, capsys):
    _, said = qa(results, capsys, GROUPS[1])
    fields = said["products"][0]["quality"]
    image_fields, validation = fields["image"], fields["catalog_validation"]
    assert image_fields["overall_quality"] == "marginal"
    assert (image_fields["rms_noise"], image_fields["num_sources"]) == (0.001, 34)
    astrometry, flux, counts = (
        validation[k] for k in ("astrometry", "flux_scale", "source_counts")
    )
    assert astrometry["mean_offset_arcsec"] == pytest.approx(0.5)
    assert astrometry["max_offset_arcsec"] == 5.0
    assert astrometry["rms_offset_arcsec"] == pytest.approx(13**0.5)
    assert flux["mean_flux_ratio"] == 0.97 and flux["flux_scale_error"] == pytest.approx(0.03)
    assert flux["rms_flux_ratio"] == pytest.approx(0.01)
    assert flux["has_warnings"] and not flux["has_issues"] and not astrometry["has_warnings"]
    assert counts["completeness_per_bin"] == [0.8, 1.0, None, 1.0]
    assert counts["completeness_limit_jy"] == 0.01
    assert (counts["n_catalog"], counts["n_matched"], counts["n_detected"]) == (34, 25, 34)
    assert set(astrometry) == set(flux) == set(counts)


def test_the_fields_of_a_calset(results):
    solved = {
        **{"tables": {"K": "k", "B": "b", "G": "g"}, "delay_rms_ns": 11.0},
        **{"flagged_fraction": {"K": 0.0, "B": 0.25, "G": 0.0}, "snr_median": {"B": 290.0}},
        **{"bandpass_amplitude_median": 0.1, "gain_amplitude_median": 1.0},
    }
    write_record(path("solutions", results, calset=CALSET), product="c", stage="solve", data=solved)
    subbands = [
        {"subband": 0, "freq_mhz": [1311, 1400], "solved": True, "flagged": 0.1, "snr": 300}
    ]
    looked = {"tables": {"K": [1, 10, 1, 2], "B": [1, 10, 16, 2]}, "subbands": subbands}
    checks = [check("B solutions flagged", 0.25, warn_above=0.2)]
    write_record(
        path("calset_record", results, calset=CALSET),
        product="c", stage="inspect", data=looked, checks=checks,
    )  # fmt: skip
    table = Path(path("caltable", results, calset=CALSET, table="B"))
    table.mkdir(parents=True)
    (table / "table.dat").write_text("x")
    found = quality.calibration(results, CALSET)
    assert found["flags_total"] == 80 and found["overall_quality"] == "marginal"
    assert found["bp_metrics"]["fraction_flagged"] == 0.25
    assert [c["verdict"] for c in found["bp_metrics"]["checks"]] == ["warn"]
    assert found["per_spw_stats"][0]["fraction_flagged"] == 0.1
    there = quality.completeness(results, CALSET)
    assert set(there["missing_caltables"]) == {"K", "G"}
    assert there["completeness"] == pytest.approx(1 / 3)


def test_catalogued_sources_lie_on_their_pixels(tmp_path):
    """A source at the reference position is on the reference pixel, north is up, east left."""
    results = str(tmp_path)
    file = Path(path("image", results, group=GROUPS[0], tier=TIER))
    foreign_image(file, 100)
    catalogue = tmp_path / "c.csv"
    head = "name,ra_deg,dec_deg,flux_jy,ref_freq_hz,spectral_index\n"
    rows = ["a,128,55,1,1.4e9,0", "north,128,55.05,2,1.4e9,0", "faint,128,55,0.001,1.4e9,0",
            "far,20,-5,1,1.4e9,0"]  # fmt: skip
    catalogue.write_text(head + "\n".join(rows) + "\n")
    found = quality.overlay(results, GROUPS[0], TIER, catalogue, 0.01)
    places = {s["name"]: (s["x"], s["y"]) for s in found["sources"]}
    assert places == {"a": (49.0, 49.0), "north": (49.0, pytest.approx(79.0, abs=0.02))}
    info = found["image_info"]
    assert info["pixel_scale_arcsec"] == pytest.approx(6) and info["nx"] == 100
    assert info["center_dec"] == pytest.approx(55 + 0.5 * 6 / 3600, abs=1e-5)


def foreign_image(file: Path, side: int, beam: float = 0.01, unit: str = "Jy/beam") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"], header["CTYPE3"] = "RA---SIN", "DEC--SIN", "FREQ"
    header["CRVAL1"], header["CRVAL2"], header["CRVAL3"] = 128.0, 55.0, 1.4e9
    header["CRPIX1"], header["CRPIX2"], header["CRPIX3"] = side / 2, side / 2, 1
    header["CDELT1"], header["CDELT2"], header["CDELT3"] = -6 / 3600, 6 / 3600, 1e6
    header["BMAJ"], header["BMIN"], header["BPA"] = beam, beam, 0.0
    if unit:
        header["BUNIT"] = unit
    data = np.random.default_rng(1).normal(0, 1e-3, (1, side, side)).astype("f4")
    data[0, side // 2, side // 2] = 0.1
    fits.writeto(file, data, header, checksum=True, overwrite=True)


def test_foreign_files_are_judged_by_what_is_in_them(tmp_path, capsys):
    good, coarse = tmp_path / "good.fits", tmp_path / "coarse.fits"
    foreign_image(good, 64)
    foreign_image(coarse, 64, beam=0.003)
    assert main(["qa", str(good)]) == 0
    assert main(["qa", str(coarse)]) == 1
    assert "pixels across the minor axis" in capsys.readouterr().out
    for unit, said in (("", "no unit (BUNIT)"), ("K", "its unit is K")):
        foreign_image(coarse, 64, unit=unit)
        assert main(["qa", str(coarse)]) == 1 and said in capsys.readouterr().out
    content = bytearray(good.read_bytes())
    content[-3000] ^= 0xFF  # in the data
    good.write_bytes(content)
    assert main(["qa", str(good)]) == 2
    said = capsys.readouterr().out
    assert "checksums anew" in said and "delete" not in said  # no run makes it again
    assert main(["qa", str(good), "--fast"]) == 0
    catalogue = tmp_path / "c.csv"
    catalogue.write_text("name,ra_deg,dec_deg\na,400,5\n")
    assert main(["qa", str(catalogue)]) == 2
    other = tmp_path / "notes.doc"
    other.write_text("x")
    assert main(["qa", str(other)]) == 3
    broken = tmp_path / "raw.hdf5"
    broken.write_bytes(b"not HDF5")
    assert main(["qa", str(broken)]) == 2


def test_a_damaged_inspection_fails_alone(results, capsys):
    for name in ("solutions", "calset_record"):
        write_record(path(name, results, calset=CALSET), product="p", stage="s", data={})
    write_text(path("calset_page", results, calset=CALSET), "<p>checks</p>")
    Path(path("calset_record", results, calset=CALSET)).write_text("{")
    _, said = qa(results, capsys, "--all", "--fast")
    assert [(v["stage"], v["verdict"]) for v in said["products"] if v["verdict"] == "fail"] == [
        ("inspect", "fail")
    ]
    assert "solve" in {v["stage"] for v in said["products"]}


def test_a_plan_that_is_none_is_named(results, capsys):
    plan = Path(path("plan", results, plan=PLAN))
    plan.write_text("[]")
    assert main(["qa", "--all", "--results", results]) == 3
    assert f"{plan}: not a readable plan" in capsys.readouterr().err

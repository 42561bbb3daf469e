"""Sources, light curves and candidates from the command line, in every format."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import pandas as pd
import pytest
from astropy.io.votable import parse
from astropy.table import Table

from contimg.cli import main
from contimg.core.errors import ContimgError
from contimg.core.export import ucd_of, unit_of, votable_text
from contimg.core.paths import path
from contimg.core.places import angle_deg, position
from contimg.report.candidates import read_decisions
from report.make_results import Survey


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Survey:
    results = str(tmp_path_factory.mktemp("lookup") / "results")
    return Survey(results, days=3, tiles=2, mosaics=1, sources=6).make()


def out(survey, capsys, *words: str) -> str:
    capsys.readouterr()
    assert main([*words, "--results", survey.results]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        ("8h34m54s +55d34m21s", 128.725, 55.5725),
        ("08:34:54 +55:34:21", 128.725, 55.5725),
        ("8h34m +55d", 128.5, 55.0),
        ("128.725 55.5725", 128.725, 55.5725),
        ("128.725, -55.5725", 128.725, -55.5725),
        ("128.725d -55.5725d", 128.725, -55.5725),
        ("128d43m30s -0d34m21s", 128.725, -0.5725),
    ],
)
def test_positions_are_read_as_people_write_them(text, ra, dec):
    assert position(text) == pytest.approx((ra, dec), abs=1e-9)


def test_what_is_no_position_or_angle():
    for text in ("here", "8h34m", "128.7 95", "25h +1d"):
        with pytest.raises(ContimgError, match="is no position"):
            position(text)
    assert angle_deg("5m") == angle_deg("300s") == pytest.approx(5 / 60)
    assert angle_deg("0.1d") == angle_deg("6arcmin") == pytest.approx(0.1)
    for text in ("5", "5 parsecs", "-1m"):
        with pytest.raises(ContimgError, match="is no angle"):
            angle_deg(text)


def test_sources_by_position_name_and_class(survey, capsys):
    ra, dec = survey.ra[2], survey.dec[2]
    found = pd.read_csv(
        io.StringIO(out(survey, capsys, "sources", "--near", f"{ra}", f"{dec}", "--csv"))
    )
    assert list(found["source"]) == [survey.names[2]] and found["distance_arcsec"][0] < 0.01
    found = json.loads(
        out(survey, capsys, "sources", "--near", survey.names[2], "--radius", "90d", "--json")
    )
    distances = [row["distance_arcsec"] for row in found]
    assert distances == sorted(distances) and found[0]["source"] == survey.names[2]
    assert out(survey, capsys, "sources", "--class", "ese").count("ese") == 2
    assert main(["sources", "--class", "flare", "--results", survey.results]) == 1
    assert "constant" in capsys.readouterr().err
    assert "none" in out(survey, capsys, "sources", "--name", "nothing like it")


def test_a_light_curve_by_name_and_by_position(survey, capsys):
    text = out(survey, capsys, "lightcurve", survey.names[3], "--csv")
    table = pd.read_csv(io.StringIO(text))
    assert len(table) == 3 and table["mjd"].is_monotonic_increasing
    place = f"{survey.ra[3] + 0.005} {survey.dec[3]}"
    assert out(survey, capsys, "lightcurve", place, "--csv") == text
    assert main(["lightcurve", "J00003+5530", "--results", survey.results]) == 1
    assert "did you mean J000003+5530" in capsys.readouterr().err
    assert main(["lightcurve", "0 -80", "--results", survey.results]) == 1
    assert "the nearest" in capsys.readouterr().err


def test_formats_keep_values_and_units(survey, capsys, tmp_path):
    name = survey.names[0]
    plain = pd.read_csv(io.StringIO(out(survey, capsys, "lightcurve", name, "--csv")))
    ecsv = Table.read(out(survey, capsys, "lightcurve", name, "--ecsv"), format="ascii.ecsv")
    file = tmp_path / "lc.vot"
    out(survey, capsys, "lightcurve", name, "--vot", "--out", str(file))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = parse(file, verify="exception")
    table = tree.get_first_table()
    assert list(table.array["flux_jy"]) == list(ecsv["flux_jy"])
    assert list(plain["flux_jy"]) == pytest.approx(list(ecsv["flux_jy"]), rel=1e-14)
    fields = {field.name: field for field in table.fields}
    assert str(fields["flux_norm_err_jy"].unit) == str(ecsv["flux_norm_err_jy"].unit) == "Jy"
    assert fields["mjd"].ref == "utc" and fields["ra_deg"].ref == "icrs"
    assert fields["flux_err_jy"].ucd == "stat.error;phot.flux.density;em.radio"
    (frame,), (scale,) = tree.resources[0].coordinate_systems, tree.resources[0].time_systems
    assert (frame.system, scale.timescale, scale.timeorigin) == ("ICRS", "UTC", 2400000.5)


def test_every_ucd_is_valid():
    from astropy.io.votable.ucd import parse_ucd

    names = [
        *(
            "source",
            "mosaic",
            "mjd",
            "flux_jy",
            "flux_err_jy",
            "gain_err",
            "ra_deg",
            "is_reference",
        ),
        *("flag", "rms_jy_beam", "bmaj_deg", "p_constant", "t0_mjd", "t0_err_days", "width_days"),
        *("minimum_flux_err_jy", "part_hz", "probability_ese", "eta", "v", "class", "depth"),
        *("distance_arcsec", "vs_mjd_1", "ese_false_alarm_probability", "n_epochs", "reason"),
    ]
    for name in names:
        if ucd_of(name):
            parse_ucd(ucd_of(name), check_controlled_vocabulary=True)
    units = {"t0_err_days": "d", "minimum_flux_err_jy": "Jy", "rms_jy_beam": "Jy/beam", "eta": ""}
    assert {name: unit_of(name) for name in units} == units


def test_a_table_without_rows_is_a_table(survey):
    empty = pd.read_parquet(path("lightcurves", survey.results)).iloc[:0]
    text = votable_text(empty, "n", "d")
    assert "<DATA>" in text
    stream = io.BytesIO(text.encode())
    assert len(parse(stream, verify="exception").get_first_table().array) == 0


def test_decisions_are_added_and_none_is_lost(survey, capsys, tmp_path):
    table = tmp_path / "decisions.csv"
    common = ["--candidate-decisions", str(table)]
    for name, status, note in (
        (survey.names[0], "interesting", "deep, and\nlong"),
        ("2", "rejected", "a sidelobe"),
        (survey.names[0], "confirmed", "seen with the VLA"),
    ):
        words = ["flag-candidate", name, "--status", status, "--note", note, "--by", "ana"]
        out(survey, capsys, *words, *common)
    found = read_decisions(table)
    assert [d.status for d in found] == ["interesting", "rejected", "confirmed"]
    assert found[0].note == "deep, and long" and found[1].source == survey.names[1]
    listed = json.loads(out(survey, capsys, "candidates", "--json", *common))
    assert [(row["source"], row["status"]) for row in listed] == [
        (survey.names[0], "confirmed"),
        (survey.names[1], "rejected"),
    ]
    kept = out(survey, capsys, "candidates", "--status", "rejected", "--csv", *common)
    assert len(kept.splitlines()) == 2


def test_decisions_that_cannot_be_made(survey, capsys, tmp_path):
    flag = ["flag-candidate", survey.names[0], "--status", "rejected", "--results", survey.results]
    assert main(flag) == 1
    assert "report.candidate_decisions is not set" in capsys.readouterr().err
    assert main([*flag[:2], "--status", "maybe", "--results", survey.results]) == 2
    table = tmp_path / "d.csv"
    common = ["--candidate-decisions", str(table), "--results", survey.results]
    words = ["flag-candidate", survey.names[4], "--status", "rejected", *common]
    assert main(words) == 1  # not among the candidates
    assert "no source" in capsys.readouterr().err and not table.exists()
    table.write_text("source,status\nx,y\n")
    assert main([*flag, "--candidate-decisions", str(table)]) == 1
    assert "lacks the columns" in capsys.readouterr().err
    assert table.read_text() == "source,status\nx,y\n"


def test_decisions_are_on_the_pages(survey, tmp_path):
    from report.test_weblog import make

    table = tmp_path / "d.csv"
    table.write_text(
        "source,status,note,by,decided_utc\n"
        f"{survey.names[0]},interesting,<b>look</b>,ana,2026-01-01T00:00:00\n"
    )
    make(survey.results, candidate_decisions=table)
    home = Path(path("report", survey.results)).parent
    assert "&lt;b&gt;look&lt;/b&gt;" in (home / "candidates.html").read_text()
    assert "interesting" in (home / "index.html").read_text()
    assert "2026-01-01T00:00:00" in (home / f"candidates/{survey.names[0]}.html").read_text()


def test_before_anything_was_measured(tmp_path, capsys):
    results = str(tmp_path)
    for verb in ("sources", "candidates"):
        assert main([verb, "--results", results]) == 1
        assert "yet" in capsys.readouterr().err


def test_a_damaged_table_of_candidates_is_named(tmp_path, capsys):
    survey = Survey(str(tmp_path / "results"), days=1, tiles=2, mosaics=1, sources=2).make()
    Path(path("candidates", survey.results)).write_text("nothing\n1\n")
    assert main(["candidates", "--results", survey.results]) == 1
    assert "damaged" in capsys.readouterr().err
    assert main(["report", "--results", survey.results]) == 0
    Path(path("drift_record", survey.results)).write_text("{")
    assert main(["report", "--results", survey.results]) == 0

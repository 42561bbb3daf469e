"""Fetching a survey: answers stored here, the service played by a function, never a network."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from contimg.catalogs import fetch
from contimg.catalogs.convert import Spectrum, source_table
from contimg.catalogs.fetch import parse_answer
from contimg.catalogs.surveys import SURVEYS
from contimg.core.catalog import flux_density, read_sources
from contimg.core.errors import ContimgError
from contimg.core.records import read_record

NVSS = SURVEYS["nvss"]
CSV = """\
RAJ2000,DEJ2000,S1.4,e_S1.4,MajAxis,MinAxis,PA,l_MajAxis,l_MinAxis
128.728825,55.572611,8283.1,248.5,15.9,13.4,,<,<
129.500000,55.100000,45.2,1.4,31.2,17.0,-30.5,,<
128.100000,-0.066667,3.1,0.5,,,,,
"""
TSV = """\
#RESOURCE=yCat_8065
#Name: VIII/65/nvss
RAJ2000\tDEJ2000\tS1.4\te_S1.4\tMajAxis\tMinAxis\tPA\tl_MajAxis\tl_MinAxis
"h:m:s"\t"d:m:s"\tmJy\tmJy\tarcsec\tarcsec\tdeg\t\t
-----------\t-----------\t-----\t----\t----\t----\t----\t-\t-
08 34 54.918\t+55 34 21.40\t 8283.1\t248.5\t15.9\t13.4\t     \t<\t<
08 38 00.000\t+55 06 00.00\t   45.2\t  1.4\t31.2\t17.0\t-30.5\t \t<
08 32 24.000\t-00 04 00.00\t    3.1\t  0.5\t    \t    \t     \t\t
"""


@pytest.mark.parametrize("text", [CSV, TSV], ids=["csv", "tsv"])
def test_answers_are_read_alike(text, tmp_path):
    table, _ = source_table(parse_answer(text, NVSS, "here"), NVSS, Spectrum(-0.7))
    assert list(table["name"]) == [
        "NVSS J083224-000400",
        "NVSS J083454+553421",
        "NVSS J083800+550600",
    ]
    bright = table.iloc[1]
    assert bright["ra_deg"] == pytest.approx(128.728825, abs=1e-6)
    assert bright["dec_deg"] == pytest.approx(55.572611, abs=1e-6)
    assert (bright["flux_jy"], bright["flux_err_jy"]) == pytest.approx((8.2831, 0.2485))
    assert (bright["major_arcsec"], bright["minor_arcsec"]) == (0, 0)  # limits, not sizes
    resolved = table.iloc[2]
    assert (resolved["major_arcsec"], resolved["minor_arcsec"]) == (31.2, 0)
    assert resolved["pa_deg"] == -30.5
    assert table["dec_deg"].iloc[0] == pytest.approx(-4 / 60, abs=1e-6)
    table.to_parquet(tmp_path / "t.parquet")
    again = read_sources(tmp_path / "t.parquet")
    assert flux_density(again, 1.4e9)[:, 0] == pytest.approx(table["flux_jy"])
    assert set(again["spectral_index_from"]) == {"assumed"}


def test_sources_at_one_place_keep_names_apart():
    lines = CSV.splitlines()
    text = "\n".join([lines[0], lines[1], lines[1].replace("8283.1", "2.0"), lines[1]])
    rows, left_out = source_table(parse_answer(text, NVSS, "here"), NVSS, Spectrum(0.0))
    assert list(rows["name"]) == ["NVSS J083454+553421", "NVSS J083454+553421_2"]
    assert left_out == {"there twice": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no table"),
        ("<html><body>Service unavailable</body></html>", "no column .* Service unavailable"),
        (CSV.replace("S1.4,e_S1.4", "S,e"), "no column S1.4, e_S1.4"),
        (CSV[: CSV.rindex("128.1") + 5], "line 4, after column RAJ2000: 1 values for 9"),
        (CSV.replace("128.100000", ""), "column RAJ2000: is empty; the table was cut off"),
        (CSV.replace("45.2", "4x.2"), "line 3, column S1.4: '4x.2' is not a number"),
    ],
)
def test_answers_that_are_not_the_table_are_refused(text, words):
    with pytest.raises(ContimgError, match=words):
        source_table(parse_answer(text, NVSS, "here"), NVSS, Spectrum(0.0))


class Service:
    """Answers queries of a made survey; can cut answers off, or fail after so many requests."""

    def __init__(self, cut: int = 0, fail_after: int = 10**9) -> None:
        rng = np.random.default_rng(4)
        self.sky = pd.DataFrame(
            {
                "RAJ2000": rng.uniform(0, 360, 4000).round(6),
                "DEJ2000": np.degrees(np.arcsin(rng.uniform(-1, 1, 4000))),
                "S1.4": rng.uniform(1, 20, 4000),
                "e_S1.4": 0.5,
                **dict.fromkeys(("MajAxis", "MinAxis", "PA", "l_MajAxis", "l_MinAxis"), ""),
            }
        )
        self.cut, self.fail_after, self.asked = cut, fail_after, 0

    def __call__(self, service, adql, timeout_s) -> str:
        self.asked += 1
        if self.asked > self.fail_after:
            raise ContimgError(f"{service}: no answer")
        rows = self.sky
        for column, sign, value in re.findall(r'"(\S+)" (>=|<=|<) (\S+)', adql):
            compare = {">=": rows[column].ge, "<=": rows[column].le, "<": rows[column].lt}[sign]
            rows = rows[compare(float(value))]
        if "COUNT" in adql:
            return f"n\n{len(rows)}\n"
        return rows.iloc[: len(rows) - self.cut].to_csv(index=False)


@pytest.fixture
def service(monkeypatch):
    made = Service()
    monkeypatch.setattr(fetch, "ask", made)
    return made


def wanted(tmp_path: Path, **region) -> fetch.FetchFiles:
    return fetch.FetchFiles(
        table=tmp_path / "out.parquet", survey="nvss", spectral_index=-0.7, **region
    )


@pytest.mark.parametrize(
    "centre", [(120.0, 30.0), (359.5, 20.0), (0.3, -10.0), (200.0, 85.0), (10.0, -90.0)]
)
def test_circles_are_complete(tmp_path, service, centre):
    ra, dec = centre
    fetch.run(wanted(tmp_path, ra_deg=ra, dec_deg=dec, radius_deg=12.0, flux_min_jy=0.005))
    found = read_sources(tmp_path / "out.parquet")
    sky = service.sky[service.sky["S1.4"] >= 5]
    x, y = np.radians(sky["RAJ2000"] - ra), np.radians(sky["DEJ2000"])
    cosine = np.sin(y) * np.sin(np.radians(dec)) + np.cos(y) * np.cos(np.radians(dec)) * np.cos(x)
    expected = sky[cosine >= np.cos(np.radians(12))]
    assert len(expected) > 5
    assert sorted(found["flux_jy"]) == pytest.approx(sorted(expected["S1.4"] / 1e3))
    assert not (tmp_path / "out.parquet.parts").exists()


def test_strips_are_complete_and_recorded(tmp_path, service):
    fetch.run(wanted(tmp_path, dec_min_deg=50, dec_max_deg=60, flux_min_jy=0.002))
    found = read_sources(tmp_path / "out.parquet")
    sky = service.sky
    inside = sky["DEJ2000"].between(50, 60) & (sky["S1.4"] >= 2)
    assert len(found) == inside.sum() > 100
    record = read_record(tmp_path / "out.json")
    assert record["data"]["rows"] == len(found)
    assert record["data"]["request"]["spectral_index"] == -0.7
    assert "Condon" in record["data"]["reference"]


def test_an_interrupted_fetch_goes_on_where_it_stopped(tmp_path, monkeypatch):
    region = {"dec_min_deg": 50, "dec_max_deg": 60}
    broken = Service(fail_after=21)
    monkeypatch.setattr(fetch, "ask", broken)
    with pytest.raises(ContimgError, match="no answer"):
        fetch.run(wanted(tmp_path, **region))
    assert not (tmp_path / "out.parquet").exists()
    kept = sorted((tmp_path / "out.parquet.parts").glob("*.csv"))
    assert len(kept) == 10
    kept[0].write_text(kept[0].read_text()[:-40])  # a damaged piece is fetched again
    whole = Service()
    monkeypatch.setattr(fetch, "ask", whole)
    fetch.run(wanted(tmp_path, **region))
    assert whole.asked == 2 * (24 - 9)
    resumed = (tmp_path / "out.parquet").read_bytes()
    fetch.run(wanted(tmp_path, **region))
    assert whole.asked == 2 * (24 - 9) + 48
    assert (tmp_path / "out.parquet").read_bytes() == resumed


def test_answers_cut_off_by_the_service_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "ask", Service(cut=1))
    with pytest.raises(ContimgError, match="rows of"):
        fetch.run(wanted(tmp_path, dec_min_deg=50, dec_max_deg=60))
    assert not (tmp_path / "out.parquet").exists()


def test_an_empty_region_is_an_error(tmp_path, service):
    with pytest.raises(ContimgError, match="cover the region"):
        fetch.run(wanted(tmp_path, ra_deg=10, dec_deg=10, radius_deg=0.01))


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"ra_deg": 1, "dec_deg": 2},
        {"ra_deg": 1, "dec_deg": 2, "radius_deg": 1, "dec_min_deg": 0},
        {"dec_min_deg": 5, "dec_max_deg": 4},
        {"ra_deg": 400, "dec_deg": 2, "radius_deg": 1},
    ],
)
def test_regions_that_are_none_are_refused(tmp_path, region):
    with pytest.raises(ValidationError):
        wanted(tmp_path, **region)


def test_a_spectral_index_has_to_be_given(tmp_path):
    with pytest.raises(ValidationError, match="spectral_index"):
        fetch.FetchFiles(table=tmp_path / "o.parquet", survey="vlass", dec_min_deg=0, dec_max_deg=1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (urllib.error.URLError("Name or service not known"), "check the network"),
        (TimeoutError("timed out"), "check the network"),
        (ConnectionResetError("reset"), "check the network"),
    ],
)
def test_without_a_network_the_error_says_so(monkeypatch, error, words):
    waits = []

    def fails(*args, **kwargs):
        assert kwargs["timeout"] == 5
        raise error

    monkeypatch.setattr(fetch.urllib.request, "urlopen", fails)
    monkeypatch.setattr(fetch.time, "sleep", waits.append)
    with pytest.raises(ContimgError, match=words):
        fetch.ask("https://nowhere.invalid/tap", "SELECT 1", 5)
    assert waits == [2, 4]


def test_what_the_service_says_is_passed_on(monkeypatch):
    """A real server, of this process, that refuses the query."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    seen = []

    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b"<INFO>Unknown column S9</INFO>")

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.handle_request, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ContimgError, match=r"400.*Unknown column S9"):
        fetch.ask(f"http://127.0.0.1:{server.server_port}", 'SELECT "S9"', 5)
    server.server_close()
    assert "QUERY=SELECT+%22S9%22" in seen[0]


def test_every_survey_can_be_asked_for():
    for survey in SURVEYS.values():
        adql = fetch.query(survey, fetch.Box(0.0, 15.0, -5.0, 5.0), 0.01)
        assert f'"{survey.flux}" >= 10.0' in adql and f'FROM "{survey.table}"' in adql

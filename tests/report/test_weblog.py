"""The web log of a small survey: links, escaping, what is made again, what scripts rely on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from contimg.core.paths import path
from contimg.report.options import ReportOptions
from contimg.report.status import read_plan
from contimg.report.weblog import cutouts, reasons
from contimg.report.weblog.build import build
from contimg.report.weblog.items import sexagesimal
from contimg.report.weblog.site import Site, key_of, with_error
from contimg.report.weblog.sources import dip_flux, shard
from contimg.report.weblog.svg import MOST, Point, thinned, ticks, trend
from report.make_results import PLAN, Survey

ODD = '<script>alert("x")</script> & 1'


def make(results: str, **options) -> Site:
    plan = read_plan(results, Path(path("plan", results, plan=PLAN)))
    return build(results, plan, Path(path("status", results)), ReportOptions(**options))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Pages of two days of twelve tiles, with a source of an odd name."""
    results = str(tmp_path_factory.mktemp("weblog") / "results")
    survey = Survey(results, days=2, tiles=30, mosaics=2, sources=12)
    survey.names[1] = ODD
    survey.make()
    make(results)
    return Path(path("report", results)).parent


class Page(HTMLParser):
    """Addresses and ids of a page; a tag that is not closed shows in `open`."""

    VOID = ("meta", "link", "img", "br", "input", "path", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [values[n] for n in ("href", "src") if values.get(n)]
        self.ids += [values["id"]] if "id" in values else []

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()


def pages(home: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text()) for file in home.rglob("*.html")}


def test_no_link_is_broken_and_every_page_is_reached(home):
    """Also marks within pages, and the keys of sources by which their data are loaded."""
    found = pages(home)
    reached = {home / "index.html"}
    for file, page in found.items():
        assert page.open == []
        for address in page.addresses:
            assert not re.match(r"https?:|//|/", address)
            name, _, mark = address.partition("#")
            if address.startswith("data:"):
                continue
            target = (file.parent / unquote(name)).resolve() if name else file
            assert target.exists(), (file, address)
            reached.add(target)
            if name and target.name == "source.html" and mark:
                key = unquote(mark)
                assert (home / f"data/sources/{shard(key)}/{key}.js").exists()
            elif target in found and mark and not mark.startswith("mosaic%3D"):
                assert unquote(mark) in found[target].ids, (file, address)
    assert {f.resolve() for f in found} <= {f.resolve() for f in reached}


def test_names_from_data_are_text(home):
    """Neither the name of a source nor that of a file becomes a tag."""
    for file, page in pages(home).items():
        text = file.read_text()
        assert "<script>alert" not in text and "<b>.hdf5" not in text
        assert page.tags.count("script") == text.count("<script src=")
    assert "&lt;script&gt;alert" in (home / "sources/1.html").read_text()
    key = key_of(ODD)
    assert re.fullmatch(r"[\w.+-]+", key)
    content = (home / f"data/sources/{shard(key)}/{key}.js").read_text()
    assert json.loads(content.partition(",")[2].rstrip(");\n"))["name"] == ODD
    assert (home / f"candidates/{key}.html").exists()


def test_text_and_tables_need_no_script(home):
    """Tiles, mosaics, sources and a candidate's whole light curve are in the pages themselves."""
    day = (home / "days/2025-10-05.html").read_text()
    assert len(re.findall(r'<tr><td><a href="../tiles/', day)) == 30
    candidate = (home / "candidates/J000000+5530.html").read_text()
    assert candidate.count("±") > 2 * 2 and "<svg" in candidate and "centre" in candidate
    assert (home / "sources/1.html").read_text().count("source.html#") == 12
    mosaics = [file.read_text() for file in (home / "mosaics").rglob("*.html")]
    assert sum(text.count("source.html#") for text in mosaics) == 2 * 12


def test_a_candidate_is_drawn_with_the_dip_and_said_with_units(home):
    page = (home / "candidates/J000000+5530.html").read_text()
    assert '<path class="curve"' in page and "Normalised flux density [Jy]" in page
    for words in ("full width at half depth", "mean flux density [Jy]", "60954.00 ± 0.40 MJD UTC"):
        assert words in page
    assert "mean_flux_jy" not in page and "t0_mjd" not in page


def test_numbers_of_a_tile_have_words_units_and_errors(home):
    page = min((home / "tiles/2025-10-05").iterdir()).read_text()
    assert re.search(r"beam, FWHM \[arcsec\]</th><td>27 × 18<", page)
    assert re.search(r"flux density over that of the catalogue</th><td>[\d.]+ ± 0.0040<", page)
    assert not re.search(r'scope="row">[^<]*(_|\berr\b|bmaj|imsize)', page)
    mosaic = min((home / "mosaics/2025-10-05").iterdir()).read_text()
    assert "centre (ICRS)" in mosaic and "beam, FWHM [arcsec]</th><td>27 × 18" in mosaic


def test_errors_of_few_points_lie_inside_the_drawing():
    drawn = trend([Point(0, 1.0, 2.0), Point(1, 1.1, 0.1)], name="x", size=(400, 100))
    ends = [
        float(y) for pair in re.findall(r"<path d=\"M[\d.]+ ([\d.]+)V([\d.]+)", drawn) for y in pair
    ]
    assert len(ends) == 4 and 8 < min(ends) < max(ends) < 78


def test_only_what_changed_is_made_again(tmp_path):
    results = str(tmp_path / "results")
    Survey(results, days=2, tiles=6, mosaics=1, sources=5).make()
    make(results)
    home = Path(path("report", results)).parent
    before = {f: f.stat().st_mtime_ns for f in home.rglob("*") if f.is_file()}
    site = make(results)
    again = {f for f, stamp in before.items() if f.stat().st_mtime_ns != stamp}
    assert again <= {home / "index.html"} and site.written == len(again)
    (record,) = Path(results).glob("images/2025-10-06/20251006T000010/*.json")
    content = json.loads(record.read_text())
    content["checks"][0]["metric"] = "something else"
    record.write_text(json.dumps(content))
    make(results)
    changed = {
        f.relative_to(home).as_posix() for f, s in before.items() if f.stat().st_mtime_ns != s
    }
    assert "tiles/2025-10-06/20251006T000010.html" in changed
    assert not any("2025-10-05" in name for name in changed)


def test_cutouts_come_when_the_sources_do(tmp_path):
    """Pages that were made while a run went on, before there were sources, lose nothing."""
    results = str(tmp_path / "results")
    Survey(results, days=1, tiles=4, mosaics=1, sources=3, pixels=200).make()
    tables = [Path(path(name, results)) for name in ("lightcurves", "sources")]
    for table in tables:
        table.rename(table.with_suffix(".later"))
    make(results)
    home = Path(path("report", results)).parent
    assert not list(home.glob("data/cutouts/*/*.js"))
    for table in tables:
        table.with_suffix(".later").rename(table)
    make(results)
    assert list(home.glob("data/cutouts/*/*.js"))


def test_values_have_the_places_of_their_errors():
    assert with_error(60959.65836, 0.01879) == "60959.658 ± 0.019"
    assert with_error(0.8215, 0.03) == "0.822 ± 0.030"
    assert with_error(1234.5, 56.0) == "1234 ± 56"
    assert with_error(0.25, None) == "0.25" and with_error(float("nan"), 1.0) == "–"


def test_pages_of_what_is_gone_go(tmp_path):
    results = str(tmp_path / "results")
    survey = Survey(results, days=1, tiles=4, mosaics=1, sources=3).make()
    make(results)
    home = Path(path("report", results)).parent
    gone = survey.group(0, 3)
    survey.rows = [row for row in survey.rows if row.item != gone]
    survey.status()
    make(results)
    assert not list(home.glob(f"tiles/*/{gone}.html")) and len(list(home.glob("tiles/*/*"))) == 3


def test_reasons_that_differ_in_numbers_and_names_are_one():
    rows = [
        {"kind": "group", "item": f"20251005T00000{k}", "stage": stage, "state": state, "reason": r}
        for k in range(4)
        for stage, state, r in (
            ("apply", "failed", f"no calset within {k + 20}.5 h of 20251005T00000{k}_J0834+5534"),
            ("image", "failed", "calset failed"),
        )
    ]
    rows.append({"kind": "mosaic", "item": "m", "stage": "mosaic", "state": "warned",
                 "reason": "noise 3.2 > 3; tiles 20251005T000001, 20251005T000002"})  # fmt: skip
    first, *others = reasons.group(rows)
    assert (first.count, first.stage, first.reason) == (4, "apply", "no calset within # h of NAME")
    assert {g.reason for g in others} == {"noise # > #", "tiles NAME, .."}


def test_cutouts_keep_noise_and_peak():
    random = np.random.default_rng(3)
    values = random.normal(0, 1e-3, (31, 31))
    values[15, 15], values[0, 0] = 8.0, np.nan
    back = cutouts.decode(json.loads(json.dumps(cutouts.encode(values, 1e-3))))
    assert np.isnan(back[0, 0])
    good = np.isfinite(values)
    error = np.abs(back - values)[good]
    assert (error <= 0.03 * np.hypot(values[good], 1e-3)).all()


def test_cutouts_are_of_the_right_pixels():
    data = np.arange(100.0).reshape(10, 10)
    assert cutouts.cut(data, 4, 5, 3).tolist() == data[4:7, 3:6].tolist()
    edge = cutouts.cut(data, 0, 0, 3)
    assert np.isnan(edge[0]).all() and edge[1, 1] == 0 and edge[2, 2] == 11
    assert cutouts.cut(data, -5, 3, 3) is None


def test_the_drawn_dip_has_the_depth_and_the_width_that_were_fitted():
    """Also where its shape is that of a lens, with the focusing beside the dip."""
    for lens in ({}, {"alpha": 10.0, "source_size": 0.3}):
        dip = {"t0_mjd": 100.0, "width_days": 6.0, "depth": 0.4, "baseline_jy": 2.0} | lens
        middle, half, far = dip_flux(np.array([100.0, 97.0, 20.0]), dip)
        assert middle == pytest.approx(1.2, rel=1e-6)
        assert half == pytest.approx(1.6, rel=0.02)
        assert far == pytest.approx(2.0, rel=1e-3)
    assert dip_flux(np.linspace(80, 120, 400), dip).max() > 2.1


def test_many_points_become_medians_with_ranges():
    random = np.random.default_rng(5)
    points = [Point(t, v, 0.1, str(t)) for t, v in enumerate(random.normal(size=5000))]
    found = thinned(points)
    assert len(found) <= MOST
    assert min(p.low for p in found) == min(p.value for p in points)
    assert ticks(0.9871, 1.0132) == pytest.approx([0.99, 1.0, 1.01])


def test_positions_in_sixtieths():
    from astropy.coordinates import SkyCoord

    for ra, dec in ((128.7287667, 55.5725194), (359.9999999, -0.00001), (0.0, -89.99999)):
        found = SkyCoord(sexagesimal(ra, dec), unit=("hourangle", "deg"))
        assert found.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 0.15
        assert not re.search(r":60", sexagesimal(ra, dec))


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run scripts with")
def test_scripts_find_the_folder_that_was_written():
    script = (Path(cutouts.__file__).parent / "source.js").read_text()
    function = re.search(r"contimg\.shard = (.*);\n", script)[1]
    keys = ["J0834+5534", "a", key_of(ODD)]
    code = f"const f = {function}; console.log({json.dumps(keys)}.map(f).join(' '))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [shard(key) for key in keys]


def test_a_catalogue_that_cannot_be_read_is_said(tmp_path):
    results = str(tmp_path / "results")
    Survey(results, days=1, tiles=2, mosaics=1, sources=2).make()
    Path(path("sky", results)).write_text("nothing\n1\n")
    make(results)
    text = (Path(path("report", results)).parent / "population.html").read_text()
    assert "no catalogue values" in text


def test_parts_of_the_band_have_curves_and_a_spectral_index(tmp_path):
    results = str(tmp_path / "results")
    survey = Survey(results, days=2, tiles=2, mosaics=1, sources=2).make()
    hz = np.array([1.33e9, 1.40e9, 1.47e9])
    for mosaic in survey.plan["mosaics"]:
        table = pd.read_parquet(path("photometry", results, mosaic=mosaic))
        flux = 0.1 * (hz / 1.4e9) ** -0.8
        table = table.assign(
            part_hz=[hz] * 2, part_flux_jy=[flux] * 2, part_err_jy=[flux / 500] * 2
        )
        table.to_parquet(path("photometry", results, mosaic=mosaic))
    make(results)
    home = Path(path("report", results)).parent
    text = (home / f"data/sources/{shard('J000000+5530')}/J000000+5530.js").read_text()
    content = json.loads(text.partition(",")[2].rstrip(");\n"))
    assert [len(part["mjd"]) for part in content["parts"]] == [2, 2, 2]
    index, error = content["spectral_index"]
    assert abs(index + 0.8) < 3 * error and 0 < error < 0.05

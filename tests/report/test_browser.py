"""The web log in a real browser, opened from the disk: plots answer, nothing complains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from contimg.core.paths import path
from contimg.report.weblog.site import key_of
from report.browser import browser, executable
from report.make_results import Survey
from report.test_weblog import ODD, make

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    results = str(tmp_path_factory.mktemp("weblog") / "results")
    survey = Survey(results, days=10, tiles=6, mosaics=1, sources=40, pixels=400)
    survey.names[1] = ODD
    survey.dec[:] = 55.5 + survey.random.uniform(-0.5, 0.5, 40)
    survey.ra[:] = 180 + survey.random.uniform(-0.5, 0.5, 40)
    survey.make()
    make(results)
    return Path(path("report", results)).parent


@pytest.fixture(scope="module")
def page(home):
    with browser() as made:
        yield made


def open_(page, home: Path, name: str) -> None:
    page.goto("about:blank")
    page.goto(f"file://{home}/{name}")


def test_no_page_complains(page, home):
    names = [f.relative_to(home).as_posix() for f in home.glob("*.html")]
    for folder in ("days", "tiles", "calsets", "mosaics", "candidates", "sources"):
        names.append(next((home / folder).rglob("*.html")).relative_to(home).as_posix())
    for name in names:
        open_(page, home, name)
        page.wait_for_timeout(50)
    assert page.complaints == []


def test_the_front_page_fits_two_screens(page, home):
    open_(page, home, "index.html")
    assert page.evaluate("document.documentElement.scrollHeight") <= 2 * 900
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_a_source_of_an_odd_name_is_shown_as_text(page, home):
    open_(page, home, f"source.html#{key_of(ODD)}")
    page.wait_for_selector("#shown:visible")
    assert page.inner_text("#name") == ODD
    assert page.title() == ODD


def test_the_light_curve_answers_to_mouse_and_keys(page, home):
    open_(page, home, "source.html#J000000+5530")
    canvas = page.wait_for_selector("#curve canvas")
    assert page.locator("#epochs tbody tr").count() == 10
    canvas.focus()
    page.keyboard.press("ArrowRight")
    tip = page.inner_text("#curve .tip")
    assert "MJD 60953" in tip and "Jy" in tip and "gain" in tip
    ink = """c => c.getContext("2d").getImageData(0, 0, c.width, c.height).data
        .reduce((a, b) => a + b)"""
    before = page.eval_on_selector("#curve canvas", ink)
    page.keyboard.press("+")
    assert page.eval_on_selector("#curve canvas", ink) != before
    page.keyboard.press("0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**/mosaics/2025-10-06/**")


def test_statistics_and_event_are_said_in_words_with_units(page, home):
    page.goto(f"file://{home}/source.html#J000000+5530")
    page.wait_for_selector("#statistics td:not(:empty)")
    words = page.inner_text("#statistics")
    assert "mean flux density [Jy]" in words and "±" in words and "mean_flux_jy" not in words
    assert "full width at half depth" in page.inner_text("#fit")
    assert "why not searched" not in words  # nothing to say


def test_flagged_epochs_can_be_hidden(page, home):
    open_(page, home, "source.html#J000003+5530")
    page.wait_for_selector("#curve canvas")
    flagged = page.locator("#epochs td.failed").count()
    assert flagged > 0
    box = page.locator("#curve canvas").bounding_box()

    def steps() -> int:
        page.locator("#curve canvas").focus()
        seen = set()
        for _ in range(12):
            page.keyboard.press("ArrowRight")
            seen.add(page.inner_text("#curve .tip"))
        return len(seen)

    assert box["height"] > 300 and steps() == 10
    page.uncheck("#flagged")
    assert steps() == 10 - flagged


def test_cutouts_have_one_scale_the_deepest_first(page, home):
    open_(page, home, "source.html#J000003+5530")
    page.wait_for_selector("#cutouts canvas")
    captions = page.locator("#cutouts figcaption").all_inner_texts()
    assert len(captions) == 10 and captions[0].startswith("deepest")
    noise = page.locator("#cutouts figure").evaluate_all(
        "f => f.map(x => parseFloat(x.title.split('noise ')[1]))"
    )
    assert noise == sorted(noise)


def test_eta_and_v_lead_to_the_source(page, home):
    open_(page, home, "population.html")
    page.wait_for_selector("#eta canvas")
    page.locator("#eta canvas").focus()
    page.keyboard.press("ArrowRight")
    name = page.inner_text("#eta .tip").splitlines()[0]
    page.keyboard.press("Enter")
    page.wait_for_url("**/source.html#*")
    page.wait_for_selector("#shown:visible")
    assert page.inner_text("#name") == name


def test_points_are_selected_with_a_box(page, home):
    open_(page, home, "population.html")
    page.wait_for_selector("#eta canvas")
    box = page.locator("#eta canvas").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 80, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 15, box["y"] + box["height"] - 45)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert page.inner_text("#count") == "40 sources"
    assert page.locator("#selected tbody tr").count() == 40
    page.fill("#find", "script")
    assert page.locator("#selected tbody tr").all_inner_texts()[0].startswith(ODD)


def test_a_mosaic_lists_its_sources(page, home):
    mosaic = next((home / "mosaics").rglob("*.html"))
    open_(page, home, mosaic.relative_to(home).as_posix())
    page.click("text=all of them")
    page.wait_for_selector("#selected tbody tr")
    assert page.locator("#selected tbody tr").count() == 40


def test_the_sky_leads_to_tiles(page, home):
    open_(page, home, "sky.html")
    page.uncheck("#sources")
    page.uncheck("#mosaics")
    box = page.locator("#sky canvas").bounding_box()
    for x in range(80, int(box["width"]), 8):
        page.mouse.move(box["x"] + x, box["y"] + 250)
        if page.inner_text("#sky .tip").startswith("tile 2025"):
            break
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/tiles/**")


def test_commands_are_copied(page, home):
    open_(page, home, "source.html#J000000+5530")
    button = page.wait_for_selector("#commands button.copy:visible")
    button.click()
    assert button.inner_text() in {"copied", "selected"}
    selected = page.evaluate("getSelection().toString()")
    assert selected == "contimg lightcurve 'J000000+5530'"


def test_without_scripts_there_is_text(page, home):
    plain = page.context.browser.new_context(java_script_enabled=False).new_page()
    open_(plain, home, "source.html")
    assert "contimg lightcurve NAME" in plain.inner_text("main")
    open_(plain, home, "index.html")
    assert "What came of it" in plain.inner_text("main")
    index = json.loads((home / "data/index.js").read_text().partition(",")[2].rstrip(");\n"))
    assert len(index["name"]) == 40

"""What the validators of the Virtual Observatory say: nothing."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import parse_ucd
from astropy.units import Unit
from numpy.typing import NDArray

from contimg.cli import main
from contimg.core.export import votable_text
from contimg.core.parquet import write_parquet
from contimg.core.paths import path
from contimg.export import obscore
from contimg.export.hips import write_hips
from contimg.export.voevent import MEASURED, NAMESPACE, voevent
from contimg.variability.alerts import PARAMETERS, Alert, Parameter
from contimg.variability.products import write_table
from export.images import ABOUT, sky_header
from export.obscore_service import serve

stilts = pytest.mark.skipif(
    shutil.which("stilts") is None, reason="stilts is not installed (tools/setup.sh test)"
)
aladin = pytest.mark.skipif(
    shutil.which("aladin") is None, reason="aladin is not installed (tools/setup.sh test)"
)


def said(*command: str | Path, status: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    return (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def votables(survey, out, tmp_path_factory) -> Path:
    """Every kind of VOTable that is written."""
    folder = tmp_path_factory.mktemp("votables")
    shutil.copy(out / "obscore.vot", folder)
    for verb, *words in (("sources",), ("candidates",), ("lightcurve", survey.names[0])):
        file = ["--vot", "--out", str(folder / f"{verb}.vot")]
        assert main([verb, *words, "--results", survey.results, *file]) == 0
    table = pd.read_csv(path("candidates", survey.results))
    write_table(table, folder / "ese_candidates.vot")
    write_table(table.iloc[:0], folder / "ese_candidates_none.vot")
    nothing = pd.DataFrame(columns=list(obscore.COLUMNS))
    text = votable_text(nothing, "obscore", "none", obscore.COLUMNS, obscore.UTYPES)
    (folder / "obscore_none.vot").write_text(text)
    file = folder / "lightcurves.parquet"  # has a VOTable without data inside
    write_parquet(pd.read_parquet(path("lightcurves", survey.results)), file)
    inside = pq.read_schema(file).metadata[b"IVOA.VOTable-Parquet.content"]
    (folder / "inside.vot").write_bytes(inside)
    return folder


@stilts
def test_votlint_has_nothing_to_say(votables):
    files = sorted(votables.glob("*.vot"))
    assert len(files) == 8
    assert {file.name: said("stilts", "votlint", file) for file in files} == {
        file.name: "" for file in files
    }


@stilts
def test_votlint_is_not_blind(votables, tmp_path):
    text = (votables / "lightcurve.vot").read_text()
    broken = tmp_path / "broken.vot"
    broken.write_text(text.replace('ref="utc"', 'ref="tai"', 1))
    assert "ID tai referenced" in said("stilts", "votlint", broken)


def test_ucds_and_units_are_words_of_the_standards(votables):
    """Which the votlint of the distribution does not look at."""
    for file in votables.glob("*.vot"):
        for field in parse(file, verify="exception").get_first_table().fields:
            if field.ucd:
                parse_ucd(field.ucd, check_controlled_vocabulary=True)
            if field.unit:
                Unit(str(field.unit), format="vounit", parse_strict="raise")
    wrong = ["time.epok", "phot.flux.density;em.rdio"]
    for ucd in wrong:
        with pytest.raises(ValueError):
            parse_ucd(ucd, check_controlled_vocabulary=True)


@stilts
def test_taplint_accepts_the_table_of_images(out):
    """Types, units, UCDs, utypes of the 30 columns; values where the standard limits them."""
    with serve(out / "obscore.vot") as address:
        stages = "stages=TMV TME CAP OBS"
        text = said("stilts", "taplint", f"tapurl={address}", stages, "report=EWSF")
    lines = text.splitlines()
    faults = [line for line in lines if line[:2] in {"E-", "W-", "F-"}]
    assert faults == [], text
    assert any("30/30 required" in line for line in lines), text
    assert any("TAP queries: 6/6" in line for line in lines), text


@aladin
def test_aladin_finds_the_hips_as_the_standard_has_it(out, tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Djava.awt.headless=true -Duser.home={tmp_path}")
    (folder,) = out.glob("hips_*")
    text = said("aladin", "-hipsgen", f"out={folder}", "LINT")
    assert "fully IVOA HiPS 1.0 compatible" in text and "WARN" not in text, text
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "Moc.fits").unlink()
    assert "is not IVOA HiPS 1.0 compatible" in said("aladin", "-hipsgen", f"out={broken}", "LINT")


@aladin
def test_aladin_makes_the_same_hips_of_the_same_image(tmp_path, monkeypatch):
    """The same tiles of all orders, with the same pixels in the same places."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Djava.awt.headless=true -Duser.home={tmp_path}")
    (tmp_path / "in").mkdir()
    image, ours, theirs = tmp_path / "in/m.fits", tmp_path / "ours", tmp_path / "theirs"
    fits.writeto(image, *checkered())
    order = write_hips(image, ours, ABOUT)
    words = [f"in={image.parent}", f"out={theirs}", "creator_did=ivo://contimg/m"]
    said("aladin", "-hipsgen", *words, f"hips_order={order}", "INDEX", "TILES")
    tiles = {file.relative_to(ours) for file in ours.rglob("Npix*.fits")}
    assert tiles == {file.relative_to(theirs) for file in theirs.glob("Norder*/*/Npix*.fits")}
    assert len(tiles) > order + 1
    for tile in tiles:
        mine, other = fits.getdata(ours / tile), fits.getdata(theirs / tile)
        both = np.isfinite(mine) & np.isfinite(other)
        rim = np.isfinite(mine) ^ np.isfinite(other)
        assert rim.sum() <= 0.05 * both.sum() + 8
        # at the rim coarse cells are means of other parts
        assert np.median(np.abs(mine - other)[both]) < 0.01
        assert np.abs(mine - other)[both].mean() < 0.05


def checkered() -> tuple[NDArray[np.float32], fits.Header]:
    """An image in which every orientation looks different, at the corner of tiles."""
    y, x = np.mgrid[0:200, 0:200]
    return ((x // 20 + y // 20) % 2 + x / 100 + y / 50).astype("f4"), sky_header(
        44.1, 55.4, 0.005, 200
    )


@pytest.fixture
def events(tmp_path) -> dict[str, Path]:
    """An event that is new, one that supersedes it and one that takes it back."""
    alert = Alert(
        id="J0834+5534 <&>/1",
        kind="new",
        version=1,
        supersedes=None,
        source="J0834+5534 <&>",
        ra_deg=128.7287,
        dec_deg=55.5725,
        last_epoch_mjd=60960.25,
        n_epochs=12,
        priority="high",
        false_alarm_probability=1e-6,
        in_progress=True,
        parameters={name: Parameter(value=1.5, error=0.1) for name in PARAMETERS},
        reason="",
    )
    more = {"id": "J0834+5534 <&>/2", "supersedes": alert.id, "version": 2}
    updated = alert.model_copy(update={**more, "kind": "updated", "reason": "depth < 1"})
    gone = {**more, "kind": "retracted", "priority": None, "false_alarm_probability": None}
    retracted = alert.model_copy(update={**gone, "reason": "no longer announced", "ra_deg": None})
    files = {}
    for packet in (alert, updated, retracted):
        files[packet.kind] = tmp_path / f"{packet.kind}.xml"
        files[packet.kind].write_text(voevent(packet, datetime(2025, 10, 20, tzinfo=UTC), 1.5))
    return files


@stilts
def test_events_keep_to_the_schema(events, out, tmp_path):
    """VOEvent 2.0, as published by the IVOA."""
    # stilts cuts values at blanks, of which the path of the checkout may have some
    shutil.copy(Path(__file__).parent / "VOEvent-v2.0.xsd", tmp_path / "schema.xsd")
    schema = f"schemaloc={NAMESPACE}={tmp_path / 'schema.xsd'}"
    of_the_survey = sorted((out / "voevents").glob("*.xml"))
    assert len(of_the_survey) == 2
    for file in (*events.values(), of_the_survey[0]):
        assert said("stilts", "xsdvalidate", schema, file) == ""
    broken = tmp_path / "broken.xml"
    broken.write_text(events["new"].read_text().replace("UTC-ICRS-TOPO", "UTC-ICRS-ELSEWHERE"))
    assert "UTC-ICRS-ELSEWHERE" in said("stilts", "xsdvalidate", schema, broken, status=1)


def test_an_event_says_what_the_packet_says(events):
    root = ET.parse(events["new"]).getroot()
    params = {param.get("name"): param for param in root.iter("Param")}
    assert set(params) == {*MEASURED, "false_alarm_probability", *PARAMETERS, *PARAMETERS.values()}
    assert float(params["false_alarm_probability"].get("value")) == 1e-6
    assert params["width_days"].get("unit") == "d" and params["baseline_jy"].get("unit") == "Jy"
    for param in params.values():
        parse_ucd(param.get("ucd"), check_controlled_vocabulary=True)
    assert [root.findtext(f".//{c}") for c in ("C1", "C2")] == ["128.7287", "55.5725"]
    assert float(root.findtext(".//Error2Radius")) == pytest.approx(1.5 / 3600, abs=1e-6)
    assert root.findtext(".//ISOTime") == "2025-10-12T06:00:00"
    assert root.find("Citations") is None and root.findtext("Why/Name") == "J0834+5534 <&>"
    for kind, cite in (("updated", "supersedes"), ("retracted", "retraction")):
        other = ET.parse(events[kind]).getroot()
        cited = other.find("Citations/EventIVORN")
        assert (cited.get("cite"), cited.text) == (cite, root.get("ivorn"))
        assert other.get("ivorn") != root.get("ivorn")
    assert other.find("WhereWhen") is None

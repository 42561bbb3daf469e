"""The validation passes a good mosaic and names what is wrong with a bad one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.cli import main
from contimg.core.fits import read_image
from contimg.core.records import write_record
from contimg.mosaic.command import MosaicFiles, run
from contimg.mosaic.options import MosaicOptions, ValidationOptions
from contimg.mosaic.validate import ValidationFiles
from contimg.mosaic.validate import run as validate
from mosaic.make_tiles import make_tile, mosaic_files
from mosaic.strip_truth import RMS, make_strip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Files of a mosaic of four tiles with nothing wrong."""
    folder = tmp_path_factory.mktemp("good")
    sky, made, centres = make_strip(folder, 0.0, 30.0)
    files = MosaicFiles(**mosaic_files(folder, made, "m"))
    run(files, MosaicOptions())
    return files, sky, made, centres


def validated(folder: Path, files: MosaicFiles, **options) -> dict:
    shown = ValidationFiles(
        **{
            key: getattr(files, key)
            for key in ("image", "residual", "weight", "rms", "coverage", "tiles")
        },
        mosaic_record=files.record,
        mosaic_plot=files.plot,
        plot=folder / "v.png",
        page=folder / "v.html",
        record=folder / "v.json",
    )
    validate(shown, ValidationOptions(**options))
    return json.loads(shown.record.read_text())


def changed(folder: Path, files: MosaicFiles, key: str, change) -> MosaicFiles:
    """The mosaic with one of its maps changed: change(data [y, x]) in place."""
    copy = folder / f"{key}.fits"
    shutil.copy(getattr(files, key), copy)
    with fits.open(copy, mode="update") as hdus:
        change(hdus[0].data[0, 0])
    return files.model_copy(update={key: copy})


def test_a_good_mosaic_passes_and_has_its_page(tmp_path, good):
    record = validated(tmp_path, good[0])
    assert record["verdict"] == "pass", record["reason"]
    assert len(record["checks"]) == 9 and record["data"]["tiles_compared"] == 4
    page = (tmp_path / "v.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "t3" in page
    assert "step across a tile&#x27;s edge" in page


def brightest(files):
    image = read_image(files.image).data
    return np.unravel_index(np.nanargmax(image), image.shape)


def noisy_region(data):
    data[40:200, 40:200] *= 5


def hole(data):
    data[100:160, 100:160] = 0


def nearly_nothing(data):
    data[:, 40:] = 0


def bowl(data):
    data[60:260, 60:260] -= 2 * RMS


def negative(data):
    good = np.argwhere(np.isfinite(data))
    data[tuple(good[::500].T)] = -20 * RMS


@pytest.mark.parametrize(
    ("key", "change", "metric"),
    [
        ("residual", noisy_region, "noise of the noisiest regions"),
        ("coverage", hole, "uncovered fraction inside"),
        ("coverage", nearly_nothing, "covered fraction of the grid"),
        ("residual", bowl, "background's lowest region"),
        ("image", negative, "below -5 sigma"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, good, key, change, metric):
    record = validated(tmp_path, changed(tmp_path, good[0], key, change))
    assert record["verdict"] != "pass" and metric in record["reason"]


def test_rings_are_found(tmp_path, good):
    y0, x0 = brightest(good[0])

    def ring(data):
        yy, xx = np.indices(data.shape)
        radius = np.hypot(yy - y0, xx - x0) / 8
        data[(radius > 4) & (radius < 5)] += 0.02

    record = validated(tmp_path, changed(tmp_path, good[0], "residual", ring))
    assert "ring around a bright source" in record["reason"]
    worst = max(record["data"]["bright_sources"], key=lambda s: abs(s["ring_fraction"]))
    assert worst["ring_radius_beams"] == pytest.approx(4.5)


def test_seams_are_found_and_where(tmp_path, good, unplotted):
    """One tile's background lies high: there are steps at its edges."""
    _, sky, made, centres = good
    noise = read_image(made[1]["residual"]).data.astype(float) + 6 * RMS
    rms = 1.2 * RMS
    high = make_tile(
        tmp_path, "t1", centres[1], sky, n=300, rms=rms, noise=noise / rms, drift=0.7 * 0.16,
        mjd=60953 + 309 / 86400,
    )  # fmt: skip
    files = MosaicFiles(**mosaic_files(tmp_path, [made[0], high, *made[2:]], "m"))
    run(files, MosaicOptions())
    files = files.model_copy(update={"plot": good[0].plot})
    record = validated(tmp_path, files)
    assert "step across a tile's edge" in record["reason"]
    assert "t1" in {s["tile"] for s in record["data"]["seams"]}


def test_tiles_that_disagree_are_found(tmp_path, good):
    files = good[0]
    text = files.tiles.read_text()
    header, *rows = text.splitlines()
    cells = rows[1].split(",")
    cells[header.split(",").index("offset_east_arcsec")] = "9.0"
    cells[header.split(",").index("flux_ratio")] = "1.4"
    wrong = tmp_path / "tiles.csv"
    wrong.write_text("\n".join([header, rows[0], ",".join(cells), *rows[2:]]) + "\n")
    record = validated(tmp_path, files.model_copy(update={"tiles": wrong}))
    assert record["verdict"] == "fail" and "flux scale" in record["reason"]
    offset = next(c for c in record["checks"] if c["metric"].startswith("offset of a tile"))
    assert offset["verdict"] == "warn"
    loose = validated(
        tmp_path, files.model_copy(update={"tiles": wrong}), max_flux_difference=0.5,
        max_offset_beams=0.5,
    )  # fmt: skip
    assert loose["verdict"] == "pass"


def test_a_failed_mosaic_has_a_failed_validation(tmp_path):
    record = tmp_path / "m.json"
    write_record(record, product="m", stage="mosaic", data={}, verdict="fail", reason="no tile")
    words = ["mosaic", "validate", "--mosaic-record", str(record)]
    for key in ("image", "residual", "weight", "rms", "coverage", "tiles", "mosaic-plot"):
        words += [f"--{key}", str(tmp_path / key)]
    outputs = {"plot": "v.png", "page": "v.html", "record": "v.json"}
    words += [w for key, name in outputs.items() for w in (f"--{key}", str(tmp_path / name))]
    assert main(words) == 0
    found = json.loads((tmp_path / "v.json").read_text())
    assert found["verdict"] == "fail" and "no tile" in found["reason"]
    assert all((tmp_path / name).exists() for name in outputs.values())

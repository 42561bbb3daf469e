"""How an imager can break, and what is said about it."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from contimg.cli import main
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import Beam, Image
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import write_record
from contimg.core.scratch import scratch_directory
from contimg.image import command, process, wsclean
from contimg.image.imager import check_deconvolution, restoring_beam
from contimg.image.options import ImageOptions
from contimg.image.process import run_imager
from truth.tiles import FITS, image, sky, with_sky

needs_wsclean = pytest.mark.skipif(shutil.which("wsclean") is None, reason="needs WSClean")
SMALL = ImageOptions(backend="auto", cell_arcsec=12, imsize=256)


@needs_wsclean
def test_a_crash_is_named_with_its_last_words(tmp_path):
    with pytest.raises(ContimgError, match=r"crashed with status \d+(.|\n)*none\.ms"):
        run_imager(
            ["wsclean", "-size", "64", "64", "-scale", "9asec", str(tmp_path / "none.ms")], tmp_path
        )


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(ContimgError, match="not installed"):
        run_imager(["no-such-imager"], tmp_path)


@needs_wsclean
def test_a_kill_is_named_and_leaves_nothing(tile, tmp_path, monkeypatch):
    """The real WSClean, killed while it works."""
    started = process.subprocess.Popen

    def doomed(*args, **kwargs):
        child = started(*args, **kwargs)
        threading.Timer(0.15, lambda: child.send_signal(signal.SIGKILL)).start()
        return child

    monkeypatch.setattr(process.subprocess, "Popen", doomed)
    with pytest.raises(ContimgError, match=r"killed by SIGKILL \(memory\?"):
        image(tile[0], tmp_path, ImageOptions(backend="auto", cell_arcsec=3, imsize=3000))
    assert [p.name for p in tmp_path.iterdir()] == ["ms.json"]


@needs_wsclean
@pytest.mark.parametrize("ignored", [True, False], ids=["write error", "signal"])
def test_a_full_disk_is_named(tile, tmp_path, monkeypatch, ignored):
    """The real WSClean with a limit on the size of its files, told by an error or by a signal."""
    started = subprocess.Popen
    monkeypatch.setattr(
        process.subprocess,
        "Popen",
        lambda *args, **kwargs: started(*args, restore_signals=not ignored, **kwargs),
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(ContimgError, match="disk full"):
            wsclean.make_images(tile[0], tmp_path, _grid(), _settings())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _settings():
    from contimg.image.tiers import effective

    return effective(SMALL, has_catalog=False)


def _grid():
    from contimg.image.grid import Grid

    return Grid(256, 12.0, (0.0, 0.0), Beam(0.02, 0.01, 0))


def test_a_full_disk_while_we_write_is_named(tmp_path):
    with (
        pytest.raises(ContimgError, match="disk full"),
        scratch_directory(tmp_path / "a.fits"),
    ):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_removed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from contimg.core.scratch import scratch_directory\n"
        f"with scratch_directory(Path({str(tmp_path / 'a.fits')!r})): time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    while not list(tmp_path.iterdir()):
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_directory(tmp_path / "a.fits") as scratch:
        assert list(tmp_path.iterdir()) == [scratch]


@needs_wsclean
def test_a_clean_that_diverges_is_a_data_failure(tile, tmp_path):
    """The real WSClean, multiscale with scales beyond the shortest baseline."""
    sources = sky(tile[0], ("G", 0.1, 0.1, 3.0))
    ms = with_sky(tile[0], tmp_path / "g.ms", sources, 0.3, gaussian_arcsec=160)
    options = {"deconvolver": "multiscale", "scales": [0, 20, 40], "niter": 3000, "robust": 0.5}
    with pytest.raises(DataQualityError, match="diverged"):
        image(ms, tmp_path / "out", SMALL.model_copy(update=options))


def images(**planes) -> dict[str, Image]:
    random = np.random.default_rng(0)
    noise = random.normal(0, 1e-3, (64, 64))
    dirty = noise.copy()
    dirty[32, 32] = 1.0
    model = np.zeros((64, 64))
    model[32, 32] = 1.0
    made = {"dirty": dirty, "residual": noise, "model": model, "image": dirty, **planes}
    beam = Beam(0.01, 0.01, 0.0)
    return {name: Image(data, None, beam, None, None) for name, data in made.items()}


@pytest.mark.parametrize(
    ("planes", "log", "reason"),
    [
        ({"residual": np.random.default_rng(1).normal(0, 1, (64, 64))}, "", "left of"),
        ({"residual": np.where(np.eye(64) > 0, 5.0, 0.0)}, "", "residual peaks"),
        ({"model": np.where(np.eye(64) > 0, 9.0, 0.0)}, "", "component of 9"),
        ({"model": np.full((64, 64), np.nan)}, "", "component of nan"),
        ({}, "WARNING: Clean has diverged", "imager says so"),
    ],
)
def test_divergence_has_its_signs(planes, log, reason):
    with pytest.raises(DataQualityError, match=reason):
        check_deconvolution(images(**planes), log)


def test_a_good_clean_is_no_divergence():
    found = check_deconvolution(images())
    assert found["model_flux_jy"] == pytest.approx(1) and found["model_min_jy"] == 0


@pytest.mark.parametrize("beam", [None, Beam(np.nan, 0.1, 0), Beam(0.1, 0.0, 0)])
def test_a_beam_that_is_none_is_a_data_failure(beam):
    with pytest.raises(DataQualityError, match="beam"):
        restoring_beam(Image(np.ones((4, 4)), None, beam, None, None))


def test_placeholders_of_all_products(tile, tmp_path, monkeypatch):
    """Bad data leave a record with the reason and something at every path."""
    record = tmp_path / "ms.json"
    data = {"group": "g", "ra_deg": 0.0, "dec_deg": 0.0, "calsets": ["none"]}
    write_record(record, product="tile", stage="apply", data=data)

    def bad(*args, **kwargs):
        raise DataQualityError("the deconvolution diverged: so it is")

    monkeypatch.setattr(command.wsclean, "make_images", bad)
    words = ["image", "--ms", str(tile[0]), "--ms-record", str(record)]
    names = {**{n: f"{n}.fits" for n in FITS}, "plot": "p.png", "page": "p.html"}
    for name, file in {**names, "record": "r.json"}.items():
        words += [f"--{name}", str(tmp_path / file)]
    words += ["--backend", "wsclean", "--cell-arcsec", "12", "--imsize", "256"]
    assert main(words) == 0
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["verdict"] == "fail" and "so it is" in content["reason"]
    assert all((tmp_path / file).exists() for file in names.values())


def test_a_tile_that_was_not_calibrated_is_refused(tmp_path):
    record = tmp_path / "t.json"
    write_record(record, product="t.ms", stage="convert", data={"group": "20251005T034512"})
    names = ["image", "residual", "psf", "model", "pb", "pbcor", "rms", "plot", "page", "record"]
    outputs = {name: tmp_path / name for name in names}
    files = command.ImageFiles(ms=tmp_path / "t.ms", ms_record=record, **outputs)
    with pytest.raises(ContimgError, match=r"calibrate it first \(contimg apply\)"):
        command.run(files, InstrumentOptions(), ImageOptions())

"""Imaging with WSClean."""

from __future__ import annotations

from pathlib import Path

from astropy.coordinates import SkyCoord
from astropy.io import fits

from contimg.core.errors import ContimgError
from contimg.core.plain import plain
from contimg.image.grid import Grid
from contimg.image.imager import ImagerOutput
from contimg.image.options import ImageOptions
from contimg.image.process import run_imager
from contimg.image.units import flux_jy

_MULTISCALE_GAIN = 0.1  # WSClean's own 0.2 diverges where short baselines are few
PRODUCTS = ("image", "residual", "psf", "model", "dirty")


def arguments(
    grid: Grid, options: ImageOptions, mask: Path | None, threads: int, shifted: bool
) -> list[str]:
    """WSClean's arguments for effective `options`, without the names of its files."""
    words: list[object] = [
        *("-size", grid.size, grid.size),
        *("-scale", f"{grid.cell_arcsec}asec"),
        *("-weight", options.weighting, *([] if options.robust is None else [options.robust])),
        *("-pol", "I", "-data-column", "DATA"),
        *("-niter", options.niter, "-mgain", options.mgain),
        *("-auto-mask", options.auto_mask, "-auto-threshold", options.auto_threshold),
        *("-no-update-model-required", "-make-psf", "-j", threads),
    ]
    if shifted:
        centre = SkyCoord(*grid.center_rad, unit="rad")
        words += ["-shift", *centre.to_string("hmsdms", precision=5).split()]
    if options.uv_min_lambda > 0:
        words += ["-minuv-l", options.uv_min_lambda]
    if options.gridder == "wgridder":
        words += ["-use-wgridder", "-wgridder-accuracy", options.gridder_accuracy]
    if options.deconvolver == "hogbom":
        words += ["-no-fast-subminor"]  # clark is WSClean's default
    if options.deconvolver == "multiscale":
        words += ["-multiscale", "-multiscale-scales", ",".join(map(str, options.scales or []))]
        words += ["-multiscale-gain", _MULTISCALE_GAIN]
    if (options.channels_out or 1) > 1:
        words += ["-channels-out", options.channels_out, "-join-channels"]
        if options.nterms > 1:
            words += ["-fit-spectral-pol", options.nterms]
    for flag, value in (
        ("-maxuv-l", options.uv_max_lambda),
        ("-gain", options.gain),
        ("-nmiter", options.major_cycles),
        ("-beam-fitting-size", options.beam_fitting_size),
        ("-baseline-averaging", options.baseline_averaging_lambda),
        ("-abs-mem", options.memory_gb),
        ("-threshold", None if options.threshold is None else flux_jy(options.threshold)),
        ("-fits-mask", mask),
    ):
        if value is not None:
            words += [flag, value]
    return [str(word) for word in words]


def make_images(
    ms: Path,
    scratch: Path,
    grid: Grid,
    options: ImageOptions,
    *,
    mask: Path | None = None,
    threads: int = 1,
    shifted: bool = False,
) -> ImagerOutput:
    """Run WSClean on the first field of `ms`."""
    name = scratch / "tile"
    command = [
        *("wsclean", "-name", str(name), "-temp-dir", str(scratch)),
        *arguments(grid, options, mask, threads, shifted),
        plain(ms),
    ]
    log = run_imager(command, scratch)
    channels = options.channels_out or 1
    whole = f"{name}-MFS" if channels > 1 else str(name)
    parts = [f"{name}-{k:04d}" for k in range(channels)] if channels > 1 else [str(name)]
    paths = {product: Path(f"{whole}-{product}.fits") for product in PRODUCTS}
    if options.niter == 0:
        paths["residual"] = paths["dirty"]
        del paths["model"]
    absent = [p.name for p in paths.values() if not p.exists()]
    if absent:
        raise ContimgError(f"WSClean did not write {', '.join(absent)}; see the log")
    gridded = None
    if options.baseline_averaging_lambda is None:  # which puts visibilities together
        gridded = sum(_gridded(Path(f"{part}-psf.fits")) for part in parts)
    version = str(fits.getheader(paths["image"]).get("WSCVERSI", "unknown"))
    return ImagerOutput(
        paths, gridded, f"WSClean {version}", log, [Path(f"{p}-image.fits") for p in parts]
    )


def _gridded(psf: Path) -> int:
    """Number of visibilities gridded, which WSClean writes into its images."""
    header = fits.getheader(psf)
    if "WSCNVIS" not in header:
        raise ContimgError(f"{psf.name} does not tell how many visibilities WSClean gridded")
    return int(header["WSCNVIS"])

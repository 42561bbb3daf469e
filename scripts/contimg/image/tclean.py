"""Imaging with CASA's tclean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from astropy.io import fits

from contimg.core.casa import casa_session
from contimg.core.errors import ContimgError
from contimg.core.plain import plain
from contimg.image.grid import Grid
from contimg.image.imager import ImagerOutput
from contimg.image.options import ImageOptions
from contimg.image.units import flux_jy

PRODUCTS = ("image", "residual", "psf", "model")


def parameters(grid: Grid, options: ImageOptions, shifted: bool) -> dict[str, Any]:
    """What describes the image, for effective `options`; the same for dirty and clean."""
    ra, dec = grid.center_rad
    scales = options.scales or [] if options.deconvolver == "multiscale" else []
    spectral = {"deconvolver": "mtmfs", "nterms": options.nterms, "scales": scales or [0]}
    single = {"deconvolver": options.deconvolver, "scales": scales}
    chosen: dict[str, Any] = {
        "datacolumn": "data",
        "specmode": "mfs",
        "stokes": "I",
        "imsize": grid.size,
        "cell": f"{grid.cell_arcsec}arcsec",
        "weighting": options.weighting,
        "uvrange": _uvrange(options),
        "gridder": options.gridder,
        "pblimit": -1e-6,
        "restoration": True,
        "savemodel": "none",
        **(spectral if options.nterms > 1 else single),
    }
    if shifted:
        chosen["phasecenter"] = f"ICRS {ra!r}rad {dec!r}rad"
    if options.robust is not None:
        chosen["robust"] = options.robust
    if options.gridder == "wproject":
        chosen["wprojplanes"] = options.wprojplanes or -1
    if options.psf_cutoff is not None:
        chosen["psfcutoff"] = options.psf_cutoff
    return chosen


def clean_parameters(options: ImageOptions, mask: str | None) -> dict[str, Any]:
    """What describes the clean: `mask` is a CASA image."""
    threshold = 0.0 if options.threshold is None else flux_jy(options.threshold)
    chosen: dict[str, Any] = {
        "niter": options.niter,
        "threshold": f"{threshold}Jy",
        "nsigma": options.auto_threshold,  # of the residual, measured in every major cycle
        "cycleniter": -1,
        "restart": True,
        "calcpsf": False,
        "calcres": False,
    }
    if options.gain is not None:
        chosen["gain"] = options.gain
    if options.major_cycles is not None:
        chosen["nmajor"] = options.major_cycles
    if mask is not None:
        return {**chosen, "usemask": "user", "mask": mask}
    return {
        **chosen,
        "usemask": "auto-multithresh",
        "noisethreshold": options.auto_mask,
        "sidelobethreshold": 1.0,
        "lownoisethreshold": 1.5,
        "minbeamfrac": 0.0,
    }


def _uvrange(options: ImageOptions) -> str:
    if options.uv_max_lambda is not None:
        return f"{options.uv_min_lambda}~{options.uv_max_lambda}lambda"
    return f">{options.uv_min_lambda}lambda" if options.uv_min_lambda else ""


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
    """Run tclean."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when casatools is loaded
    with casa_session():
        import casatools
        from casatasks import exportfits, tclean

        name = str(scratch / "tile")
        first = ".tt0" if options.nterms > 1 else ""
        common = {"vis": plain(ms), "imagename": name, **parameters(grid, options, shifted)}
        paths: dict[str, Path] = {}

        def export(product: str, target: str) -> None:
            source = f"{name}.{product}{first}"
            if not Path(source).is_dir():
                raise ContimgError(f"tclean did not write {source}; see the log")
            paths[target] = scratch / f"tile-{target}.fits"
            exportfits(
                imagename=source, fitsimage=str(paths[target]), velocity=False, dropdeg=False
            )

        tclean(niter=0, **common)
        export("residual", "dirty")
        if options.niter:
            table = None
            if mask is not None:
                table = f"{name}.allowed"
                _import_mask(mask, f"{name}.residual{first}", table)
            tclean(**common, **clean_parameters(options, table))
        for product in PRODUCTS:
            if product != "model" or options.niter:
                export(product, product)
        weight = None
        if not _uvrange(options):
            weight = _gridded_weight({**common, "imagename": f"{name}.count"})
        software = f"CASA {casatools.version_string()}"
        return ImagerOutput(paths, None, software, gridded_weight=weight)


def _gridded_weight(common: dict[str, Any]) -> float:
    """Sum of the weights of the visibilities that tclean selects and grids.

    It does not count them, and Briggs weighting changes their weights: so those of a small image
    of natural weight. With a uv range it takes and leaves whole rows, which we do not follow.
    """
    import casatools
    from casatasks import tclean

    small = {"imsize": 64, "weighting": "natural", "gridder": "standard", "restoration": False}
    plain = {"deconvolver": "hogbom", "nterms": 1, "scales": [], "robust": 0.0, "wprojplanes": 1}
    tclean(niter=0, calcres=False, **{**common, **small, **plain})
    image = casatools.image()
    image.open(f"{common['imagename']}.sumwt")
    total = float(image.getchunk().sum())
    image.close()
    return total


def _import_mask(mask: Path, like: str, target: str) -> None:
    """A FITS mask as a CASA image with the coordinates of another one."""
    import casatools

    plane = fits.getdata(mask)[0, 0]
    image = casatools.image()
    image.fromimage(outfile=target, infile=like)
    image.open(target)
    image.putchunk(plane.T[:, :, None, None].astype(float))
    image.close()

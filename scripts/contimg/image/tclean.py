"""Imaging with CASA's tclean, when WSClean is not there."""

from __future__ import annotations

from pathlib import Path

from contimg.core.casa import casa_session
from contimg.core.errors import ContimgError
from contimg.image.options import ImageOptions


def make_images(
    ms: Path, scratch: Path, size: int, cell_arcsec: float, options: ImageOptions
) -> dict[str, Path]:
    """Run tclean; its products by name, as FITS files."""
    from contimg.image.wsclean import PRODUCTS

    with casa_session():
        from casatasks import exportfits, imstat, tclean

        name = str(scratch / "tile")
        common = {
            "vis": str(ms),
            "imagename": name,
            "datacolumn": "data",
            "specmode": "mfs",
            "stokes": "I",
            "imsize": size,
            "cell": f"{cell_arcsec}arcsec",
            "weighting": "briggs",
            "robust": options.robust,
            "uvrange": f">{options.uv_min_lambda}lambda" if options.uv_min_lambda else "",
            "gridder": "wproject",
            "wprojplanes": -1,
            "deconvolver": "hogbom",
            "pblimit": -1e-6,
            "restoration": True,
        }
        tclean(niter=0, savemodel="none", **common)
        rms = imstat(f"{name}.residual")["medabsdevmed"][0] * 1.4826
        tclean(
            niter=options.niter,
            threshold=f"{rms * options.auto_threshold}Jy",
            usemask="auto-multithresh",
            noisethreshold=options.auto_mask,
            sidelobethreshold=1.0,
            lownoisethreshold=1.5,
            minbeamfrac=0.0,
            cycleniter=-1,
            restart=True,
            calcpsf=False,
            calcres=False,
            savemodel="none",
            **common,
        )
        paths = {}
        for product in PRODUCTS:
            source, target = f"{name}.{product}", scratch / f"tile-{product}.fits"
            if not Path(source).is_dir():
                raise ContimgError(f"tclean did not write {source}; see the log")
            exportfits(imagename=source, fitsimage=str(target), velocity=False, dropdeg=False)
            paths[product] = target
    return paths

"""Imaging with WSClean."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import read_image, robust_rms
from contimg.image.options import ImageOptions

PRODUCTS = ("image", "residual", "psf", "model")


def make_images(
    ms: Path, scratch: Path, size: int, cell_arcsec: float, threads: int, options: ImageOptions
) -> tuple[dict[str, Path], int]:
    """Run WSClean; its products by name, and the number of visibilities it gridded."""
    name = scratch / "tile"
    command = [
        "wsclean",
        *("-name", str(name)),
        *("-size", str(size), str(size)),
        *("-scale", f"{cell_arcsec}asec"),
        *("-weight", "briggs", str(options.robust)),
        *("-pol", "I", "-data-column", "DATA"),
        *("-niter", str(options.niter), "-mgain", str(options.mgain)),
        *("-auto-mask", str(options.auto_mask)),
        *("-auto-threshold", str(options.auto_threshold)),
        *("-minuv-l", str(options.uv_min_lambda)),
        *("-use-wgridder", "-no-update-model-required", "-make-psf"),
        *("-temp-dir", str(scratch), "-j", str(threads)),
        str(ms),
    ]
    print(" ".join(command), file=sys.stderr, flush=True)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=scratch
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        sys.stderr.write(line)
        lines.append(line)
    status = process.wait()
    if status < 0:
        raise ContimgError(f"WSClean was killed by signal {-status} (memory?); see the log")
    if status > 0:
        raise ContimgError(f"WSClean failed with status {status}: {''.join(lines[-3:]).strip()}")
    text = "".join(lines)
    paths = {product: Path(f"{name}-{product}.fits") for product in PRODUCTS}
    absent = [p.name for p in paths.values() if not p.exists()]
    if absent:
        raise ContimgError(f"WSClean did not write {', '.join(absent)}; see the log")
    dirty, residual = (
        robust_rms(read_image(f"{name}-{kind}.fits").data) for kind in ("dirty", "residual")
    )
    if not residual < 2 * dirty:
        raise DataQualityError(
            f"the deconvolution diverged: {residual:.3g} Jy/beam left of {dirty:.3g} (dirty image)"
        )
    return paths, _gridded(text)


def _gridded(text: str) -> int:
    """Number of visibilities gridded for the point-spread function, from WSClean's report."""
    match = re.search(r"Gridded visibility count:\s*([\d.eE+]+)", text) or re.search(
        r"Total nr\. of visibilities to be gridded:\s*([\d.eE+]+)", text
    )
    if match is None:
        raise ContimgError("WSClean's report does not tell how many visibilities it gridded")
    return int(float(match[1]))

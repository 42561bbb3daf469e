"""The sky model of a calibrator observation, and its visibilities in MODEL_DATA.

:func:`sky_model` collects the sources, :func:`write_model` fills MODEL_DATA. The latter takes
``kind``, what the model is made from, and ``path``, the file or directory of the kinds that
need one:

=========== ============================ =======================================================
kind        path                         model
=========== ============================ =======================================================
catalog     none                         the sources of :func:`sky_model`, each seen through the
                                         moving beam, by :mod:`contimg.core.predict`
setjy       none                         the calibrator alone, by CASA's setjy and `standard`,
                                         times the moving beam
component   CASA component list (.cl)    its components (points and Gaussians; constant spectra
                                         and spectral indices) through the moving beam
image       FITS or CASA image, Jy/pixel the image, by ``wsclean -predict`` or else CASA's ft; no
                                         beam is applied: it must show the apparent sky
=========== ============================ =======================================================

A beam that moves over the sources cannot be put on an image; for drift scans that matters.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from contimg.calibrate.components import read_components
from contimg.core.beam import PrimaryBeam
from contimg.core.calibrators import read_calibrators, scale_origin
from contimg.core.catalog import COLUMNS, SIZES, extended, flux_density, read_sources
from contimg.core.constants import C_M_S
from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.core.ms import Axes, open_table
from contimg.core.predict import apparent_flux, beam_track, predict
from contimg.core.shared import FieldScale
from contimg.core.standards import STANDARDS, canonical

Kind = Literal["catalog", "setjy", "component", "image"]
STANDARD = "Perley-Butler 2017"
_SAME_SOURCE_ARCSEC = 15.0  # a catalogue entry this near is the calibrator itself
_SAME_SOURCE_RAD = np.radians(_SAME_SOURCE_ARCSEC / 3600)
_AT_CENTRE_RAD = np.radians(1 / 3600)
_W_PHASE_RAD = 0.01  # CASA's ft has no term in w; more than this needs WSClean


class ModelFiles(Protocol):
    """What :func:`sky_model` needs of a command's files."""

    calibrator: str
    calibrators: Path
    catalog: Path | None
    deep: list[Path]


class ModelLimit(Protocol):
    """What it needs of a command's options: the faintest apparent flux density [Jy]."""

    model_min_jy: float


def sky_model(
    files: ModelFiles,
    axes: Axes,
    beam: PrimaryBeam,
    options: ModelLimit,
    *,
    field_scale: FieldScale = "never",
) -> pd.DataFrame:
    """The calibrator (first row) and, of catalogue and deep mosaics, all that is bright enough.

    ``attrs["without_flux"]`` counts the rows of the catalogue that have no flux density and are
    therefore not in the model; ``attrs["scale"]`` says what sets the flux scale, and why, of
    :func:`contimg.core.calibrators.scale_origin`. Raises :class:`ContimgError` for a calibrator
    that is not in the table, has no flux density (there is no default), or may not set the flux
    scale when `field_scale` does not let the field do so.
    """
    table = read_calibrators(files.calibrators)
    calibrator = table[table["name"] == files.calibrator]
    if calibrator.empty:
        raise ContimgError(f"{files.calibrators}: no calibrator named {files.calibrator}")
    origin, why = scale_origin(calibrator.iloc[0], field_scale)
    if not origin:
        raise ContimgError(
            f"{files.calibrators}: {files.calibrator} cannot set the flux scale: {why}"
        )
    calibrator = calibrator[[*COLUMNS, "log_poly"]]
    if files.catalog is None:
        calibrator.attrs |= {"without_flux": 0, "scale": (origin, why)}
        return calibrator
    field = read_sources(files.catalog)
    for path in files.deep:
        field = extended(field, read_sources(path), _SAME_SOURCE_ARCSEC)
    middle = float(axes.freq_hz.mean())
    flux = flux_density(field, middle)[:, 0]
    without_flux = int((~np.isfinite(flux)).sum())
    field = field[flux >= options.model_min_jy]  # the beam can only make them fainter; no NaN
    at = np.radians(calibrator[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0])
    distance = separation(
        np.radians(field["ra_deg"].to_numpy()), np.radians(field["dec_deg"].to_numpy()), *at
    )
    bright = apparent_flux(field, beam, middle, axes.pointing_rad) >= options.model_min_jy
    columns = [c for c in (*COLUMNS, "log_poly", *SIZES) if c in field.columns]
    model = pd.concat(
        [calibrator, field.loc[bright & (distance > _SAME_SOURCE_RAD), columns]], ignore_index=True
    )
    model.attrs |= {"without_flux": without_flux, "scale": (origin, why)}
    return model


def write_model(
    ms: Path,
    axes: Axes,
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    *,
    kind: Kind = "catalog",
    path: Path | None = None,
    standard: str = STANDARD,
    threads: int = 1,
) -> dict[str, Any]:
    """Fill MODEL_DATA of `ms`, equal in both correlations; say what the model is, for the record.

    `sources` is of :func:`sky_model`, its first row the calibrator. Kinds other than ``catalog``
    run CASA and must be called inside :func:`contimg.core.casa.casa_session`, `ms` and `path`
    absolute. `ms` must be a copy: CASA's tools also write elsewhere in it. Raises
    :class:`ContimgError` when the model cannot be made.
    """
    if (path is not None) != (kind in ("component", "image")):
        wants = "needs a file" if path is None else "takes no file"
        raise ContimgError(f"a model of the kind {kind} {wants} (model_path)")
    if path is not None and not path.exists():
        raise ContimgError(f"{path}: model not found (model_path)")
    if kind == "catalog":
        _write(ms, axes, predict(sources, beam, axes))
        return {"kind": kind, "sources": len(sources)}
    if kind == "setjy":
        flux = _setjy(ms, axes, sources.iloc[:1], beam, standard)
        return {"kind": kind, "standard": standard, "flux_jy": flux}
    assert path is not None
    if kind == "component":
        components = read_components(path)
        _write(ms, axes, predict(components, beam, axes))
        return {"kind": kind, "path": str(path), "sources": len(components)}
    program = _image(ms, axes, path, threads)
    return {"kind": kind, "path": str(path), "program": program}


def _write(ms: Path, axes: Axes, model) -> None:
    """MODEL_DATA from Stokes I of each time, (baseline, channel)."""
    from casacore import tables

    n_base, n_chan = axes.shape[1], axes.freq_hz.size
    with open_table(ms, writable=True) as table:
        n_corr = table.getcell("DATA", 0).shape[-1]
        if "MODEL_DATA" not in table.colnames():
            description = tables.makearrcoldesc(
                "MODEL_DATA", 0j, ndim=2, shape=[n_chan, n_corr], valuetype="complex"
            )
            # tiled like DATA: CASA reads both side by side
            manager = table.getdminfo("DATA") | {"NAME": "TiledMODEL_DATA"}
            table.addcols(tables.maketabdesc([description]), manager)
        for time, stokes_i in enumerate(model):
            block = np.repeat(stokes_i[..., None], n_corr, axis=2)
            table.putcol("MODEL_DATA", block, startrow=time * n_base, nrow=n_base)


def _setjy(
    ms: Path, axes: Axes, calibrator: pd.DataFrame, beam: PrimaryBeam, standard: str
) -> float:
    """setjy and the beam; the flux density at the middle of the band [Jy].

    setjy knows a source by the name of its field, puts it at the phase centre, and sets 1 Jy
    where it does not know the name: each is checked.
    """
    from casatasks import setjy

    name = str(calibrator["name"].iloc[0])
    known = canonical(name)
    if known not in STANDARDS.get(standard, {}):
        raise ContimgError(
            f"{name} is not a source of the standard {standard!r}; standards:"
            f" {', '.join(STANDARDS)}, sources: {', '.join(STANDARDS.get(standard, {}))}"
        )
    position = np.radians(calibrator[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0])
    away = float(separation(*position, *axes.phase_center_rad))
    if away > _AT_CENTRE_RAD:
        raise ContimgError(
            f"{name} is {np.degrees(away) * 3600:.1f} arcsec from the phase centre, where setjy"
            " would put it; use the model kind catalog"
        )
    with open_table(f"{ms}/FIELD", writable=True) as field:
        names = field.getcol("NAME")
        field.putcol("NAME", [known] * len(names))
    setjy(vis=str(ms), standard=standard, model="", scalebychan=True, usescratch=True)
    with open_table(f"{ms}/FIELD", writable=True) as field:
        field.putcol("NAME", names)
    response = beam_track(calibrator, beam, axes.freq_hz, axes.pointing_rad)[:, 0]  # (time, chan)
    n_base = axes.shape[1]
    with open_table(ms, writable=True) as table:
        flux = table.getcell("MODEL_DATA", 0)[axes.freq_hz.size // 2, 0].real
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            model = table.getcol("MODEL_DATA", **rows) * response[time, :, None]
            table.putcol("MODEL_DATA", model.astype(np.complex64), **rows)
    return float(flux)


def _image(ms: Path, axes: Axes, path: Path, threads: int) -> str:
    """Predict an image, by WSClean or, without it, CASA's ft; the program used."""
    wsclean = shutil.which("wsclean")
    with tempfile.TemporaryDirectory(prefix="contimg-model-", dir=ms.parent) as scratch:
        fits = Path(scratch) / "sky-model.fits"
        if path.is_dir():
            from casatasks import exportfits

            exportfits(imagename=str(path), fitsimage=str(fits), stokeslast=False)
        else:
            shutil.copyfile(path, fits)
        _check_image(fits, path)
        if wsclean is None:
            _check_w(fits, path, axes)
            _ft(ms, fits, Path(scratch))
        else:
            command = [wsclean, "-predict", "-name", str(Path(scratch) / "sky"), "-pol", "I"]
            command += ["-use-wgridder", "-wgridder-accuracy", "1e-6", "-j", str(threads)]
            # WSClean's default, resampling the image to the resolution of the baselines, loses
            # half of the amplitude of a source 0.5 deg from the centre on the longest ones
            command += ["-no-small-inversion"]
            command += ["-temp-dir", scratch, str(ms)]
            print(" ".join(command), file=sys.stderr, flush=True)
            result = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
            sys.stderr.write(result.stdout)
            if result.returncode:
                tail = " ".join((result.stderr or result.stdout).split()[-30:])
                raise ContimgError(f"wsclean -predict of {path} failed: {tail}")
    with open_table(ms) as table:
        if "MODEL_DATA" not in table.colnames() or not table.getcol("MODEL_DATA").any():
            raise ContimgError(f"{path}: the image gives no visibilities; does it cover the field?")
    return "CASA ft" if wsclean is None else "wsclean"


def _check_image(fits: Path, path: Path) -> None:
    """Refuse what would be predicted wrongly."""
    from astropy.io import fits as pyfits

    try:
        with pyfits.open(fits) as content:
            header, data = content[0].header, content[0].data
    except OSError as error:
        raise ContimgError(f"{path}: not a FITS image ({error})") from None
    unit = str(header.get("BUNIT", "")).replace(" ", "").lower()
    if unit not in ("jy/pixel", "jy/pix"):
        raise ContimgError(
            f"{path}: its unit is {header.get('BUNIT', 'not given')!r}; a model is in Jy/pixel"
        )
    if data is None or data.size != data.shape[-1] * data.shape[-2]:
        raise ContimgError(f"{path}: not one plane of Stokes I")
    if not np.isfinite(data).all():
        raise ContimgError(f"{path}: has pixels that are not finite; a model must be zero there")


def _check_w(fits: Path, path: Path, axes: Axes) -> None:
    """Refuse an image whose brightness lies so far out that the term in w counts."""
    from astropy.io import fits as pyfits

    with pyfits.open(fits) as content:
        header = content[0].header
        y, x = np.nonzero(np.squeeze(content[0].data))
    out = np.hypot(
        np.radians((x + 1 - header["CRPIX1"]) * header["CDELT1"]),
        np.radians((y + 1 - header["CRPIX2"]) * header["CDELT2"]),
    ).max(initial=0.0)
    turns = np.abs(axes.uvw_m[..., 2]).max() * axes.freq_hz.max() / C_M_S * out**2 / 2
    if 2 * np.pi * turns > _W_PHASE_RAD:
        raise ContimgError(
            f"{path}: reaches {np.degrees(out):.2f} deg from its centre, too far for CASA's ft;"
            " install wsclean or use the model kind catalog"
        )


def _ft(ms: Path, fits: Path, scratch: Path) -> None:
    from casatasks import ft, importfits

    image = str(scratch / "sky.im")
    importfits(
        fitsimage=str(fits), imagename=image, defaultaxes=True, defaultaxesvalues=["", "", "", "I"]
    )
    ft(vis=str(ms), model=image, usescratch=True)

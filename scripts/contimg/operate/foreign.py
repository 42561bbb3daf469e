"""Verdicts on files that no record speaks for: raw data, Measurement Sets, images, tables."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError
from contimg.core.records import Check, check, read_record, worst

FAST_PART = 0.01  # of the pixels
MAX_BLANK = 0.9  # part of an image without data
PIXELS_A_BEAM = 2.5  # across the minor axis


def judge_file(file: Path, *, fast: bool) -> dict[str, Any]:
    """What is thought of a file: kind, item, stage, verdict, reason, record, checks."""
    kind, checks = _checked(file, fast)
    verdict = worst(checks)
    reason = "; ".join(c.reason for c in checks if c.verdict == verdict and c.reason)
    return {
        **{"kind": kind, "item": str(file), "stage": "file", "verdict": verdict},
        **{"reason": reason, "record": "", "checks": [asdict(c) for c in checks]},
    }


def _checked(file: Path, fast: bool) -> tuple[str, list[Check]]:
    suffix = file.suffix.lower()
    if suffix in {".hdf5", ".uvh5", ".ms"}:
        return "ms" if suffix == ".ms" else "uvh5", _validated(file, suffix == ".ms", fast)
    if suffix in {".fits", ".fit"} and _holds_image(file):
        return "image", check_image(file, fast)
    if suffix in {".csv", ".parquet", ".ecsv", ".vot", ".xml", ".fits", ".fit"}:
        return "catalogue", check_catalogue(file)
    raise ContimgError(
        f"{file}: neither raw data, Measurement Set, FITS image nor table of sources"
    )


def _validated(file: Path, is_ms: bool, fast: bool) -> list[Check]:
    """The checks of ``contimg validate``, which reads the data themselves."""
    from contimg.cli import build_parser, load, read

    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        words = ["--ms" if is_ms else "--files", str(file), "--record", str(record)]
        command = load("validate")
        files, options = read(
            command, build_parser("validate").parse_args([*words, *["--quick"] * fast])
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(ContimgError):
            command.run(files, *options)  # a check that failed is in the record
        if not record.exists():
            return [Check("readable", None, "", "", "fail", f"{file} cannot be read")]
        return [Check(**entry) for entry in read_record(record)["checks"]]


def _holds_image(file: Path) -> bool:
    from astropy.io import fits

    try:
        with fits.open(file) as hdus:
            return hdus[0].header.get("NAXIS", 0) >= 2
    except OSError as error:
        raise ContimgError(f"{file}: cannot be read as FITS ({error})") from None


def check_image(file: Path, fast: bool) -> list[Check]:
    """Checks of a FITS image by itself: data, beam, sampling, noise against peak, sums."""
    import numpy as np

    from contimg.core.fits import in_jansky, read_image
    from contimg.core.robust import robust_rms
    from contimg.core.seals import verified

    try:
        picture = read_image(file if fast else verified(file))
    except ContimgError as error:
        return [Check("readable", None, "", "", "fail", str(error))]
    checks = []
    try:
        picture = in_jansky(picture, file)
    except ContimgError as error:
        checks.append(Check("unit", None, "", "Jy/beam", "warn", str(error)))
    step = max(1, round(FAST_PART**-0.5)) if fast else 1
    sample, good = picture.data[::step, ::step], np.isfinite(picture.data)
    checks.append(check("part without data", float(1 - good.mean()), fail_above=MAX_BLANK))
    if picture.beam is None:
        checks.append(Check("restoring beam", None, "", "", "fail", "no beam in the header"))
    else:
        across = picture.beam.minor_deg / picture.cell_deg
        checks.append(check("pixels across the minor axis", across, warn_below=PIXELS_A_BEAM))
    if good.any():
        rms = robust_rms(sample[np.isfinite(sample)])
        peak = float(np.max(picture.data[good]))
        hole = float(-np.min(picture.data[good]))
        checks += [
            check("noise", rms, "" if checks[0].metric == "unit" else "Jy/beam", fail_below=1e-30),
            check("peak over noise", peak / rms if rms else float("nan"), warn_below=5.0),
            check("deepest hole over the peak", hole / peak if peak else 0.0, warn_above=0.5),
        ]
    return checks


def check_catalogue(file: Path) -> list[Check]:
    """Checks of a table of sources, by the reader that all stages use."""
    from contimg.core.catalog import flux_density, read_sources

    try:
        table = read_sources(file)
    except ContimgError as error:
        return [Check("readable", None, "", "", "fail", str(error))]
    known = float((flux_density(table, 1.4e9)[:, 0] > 0).mean()) if len(table) else 0.0
    return [
        check("sources", float(len(table)), fail_below=1),
        check("part with a flux density", known, warn_below=0.5),
    ]

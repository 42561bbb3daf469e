"""What a conversion says of itself: its record, its checks, the picture of its flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contimg.convert.options import ConvertOptions
from contimg.convert.prepare import Prepared
from contimg.core.errors import DataQualityError
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import Check, check, write_record
from contimg.flag.options import FlagOptions

if TYPE_CHECKING:
    from contimg.convert.stream import Streamed
    from contimg.flag.summary import Tally

Three = tuple[InstrumentOptions, ConvertOptions, FlagOptions]


def record_conversion(
    record: Path,
    product: str,
    plot: Path | None,
    group: Prepared,
    streamed: Streamed,
    later: dict[str, float],
    tally: Tally,
    options: Three,
) -> None:
    """Write the record of a conversion, and the picture of its flags if there is a `plot`.

    `later` is what steps on the whole Measurement Set flagged; `tally` counts what is flagged in
    the end. :class:`DataQualityError` when too little is left.
    """
    from contimg.flag.summary import checks as flag_checks
    from contimg.flag.summary import for_record, summarise

    instrument, convert, flag = options
    flagged = summarise(tally, streamed.counts.by_step | later)
    missing = _missing(group, streamed, instrument)
    usable = usable_of_what_is_there(flagged, instrument.subbands, len(missing))
    if usable < flag.usable_fail:
        raise DataQualityError(f"{usable:.1%} of the data usable, {flag.usable_fail:.0%} needed")
    if plot is not None:
        from contimg.flag.plot import draw

        draw(flagged, plot, Path(product).stem)
    effective = effective_fraction(streamed.weight)
    write_record(
        record,
        product=product,
        stage="convert",
        data=_data(group, streamed, missing, effective) | for_record(flagged),
        checks=[
            *flag_checks(flagged | {"usable_fraction": usable}, flag),
            check(
                "effective fraction of the data, by their weights",
                effective,
                warn_below=convert.effective_warn,
                fail_below=convert.effective_fail,
            ),
            *_checks(missing, group, convert),
        ],
        options=options,
        inputs=group.inputs,
    )


def effective_fraction(weight: NDArray) -> float:
    """(sum w)^2 / (N sum w^2) of the weights above zero: part of the data that decides.

    One where all are alike; small where few rows decide. NaN without any.
    """
    some = weight[weight > 0].astype(float)
    return float(some.sum() ** 2 / (some.size * (some**2).sum())) if some.size else float("nan")


def usable_of_what_is_there(flagged: dict[str, Any], subbands: int, missing: int) -> float:
    """Usable part of the subbands there are: what is missing is judged by discovery."""
    return flagged["usable_fraction"] * subbands / max(subbands - missing, 1)


def _missing(group: Prepared, streamed: Streamed, instrument: InstrumentOptions) -> list[int]:
    """Subbands without data: no file, none that can be used, or nothing left of it."""
    lost = {*streamed.counts.broken, *streamed.counts.empty}
    return sorted(set(range(instrument.subbands)) - set(group.slots) | lost)


def _data(
    group: Prepared, streamed: Streamed, missing: list[int], effective: float
) -> dict[str, Any]:
    layout, description, counts = group.layout, group.description, streamed.counts
    freq, width = description.freq_hz, description.width_hz
    return {
        "group": group.group.group,
        "ra_deg": float(np.degrees(description.ra_rad)),
        "dec_deg": float(np.degrees(description.dec_rad)),
        "start_mjd": group.group.start_mjd,
        "end_mjd": group.group.end_mjd,
        "times": int(layout.times_jd.size),
        "baselines": int(layout.ant1.size),
        "antennas": int(layout.antennas.size),
        "channels": int(freq.size),
        "freq_min_hz": float(freq[0] - width / 2),
        "freq_max_hz": float(freq[-1] + width / 2),
        "missing_subbands": missing,
        "broken_subbands": counts.broken,
        "empty_subbands": counts.empty,
        "effective_fraction": effective,
        "rows_missing": int(np.count_nonzero(layout.row_of < 0)),
        "invalid_samples": counts.invalid,
        "antenna_positions_from_earth_centre": layout.absolute_positions,
        "antennas_moved_m": group.moved,
    }


def _checks(missing: Sequence[int], group: Prepared, convert: ConvertOptions) -> list[Check]:
    with np.errstate(invalid="ignore"):
        difference = np.abs(group.layout.uvw_m - group.phasing.old_uvw_m)
    limits = {"warn_above": convert.uvw_tolerance_m}
    if group.group.tracking == "drift":
        # the phases are turned by the positions: they must be right
        furthest, limits["fail_above"] = float(np.nanmax(difference)), convert.uvw_fail_m
    else:  # nothing is turned, the uvw of the file are used
        furthest = float(np.nanmedian(np.linalg.norm(difference, axis=-1)))
    position = check(
        "antenna positions of the table against the file's",
        max(group.moved.values(), default=0.0),
        "m",
        warn_above=convert.uvw_tolerance_m,
    )
    return [
        *([position] if convert.antenna_positions else []),
        check("missing subbands", len(missing), warn_above=0),
        check(
            "uvw of the file against antenna positions",
            furthest,
            "m",
            **limits,
        ),
    ]

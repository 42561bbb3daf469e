"""What each file must be by itself, before it can be of a group."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.earth import covered_mjd, outside
from contimg.core.grouping.options import GroupingOptions
from contimg.core.grouping.rejections import Rejected
from contimg.core.instrument import InstrumentOptions
from contimg.core.strips import linked

# The writer counts from this day when it cannot ask the observatory's clock.
FALLBACK_MJD = 55000
# Transits are looked for that long before and after a group.
_PLANNED_DAYS = 2.0


def check_files(
    headers: pd.DataFrame, instrument: InstrumentOptions, options: GroupingOptions
) -> tuple[pd.DataFrame, list[Rejected]]:
    """The files that may be of a group, and the others with the reasons."""
    bad = (headers["reason"] != "").to_numpy()
    without = headers[bad]
    rejected = [
        Rejected(*row)
        for row in zip(without["path"], without["reason"], without["kind"], strict=True)
    ]
    table = headers[~bad]
    for mask, kind, say in _tests(table, instrument, options):
        rejected += [Rejected(row.path, say(row), kind) for row in table[mask].itertuples()]
        table = table[~mask]
        if table.empty:
            break
    return table, rejected


def _tests(table: pd.DataFrame, instrument: InstrumentOptions, options: GroupingOptions):
    """(rows that fail, kind of reason, words for a row); each row only fails the first one."""
    left = np.ones(len(table), dtype=bool)
    first, last = covered_mjd()

    def fail(mask) -> NDArray[np.bool_]:
        nonlocal left
        mask = np.asarray(mask, dtype=bool)
        among_left = mask[left]
        left = left & ~mask
        return among_left

    column = {
        name: table[name].to_numpy(dtype=float)
        for name in ("first_mjd", "last_mjd", "name_mjd", "n_times", "integration_s", "dec_app_deg")
    }
    yield (
        fail(table["telescope"] != instrument.telescope),
        "telescope",
        lambda row: f"telescope is {row.telescope}, not {instrument.telescope}",
    )
    yield (
        fail(np.floor(column["first_mjd"]) == FALLBACK_MJD),
        "time",
        lambda row: (
            f"its data begin at MJD {row.first_mjd:.3f}, the day the writer counts from"
            " when the observatory's clock is out of reach"
        ),
    )
    known = (first + _PLANNED_DAYS <= column["first_mjd"]) & (
        column["last_mjd"] <= last - _PLANNED_DAYS
    )
    yield (
        fail(~known),
        "date",
        lambda row: outside(row.first_mjd),
    )
    offset_s = np.abs(column["first_mjd"] - column["name_mjd"]) * 86400
    yield (
        fail(~(offset_s <= options.max_clock_offset_s)),
        "time",
        lambda row: (
            "time in the data differs from that in the name by"
            f" {abs(row.first_mjd - row.name_mjd) * 86400:.0f} s"
        ),
    )
    length_s = (column["last_mjd"] - column["first_mjd"]) * 86400
    steps_s = (column["n_times"] - 1) * column["integration_s"]
    yield (
        fail(length_s < 0.9 * steps_s),
        "time",
        lambda row: (
            f"{row.n_times:.0f} integrations of {row.integration_s:g} s cannot lie within"
            f" {(row.last_mjd - row.first_mjd) * 86400:.1f} s"
        ),
    )
    drift = (table["tracking"] == "drift").to_numpy()
    yield (
        fail(drift & ~(np.abs(column["dec_app_deg"]) <= 90)),
        "declination",
        lambda row: f"pointing declination {row.dec_app_deg} is impossible",
    )
    if instrument.band_mhz is not None:
        yield (
            fail(_slots(table, instrument) < 0),
            "frequency",
            lambda row: (
                "frequencies do not fit the band and subbands of the instrument"
                f" ({row.freq_min_hz / 1e6:.4f} to {row.freq_max_hz / 1e6:.4f} MHz)"
            ),
        )


def subband_numbers(table: pd.DataFrame, instrument: InstrumentOptions) -> NDArray[np.int64]:
    """Number of the subband of each file, ascending in frequency."""
    if instrument.band_mhz is not None:
        return _slots(table, instrument)
    low = table["freq_min_hz"].to_numpy(dtype=float)
    return linked(low, 0.25 * float(_channel_hz(table).min()))


def _slots(table: pd.DataFrame, instrument: InstrumentOptions) -> NDArray[np.int64]:
    """Position of a subband in the instrument's band (ascending), -1 when it does not fit."""
    assert instrument.band_mhz is not None
    low, high = (edge * 1e6 for edge in instrument.band_mhz)
    width = (high - low) / instrument.subbands
    freq_min, freq_max = (table[f"freq_{edge}_hz"].to_numpy(dtype=float) for edge in ("min", "max"))
    slot = np.round((freq_min - low) / width).astype(np.int64)
    near = 0.25 * _channel_hz(table)
    fits = (
        (slot >= 0)
        & (slot < instrument.subbands)
        & (np.abs(freq_min - (low + slot * width)) < near)
        & (np.abs(freq_max - (low + (slot + 1) * width)) < near)
    )
    return np.where(fits, slot, -1)


def _channel_hz(table: pd.DataFrame) -> NDArray[np.float64]:
    width = table["freq_max_hz"] - table["freq_min_hz"]
    return (width / table["n_channels"]).to_numpy(dtype=float)

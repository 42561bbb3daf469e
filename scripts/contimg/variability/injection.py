"""Dips put into the run's own light curves: which the search finds, and how soon."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.variability.completeness import DEEP
from contimg.variability.density import width_limits
from contimg.variability.ese import LightCurve, unsearchable
from contimg.variability.parallel import parallel_map
from contimg.variability.profiles import ALPHAS, KINDS, SIZES, SMOOTH, Dips, changes, depths
from contimg.variability.search import Search

DEPTHS = (0.1, 0.9)
MAX_IMPACT = 3.0  # place in IMPACTS: three quarters of a half-width
FIRST_STEP = 4  # epochs after the ingress that are tried first
INGRESS = 0.1  # part of the depth that is gone at the first epoch of the event


@dataclass(frozen=True)
class Injection:
    """One dip to put into the light curve `host` of a search."""

    host: int
    dip: Dips  # one
    depth: float

    def into(self, curve: LightCurve) -> LightCurve:
        """The light curve behind the lens; what it does besides is lensed with it."""
        return replace(curve, flux=curve.flux * (1 + self.change(curve)))

    def change(self, curve: LightCurve) -> NDArray[np.float64]:
        """Relative change of the flux (N,)."""
        return self.depth * changes(self.dip, curve.mjd - curve.mjd[0])[:, 0]


def draw(search: Search, hosts: list[int], random: np.random.Generator) -> Injection:
    """Host by its length in time, width and depth even in logarithm, centre within the light curve.

    `hosts` are places among ``search.curves``.
    """
    span = np.array([np.ptp(search.curves[k].mjd) for k in hosts])
    host = int(random.choice(hosts, p=span / span.sum()))
    curve, options = search.curves[host], search.options
    times = curve.mjd - curve.mjd[0]
    limits = width_limits(times, options.width_min_days, options.width_max_days)
    width = np.exp(random.uniform(*np.log(limits)))
    depth = np.exp(random.uniform(*np.log(DEPTHS)))
    t0 = random.uniform(0, times[-1])
    while True:
        kind = int(random.integers(len(KINDS)))
        place = random.uniform(0, (len(ALPHAS) - 1, len(SIZES) - 1, MAX_IMPACT))
        dip = Dips(*(np.array([v]) for v in (kind, *place, width, t0)))
        if kind == SMOOTH or depths(dip)[0] > depth:
            return Injection(host, dip, depth)


def inject(
    search: Search, number: int, left_out: set[str], workers: int = 1, *, progress: bool = False
) -> pd.DataFrame:
    """Put `number` dips into light curves of `search` but those `left_out`; a row each.

    Columns ``source, snr, kind, depth, width_days, t0_mjd, class, found, false_alarm_probability,
    epochs_to_alert, before_minimum``. ``snr`` is the one of an epoch. The alert, of events as deep
    as ``completeness.DEEP``, is at the first epoch up to which the light curve is announced.
    """
    hosts = [k for k, curve in enumerate(search.curves) if curve.source not in left_out]
    if not hosts:
        return pd.DataFrame(columns=COLUMNS)
    random = np.random.default_rng([search.options.seed, 3])
    items = [(k, draw(search, hosts, random)) for k in range(number)]
    show = "injected dips" if progress else ""
    return pd.DataFrame(parallel_map(_one, items, (search,), workers, show), columns=COLUMNS)


COLUMNS = [
    *("source", "snr", "kind", "depth", "width_days", "t0_mjd", "class", "found"),
    *("false_alarm_probability", "epochs_to_alert", "before_minimum"),
]


def _one(item: tuple[int, Injection], search: Search) -> dict[str, object]:
    number, injection = item
    host = search.curves[injection.host]
    curve, t0 = injection.into(host), float(injection.dip.t0[0])
    event = search.examine(curve, injection.host, number)
    found = search.announces(event)
    row = {
        "source": host.source,
        "snr": float(np.median(host.flux) / np.median(host.error)),
        "kind": KINDS[int(injection.dip.kind[0])],
        "depth": injection.depth,
        "width_days": float(injection.dip.width[0]),
        "t0_mjd": host.mjd[0] + t0,
        "class": event.kind,
        "found": found,
        "false_alarm_probability": event.false_alarm_probability,
        "epochs_to_alert": np.nan,
        "before_minimum": np.nan,
    }
    if found and injection.depth >= DEEP:
        ingress = int(np.argmax(np.abs(injection.change(host)) > INGRESS * injection.depth))
        alert = _alert(search, curve, injection.host, number, ingress)
        row["epochs_to_alert"] = float(alert - ingress)
        row["before_minimum"] = float(curve.mjd[alert] < row["t0_mjd"])
    return row


def _alert(search: Search, curve: LightCurve, host: int, number: int, ingress: int) -> int:
    """First epoch from `ingress` on up to which `curve`, found when whole, is found.

    Looked for with steps that double, as most are found soon, then by halving.
    """

    def seen(epoch: int) -> bool:
        part = curve.until(epoch + 1)
        return not unsearchable(part, search.options) and search.finds(part, host, number)

    last = len(curve.mjd) - 1
    low = min(max(search.options.min_epochs - 1, ingress), last)
    step, high = FIRST_STEP, min(low + FIRST_STEP, last)
    while high < last and not seen(high):
        low, step = high + 1, 2 * step
        high = min(low + step, last)
    while low < high:
        middle = (low + high) // 2
        if seen(middle):
            high = middle
        else:
            low = middle + 1
    return low

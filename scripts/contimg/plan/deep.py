"""Deep mosaics, and which model of the field each tile is fitted with.

Time is divided into windows of so many days, from MJD 0, so that they stay where they are when
data arrive. The tiles of a window and of a declination strip are added up to deep mosaics; what
these show and no catalogue has takes part in the fits of the tiles of later windows.

======================================  ===================================================
``deep_20251001_d+55.58``               a window by its first day, and a strip: the model
``deep_20251001_d+55.58_p1``            its deep mosaics, in order of right ascension
======================================  ===================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.time import Time

from contimg.core.groups import Group
from contimg.core.strips import strips
from contimg.mosaic.options import MosaicOptions
from contimg.plan.mosaics import parts, strip_name

Named = dict[str, dict[str, Any]]


def find_deep(
    groups: list[Group], days: int, options: MosaicOptions, staleness_hours: float
) -> tuple[Named, Named, Named]:
    """(models of the field, deep mosaics, models of each group) by name; nothing with 0 `days`.

    A model has its ``mosaics``, and the ``previous`` one of its strip, which it goes on from.
    A group has the newest model that ended before its own window (``deep_model``) and, for a
    calset that is solved on it, before all tiles that the calset may serve
    (``calset_deep_model``): a model is of tiles, these are of calsets, and so a calset must not be
    of a model that its own tiles have part in. Groups before the first such end have none.
    """
    models: Named = {}
    mosaics: Named = {}
    of_group: Named = {}
    if not groups or not days:
        return models, mosaics, of_group
    strip = strips(groups, options.strip_tolerance_deg)
    window = np.array([int(g.mid_mjd // days) for g in groups])
    for number in np.unique(strip):
        previous, ended = "", []
        for k in np.unique(window[strip == number]):
            members = [groups[i] for i in np.flatnonzero((strip == number) & (window == k))]
            of_group |= {g.group: _newest(g, previous, ended, staleness_hours) for g in members}
            first = Time(float(k * days), format="mjd").strftime("%Y%m%d")
            name = f"deep_{first}_{strip_name(groups, strip, int(number))}"
            found = _mosaics(name, members, options)
            models[name] = {"mosaics": list(found), "previous": previous}
            mosaics |= found
            previous = name
            ended.append((float((k + 1) * days), name))
    return models, mosaics, of_group


def _newest(
    group: Group, previous: str, ended: list[tuple[float, str]], staleness_hours: float
) -> dict[str, str]:
    """Models for a tile and a calset of `group`; `ended` are (MJD, model) of earlier windows."""
    before = [name for mjd, name in ended if mjd <= group.start_mjd - staleness_hours / 24]
    of_calset = {"calset_deep_model": before[-1]} if before else {}
    return {"deep_model": previous} | of_calset if previous else {}


def _mosaics(name: str, groups: list[Group], options: MosaicOptions) -> Named:
    """The deep mosaics of a window: neighbours on the sky in one plane."""
    ordered = sorted(groups, key=lambda group: (group.ra_deg, group.group))
    planes = parts(ordered, np.radians(options.max_radius_deg))
    return {
        f"{name}_p{k}": {"tiles": sorted(group.group for group in plane)}
        for k, plane in enumerate(planes, start=1)
    }

"""Seams: steps of the background across the edges of the tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core.robust import robust_rms
from contimg.mosaic.maps import Maps

_GAP_BEAMS = 1.5  # from the edge to the strips: the outline is known to a few pixels
_SEGMENT_BEAMS = 60.0  # length of an edge that is measured together
_SIGNIFICANT = 5.0
_MEDIAN_ERROR = 1.2533  # of a median over that of a mean

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Seam:
    """A piece of a tile's edge: middle (x, y) [pixel], step inside minus outside and its error
    in units of the expected noise."""

    tile: str
    x: float
    y: float
    step: float
    error: float

    @property
    def significant(self) -> bool:
        """Whether the step is not just noise."""
        return abs(self.step) > _SIGNIFICANT * self.error


def measure_seams(maps: Maps, outlines: dict[str, Array], strip_beams: float) -> list[Seam]:
    """Steps along all edges that have data on both sides."""
    found = []
    for name, corners in outlines.items():
        points, normals = _along(corners, maps.beam_pixels)
        if len(points) < 2:
            continue
        count = max(1, round(len(points) / _SEGMENT_BEAMS))
        for part in np.array_split(np.arange(len(points)), count):
            seam = _measure(maps, points[part], normals[part], strip_beams)
            if seam is not None:
                x, y = points[part].mean(axis=0)
                found.append(Seam(name, float(x), float(y), *seam))
    return found


def worst_seam(seams: list[Seam]) -> float:
    """Largest significant step [noise]; zero without any."""
    return max((abs(s.step) for s in seams if s.significant), default=0.0)


def _along(corners: Array, spacing: float) -> tuple[Array, Array]:
    """Points (x, y) every `spacing` pixels along a closed outline, and inward normals."""
    following = np.roll(corners, -1, axis=0)
    points, normals = [], []
    middle = corners.mean(axis=0)
    for start, end in zip(corners, following, strict=True):
        length = float(np.hypot(*(end - start)))
        count = round(length / spacing)
        if count == 0:
            continue
        part = (np.arange(count) + 0.5)[:, None] / count
        normal = np.array([-(end - start)[1], (end - start)[0]]) / length
        if normal @ (middle - start) < 0:
            normal = -normal
        points.append(start + part * (end - start))
        normals.append(np.repeat(normal[None], count, axis=0))
    if not points:
        return np.empty((0, 2)), np.empty((0, 2))
    return np.concatenate(points), np.concatenate(normals)


def _measure(
    maps: Maps, points: Array, normals: Array, strip_beams: float
) -> tuple[float, float] | None:
    """(step, error) of the median of residual / noise across a piece of edge."""
    beam = maps.beam_pixels
    steps = np.arange(_GAP_BEAMS, _GAP_BEAMS + strip_beams, 0.5) * beam
    middles, errors = [], []
    for side in (1.0, -1.0):
        place = points[:, None] + side * steps[:, None] * normals[:, None]
        x, y = (np.round(place[..., i] / maps.thin).astype(int) for i in (0, 1))
        inside = (x >= 0) & (y >= 0)
        inside &= (y < maps.residual.shape[0]) & (x < maps.residual.shape[1])
        y, x = y[inside], x[inside]
        values = maps.residual[y, x] / maps.noise[y, x]
        values = values[np.isfinite(values)]
        # a point a beam along the edge, two across: as many beams as half of the values
        if values.size < 20:
            return None
        middle = float(np.median(values))
        scatter = robust_rms(values)
        middles.append(middle)
        errors.append(_MEDIAN_ERROR * scatter / np.sqrt(values.size / 2))
    return middles[0] - middles[1], float(np.hypot(*errors))

"""Small drawings that need no script: trends with time, light curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup

from contimg.core.window import utc

MOST = 240  # points that are drawn one by one; of more, medians and ranges of as many steps
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 8, 8, 22


@dataclass(frozen=True)
class Point:
    """A value with its error (or a range), what it is, and the page about it."""

    mjd: float
    value: float
    error: float = 0.0
    label: str = ""
    href: str = ""
    state: str = ""
    low: float | None = None
    high: float | None = None


def trend(
    points: Sequence[Point], *, name: str, lines: Sequence[float] = (), size: tuple[int, int]
) -> Markup:
    """Values with time; `lines` are drawn across, `name` says what it is to who cannot see it."""
    points = [p for p in points if math.isfinite(p.mjd) and math.isfinite(p.value)]
    if not points:
        return Markup('<p class="note">{}: no values</p>').format(name)
    shown = points if len(points) <= MOST else thinned(points)
    x, y = _Scale.of_time(shown, size[0]), _Scale.of_values(shown, lines, size[1])
    parts = [*_frame(x, y, size)]
    parts += [_line(x, y.at(at), size) for at in lines if y.low <= at <= y.high]
    parts += [_mark(p, x.at(p.mjd), y) for p in shown]
    return Markup(
        f'<svg class="trend" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="{escape(name)}">{"".join(parts)}</svg>'
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """Medians with the whole range, in `MOST` equal steps of time; each leads where one leads."""
    mjd = np.array([p.mjd for p in points])
    value = np.array([p.value for p in points])
    step = np.floor((mjd - mjd.min()) / max(np.ptp(mjd), 1e-9) * (MOST - 1e-6)).astype(int)
    result = []
    for k in np.unique(step):
        mine = np.flatnonzero(step == k)
        first = points[mine[0]]
        low, high = float(value[mine].min()), float(value[mine].max())
        label = f"median of {len(mine)}, {low:.4g} to {high:.4g}; {first.label} .."
        middle = float(np.median(value[mine]))
        result.append(Point(float(mjd[mine].mean()), middle, 0.0, label, first.href, "", low, high))
    return result


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.start + min(max(part, 0.0), 1.0) * (self.end - self.start)

    @classmethod
    def of_time(cls, points: Sequence[Point], width: int) -> _Scale:
        low, high = min(p.mjd for p in points), max(p.mjd for p in points)
        margin = 0.02 * (high - low) or 0.05
        return cls(low - margin, high + margin, _LEFT, width - _RIGHT)

    @classmethod
    def of_values(cls, points: Sequence[Point], lines: Sequence[float], height: int) -> _Scale:
        values = np.array([p.value for p in points])
        errors = np.nan_to_num([p.error for p in points])
        low, high = (
            np.percentile(values, [2, 98])
            if len(values) > 20
            else (np.min(values - errors), np.max(values + errors))
        )
        low, high = min([low, *lines]), max([high, *lines])
        margin = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(float(low - margin), float(high + margin), height - _BOTTOM, _TOP)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round values between two."""
    raw = (high - low) / most
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= raw)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _frame(x: _Scale, y: _Scale, size: tuple[int, int]) -> list[str]:
    parts = []
    for value in ticks(y.low, y.high):
        at = y.at(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{size[0] - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    long = x.high - x.low > 2
    for k in range(4):
        mjd = x.low + (x.high - x.low) * (k + 0.5) / 4
        text = utc(mjd)[:10] if long else utc(mjd)[5:16].replace("T", " ")
        parts.append(
            f'<text x="{x.at(mjd):.0f}" y="{size[1] - 6}" text-anchor="middle">{text}</text>'
        )
    return parts


def _line(x: _Scale, at: float, size: tuple[int, int]) -> str:
    return f'<path class="line" d="M{_LEFT} {at:.1f}H{size[0] - _RIGHT}"/>'


def _mark(point: Point, at: float, y: _Scale) -> str:
    low = point.value - point.error if point.low is None else point.low
    high = point.value + point.error if point.high is None else point.high
    bar = f'<path d="M{at:.1f} {y.at(low):.1f}V{y.at(high):.1f}"/>' if high > low else ""
    shape = (
        f'<g class="{escape(point.state or "done")}">{bar}'
        f'<circle cx="{at:.1f}" cy="{y.at(point.value):.1f}" r="2.6"/>'
        f"<title>{escape(point.label)}: {point.value:.5g}</title></g>"
    )
    return f'<a href="{escape(point.href)}">{shape}</a>' if point.href else shape


@dataclass(frozen=True)
class Curve:
    """Points and a line through them (pairs of time and value)."""

    points: Sequence[Point]
    line: Sequence[tuple[float, float]] = ()


def curve(content: Curve, *, name: str, size: tuple[int, int]) -> Markup:
    """A light curve with the dip that was fitted; flagged points do not set the scale."""
    good = [p for p in content.points if p.state != "failed" and math.isfinite(p.value)]
    if not good:
        return Markup('<p class="note">{}: no values</p>').format(name)
    ends = [p.value - p.error for p in good] + [p.value + p.error for p in good]
    x = _Scale.of_time(good, size[0])
    y = _Scale.of_values(
        [Point(0, min(ends)), Point(0, max(ends))], [v for _, v in content.line], size[1]
    )
    parts = _frame(x, y, size)
    if content.line:
        places = " ".join(f"{x.at(t):.1f},{y.at(v):.1f}" for t, v in content.line)
        parts.append(f'<path class="curve" d="M{places}"/>')
    parts += [_mark(p, x.at(p.mjd), y) for p in content.points if math.isfinite(p.value)]
    return Markup(
        f'<svg class="trend" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="{escape(name)}">{"".join(parts)}</svg>'
    )

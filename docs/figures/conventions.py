"""Draw docs/images/conventions.png: phase centres of a tile, and the names of its files.

python docs/figures/conventions.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from contimg.core.beam import InstrumentOptions, PrimaryBeam
from contimg.core.coords import direction_cosines, icrs_on_meridian, mjd_time
from contimg.core.groups import group_name
from contimg.core.site import SiteFiles
from contimg.core.window import utc

FIRST_MJD = 60953.6455093  # mid-point of the first integration
N_TIMES, INTEGRATION_S = 24, 12.884901888
DEC_APP_DEG = 55.58
SUBBANDS = 16
BAND_MHZ = (1311.25, 1498.75)
FREQ_HZ = sum(BAND_MHZ) / 2 * 1e6
LARGEST_SPREAD_S = 82.0
TARGET = Path(__file__).parents[1] / "images" / "conventions.png"


def main() -> None:
    """Both panels."""
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.2])
    draw_sky(figure, left)
    draw_names(right)
    figure.savefig(TARGET, dpi=110)
    print(TARGET)


def draw_sky(figure, axes) -> None:
    """The phase centre of each integration, the tile's centre, beams."""
    mids = FIRST_MJD + np.arange(N_TIMES) * INTEGRATION_S / 86400
    dec_app = np.radians(DEC_APP_DEG)
    location = SiteFiles().location
    ra, dec = icrs_on_meridian(dec_app, mjd_time(mids), location)
    centre = [float(x) for x in icrs_on_meridian(dec_app, mjd_time(mids.mean()), location)]
    east, north, _ = direction_cosines(ra, dec, *centre)
    east, north = np.degrees(np.arcsin(east)), np.degrees(np.arcsin(north))

    beam = PrimaryBeam(InstrumentOptions())
    axis = np.linspace(-2.3, 2.3, 231)
    x, y = np.meshgrid(axis, axis)
    away = [np.radians(np.hypot(x - east[k], y - north[k])) for k in range(N_TIMES)]
    power = beam.power(np.array(away), FREQ_HZ)
    axes.contourf(
        x, y, np.mean(power, axis=0), levels=[0.1, 0.3, 0.5, 0.7, 0.9, 1.01], cmap="Blues"
    )
    for k, style in ((0, ":"), (N_TIMES - 1, "--")):
        axes.contour(x, y, power[k], levels=[0.5], colors="0.35", linestyles=style, linewidths=1)
    time = (mids - mids[0]) * 86400
    dots = axes.scatter(east, north, c=time, cmap="autumn_r", s=26, edgecolor="k", lw=0.4, zorder=3)
    axes.plot(0, 0, "P", ms=13, mfc="w", mec="k", mew=1.4, zorder=4)

    note = {
        "ha": "center",
        "fontsize": 9,
        "bbox": {"fc": "w", "ec": "none", "alpha": 0.8, "pad": 2},
        "arrowprops": {"arrowstyle": "-", "lw": 0.9},
        "zorder": 5,
    }
    axes.annotate(
        "as recorded: a phase centre an integration,\n(hour angle 0, apparent declination)",
        (east[-4], north[-4]), (0.0, 1.72), **note,
    )  # fmt: skip
    axes.annotate(
        "in the Measurement Set:\none ICRS centre,\ntransiting at mid-tile",
        (0, -0.08), (0.3, -1.1), **note,
    )  # fmt: skip
    axes.annotate(
        "half power at the first (dotted)\nand last (dashed) integration",
        (east[0] - 1.3, north[0] - 0.39), (-1.0, -1.95), **note,
    )  # fmt: skip
    axes.set(
        xlim=(2.3, -2.3),
        ylim=(-2.3, 2.3),
        aspect="equal",
        xlabel="east of the tile's centre [deg]",
        ylabel="north of the tile's centre [deg]",
        title="Phase centres; blue: primary beam averaged over the drift",
    )
    figure.colorbar(dots, ax=axes, label="time after the first integration [s]", shrink=0.75)


def draw_names(axes) -> None:
    """Sixteen names by sixteen clocks, one group by the data."""
    clocks = np.random.default_rng(7).uniform(0, LARGEST_SPREAD_S, SUBBANDS) - 20
    clocks[[3, 11]] = LARGEST_SPREAD_S - 20, -20
    begin, end = -INTEGRATION_S / 2, (N_TIMES - 0.5) * INTEGRATION_S
    width = (BAND_MHZ[1] - BAND_MHZ[0]) / SUBBANDS
    for subband, clock in enumerate(clocks):
        missing = subband == 9
        axes.barh(
            subband, end - begin, left=begin, height=0.72,
            color="w" if missing else "#c6dbef", edgecolor="0.6", hatch="////" if missing else "",
        )  # fmt: skip
        low = BAND_MHZ[1] - (subband + 1) * width
        axes.text(end + 6, subband, f"{low:.2f}–{low + width:.2f}", va="center", fontsize=7.5)
        if missing:
            axes.text(0.5 * (begin + end), subband, "missing: its channels are there, flagged",
                      ha="center", va="center", fontsize=8, backgroundcolor="w")  # fmt: skip
            continue
        axes.plot(clock, subband, "o", color="#d95f02", ms=6, zorder=3)
        name = f"{utc(FIRST_MJD + clock / 86400)}_sb{subband:02d}.hdf5"
        axes.text(-30, subband, name, ha="right", va="center", fontsize=7.5, family="monospace")
    axes.plot([0, 0], [-2, SUBBANDS - 0.4], color="k", lw=1.2)
    axes.text(4, -1.4, f"group {group_name(FIRST_MJD)}: mid-point of the first integration",
              fontsize=9, va="center")  # fmt: skip
    axes.text(end + 6, -0.75, "MHz", fontsize=7.5, va="center")
    clock = Line2D(
        [], [], marker="o", ls="", color="#d95f02", label="time in the name: a node's clock"
    )
    data = Patch(facecolor="#c6dbef", edgecolor="0.6", label="the data: equal times in all files")
    axes.legend(handles=[clock, data], loc="lower center", ncols=2, frameon=False, fontsize=9)
    axes.set(
        xlim=(-225, end + 98),
        ylim=(SUBBANDS + 0.7, -2),
        yticks=[],
        xticks=[0, 100, 200, 300],
        xlabel="time after the mid-point of the first integration [s]",
        title="Sixteen files, one group",
    )


if __name__ == "__main__":
    main()

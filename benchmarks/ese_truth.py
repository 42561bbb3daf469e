"""Completeness, classes, false alarms and parameters of the search, against known light curves.

    python benchmarks/ese_truth.py [--number 6] [--hosts mixed] [--snr 20] [--parts 4]

`contimg ese` searches a table of ray-shot lenses and smooth dips in a population of sources
(``ese_made.py``, which shares no code with the search), and one of everything that is not a lens.
An event is found if its source is announced at 0.01 expected false candidates in 1,000 sources.
The bound is what a matched filter would find that knows lens and noise of every source, in the mean
of the parts of the band; the second one, besides, takes at most one of a hundred blocks of three to
six epochs for a dip.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from ese_made import Made, epochs, events, host, observe, rival, warnings
from scipy.stats import beta

from contimg.cli import main
from contimg.variability.doubt import block_odds
from contimg.variability.ese import LightCurve
from contimg.variability.options import VariabilityOptions
from contimg.variability.parallel import parallel_map
from contimg.variability.search import Search, search_all

BOUNDS = {"bound_sigma": 4.26, "block_sigma": 2.33}  # p = 1e-5, 0.01
RIVALS = ("flare", "step", "bad_block", "sine", "walk", "scintillation", "gradient")
PARAMETERS = {
    "depth": "depth_err",
    "t0_mjd": "t0_err_days",
    "width_days": "width_err_days",
    "baseline_jy": "baseline_err_jy",
}
LEVELS = (0.3, 0.1, 0.03, 0.01, 1e-3)
EXPECTED = 0.01 / 1000  # false candidates a source


def search(made: list[Made], folder: Path, name: str, qa: float | None) -> pd.DataFrame:
    """The table of sources that `contimg ese` makes of `made`, with `found`.

    With `qa` rows have a column ``qa_warning``, which is true for this part of bad blocks.
    """
    rows = []
    for k, m in enumerate(made):
        columns = {"source": f"s{k:05d}", "mjd": m.mjd, "flux_jy": m.flux, "flux_err_jy": m.error}
        columns |= {} if m.freq is None else {"freq_hz": m.freq}
        if qa is not None:
            columns["qa_warning"] = warnings(m, qa, np.random.default_rng([5, k]))
        rows.append(pd.DataFrame(columns))
    table, out = folder / f"{name}.parquet", folder / f"{name}_sources.parquet"
    pd.concat(rows).to_parquet(table, index=False)
    words = [f"--lightcurves={table}", f"--sources={out}", f"--candidates={folder}/{name}.csv"]
    started = time.perf_counter()
    assert main(["ese", *words]) == 0
    print(f"{len(made)} light curves: {time.perf_counter() - started:.0f} s\n")
    sources = pd.read_parquet(out)
    found = (sources["class"] == "ese") & (sources["ese_false_alarm_probability"] < EXPECTED)
    return sources.assign(found=found, kind=[m.kind for m in made])


def interval(found: int, number: int) -> str:
    """Part found with its central 68 %."""
    low = beta.ppf(0.16, found, number - found + 1) if found else 0.0
    high = beta.ppf(0.84, found + 1, number - found) if found < number else 1.0
    return f"{found / max(number, 1):.2f} ({low:.2f}-{high:.2f}, {number})"


def completeness(given: argparse.Namespace, random) -> None:
    """Table of depth by width and by kind, then the parameters of what was found."""
    mixed = given.hosts == "mixed"
    made, cells = events(given.number, mixed, given.snr, random, given.parts)
    made += population(given.population, mixed, given, random)
    sources = search(made, given.folder, f"events_{given.hosts}", given.qa)
    found = sources.iloc[: len(cells)].copy()
    found[["depth_bin", "width", "shape"]] = cells
    for name, least in BOUNDS.items():
        found[name] = [m.truth[name] > least for m in made[: len(cells)]]
    found["block_sigma"] &= found["bound_sigma"]
    for column in ("width", "shape", None):
        print(f"completeness by depth and {column}: found (68 %, number) | bounds")
        by = ["depth_bin", column] if column else ["depth_bin"]
        for value, rows in found.groupby(by, sort=False):
            text = interval(int(rows["found"].sum()), len(rows))
            bounds = rows[list(BOUNDS)].mean().round(2).tolist()
            print(f"  {' '.join(value):16s} {text} | {bounds}")
    print(found.loc[~found["found"], ["depth_bin", "width", "shape", "class"]].to_string())
    false = sources.iloc[len(cells) :]
    print(f"\nhosts announced: {int(false['found'].sum())} of {len(false)}")
    p = false["ese_false_alarm_probability"]
    print("hosts below p: " + ", ".join(f"{q:g}: {(p < q).mean():.4f}" for q in LEVELS))
    recovered(found, made)


def recovered(events: pd.DataFrame, made: list[Made]) -> None:
    """Bias and coverage of the parameters of the events found."""
    print("\nparameter      median pull   within 1 error   within 2   number")
    for name, error in PARAMETERS.items():
        rows = events[events["found"]]
        true = np.array([made[k].truth[name] for k in rows.index])
        pull = ((rows[name] - true) / rows[error]).to_numpy()
        inside = [np.mean(np.abs(pull) < k) for k in (1, 2)]
        print(
            f"{name:12s} {np.median(pull):12.2f} {inside[0]:14.2f} {inside[1]:12.2f} {len(pull):8d}"
        )


def population(number: int, mixed: bool, given: argparse.Namespace, random) -> list[Made]:
    """Sources without an event."""
    made = []
    for _ in range(number):
        times = epochs(random)
        relative = host(mixed, times, random)
        made.append(observe("host", relative, times, given.snr, random, None, given.parts))
    return made


def classes(given: argparse.Namespace, random) -> None:
    """What is made of everything that is not a lens."""
    number = 4 * given.number
    made = [rival(kind, given.snr, random, given.parts) for kind in RIVALS for _ in range(number)]
    made += population(2 * len(made), True, given, random)
    sources = search(made, given.folder, "rivals", given.qa)
    print("kind (rows) and class (columns)")
    print(pd.crosstab(sources["kind"], sources["class"]).to_string())
    print("\nannounced: " + sources.groupby("kind")["found"].sum().to_string().replace("\n", "; "))


def one_at_a_time(given: argparse.Namespace, random) -> None:
    """What is made of rivals of which the run knows no other, among quiet sources."""
    quiet = population(given.population, False, given, random)
    kinds = given.kinds.split(",")
    tried = [rival(k, given.snr, random) for k in kinds for _ in range(4 * given.number)]
    if given.qa is not None:
        warned = [warnings(m, given.qa, random) for m in (*quiet, *tried)]
        odds = block_odds(np.concatenate(warned))
        odds = np.split(odds, np.cumsum([len(m.mjd) for m in (*quiet, *tried)])[:-1])
    else:
        odds = [None] * (len(quiet) + len(tried))
    curves = [
        LightCurve(str(k), m.mjd, m.flux, m.error, o)
        for k, (m, o) in enumerate(zip((*quiet, *tried), odds, strict=True))
    ]
    run = search_all(curves[: len(quiet)], VariabilityOptions(), 2)
    items = list(enumerate(curves[len(quiet) :]))
    found = pd.DataFrame(parallel_map(_examined, items, (run,), 2), columns=["class", "p"])
    found["kind"] = [m.kind for m in tried]
    print("one at a time: kind (rows) and class (columns)")
    print(pd.crosstab(found["kind"], found["class"]).to_string())
    announced = (found["class"] == "ese") & (found["p"] < EXPECTED)
    print("announced: " + announced.groupby(found["kind"]).sum().to_string().replace("\n", "; "))


def _examined(item: tuple[int, LightCurve], run: Search) -> tuple[str, float]:
    event = run.examine(item[1], 0, item[0])
    return event.kind, event.false_alarm_probability


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=6, help="light curves in every cell")
    parser.add_argument("--hosts", choices=("quiet", "mixed"), default="mixed")
    parser.add_argument("--population", type=int, default=500, help="sources without an event")
    parser.add_argument("--snr", type=float, default=20.0, help="of an epoch")
    parser.add_argument("--parts", type=int, default=1, help="of the band")
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks/ese"))
    parser.add_argument("--only", choices=("events", "rivals", "alone"), default=None)
    parser.add_argument("--kinds", default="bad_block", help="that `--only alone` tries")
    parser.add_argument("--qa", type=float, default=None, help="part of bad blocks warned of")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    given.folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(given.seed)
    if given.only in (None, "events"):
        completeness(given, generator)
    if given.only in (None, "rivals"):
        classes(given, generator)
    if given.only in (None, "alone"):
        one_at_a_time(given, generator)

"""``contimg plan``: print the plan for a person to check."""

from __future__ import annotations

from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.coords import mjd_time
from contimg.discover.command import summary
from contimg.discover.refresh import read_plan


class PlanFiles(Files):
    """Where the inventory is."""

    results: str = Field("results", description="results directory")


def run(files: PlanFiles) -> None:
    """Print calsets, tiles and mosaics of the plan."""
    plan = read_plan(files.results)
    print(summary(plan, files.results))
    print("\ncalset                            transit (UTC)        pb     apparent Jy")
    for name, calset in plan["calsets"].items():
        time = mjd_time(calset["mjd"]).strftime("%Y-%m-%d %H:%M:%S")
        print(f"{name:32s}  {time}  {calset['pb']:.3f}  {calset['apparent_flux_jy']:.2f}")
    print("\ntile             ra [deg]   dec [deg]  calsets, nearest first")
    for name, tile in plan["tiles"].items():
        group = plan["groups"][name]
        offers = ", ".join(tile["calsets"]) or "NONE within the staleness and declination limits"
        print(f"{name}  {group['ra_deg']:9.4f}  {group['dec_deg']:9.4f}  {offers}")
    print("\nmosaic                     tiles")
    for name, mosaic in plan["mosaics"].items():
        print(f"{name:26s} {len(mosaic['tiles']):3d}  {mosaic['tiles'][0]} ..")


COMMAND = Command(help="Print the plan of a run.", files=PlanFiles, options=(), run=run)

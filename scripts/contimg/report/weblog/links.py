"""Who belongs to whom: tiles, calsets and mosaics of all days, for links both ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contimg.report.stages import STATES
from contimg.report.weblog.facts import Day, Fact, day_of_item

GROUP_STAGES = ("convert", "apply", "image", "fit")
KIND_FOLDER = {"group": "tiles", "calset": "calsets", "mosaic": "mosaics"}


@dataclass(frozen=True)
class Links:
    """The relations of a run."""

    state: dict[tuple[str, str], str]  # (kind, item) -> the worst of its stages
    days: dict[tuple[str, str], str]
    calsets_of: dict[str, list[str]]  # tile -> calsets that calibrate it
    tiles_of_calset: dict[str, list[str]]
    tiles_of_mosaic: dict[str, list[str]]
    mosaics_of: dict[str, list[str]]
    order: dict[tuple[str, str], tuple[str, str]]  # (kind, item) -> the ones before and after
    # mosaic -> its brightest sources: name, key, flux density [Jy]
    sources_of: dict[str, list[tuple[str, str, float]]] = field(default_factory=dict)

    def page(self, kind: str, item: str) -> str:
        """Name of the page about an item."""
        folder = KIND_FOLDER[kind]
        return f"{folder}/{self.days[kind, item]}/{item}.html"

    def known(self, kind: str, item: str) -> bool:
        """Whether there is a page about an item."""
        return (kind, item) in self.days


def relate(days: Iterable[Day], plan: Mapping[str, Any]) -> Links:
    """All relations, from the plan and from what was used in fact."""
    facts = [fact for day in days for fact in day.facts]
    state: dict[tuple[str, str], str] = {}
    for fact in facts:
        key = (fact.kind, fact.item)
        state[key] = min(state.get(key, fact.state), fact.state, key=STATES.index)
    mosaics = {name: list(entry["tiles"]) for name, entry in plan["mosaics"].items()}
    calsets_of = _calsets(facts, plan)
    return Links(
        state=state,
        days={(kind, item): day_of_item(kind, item, plan) for kind, item in state},
        calsets_of=calsets_of,
        tiles_of_calset=_turned(calsets_of),
        tiles_of_mosaic=mosaics,
        mosaics_of=_turned(mosaics),
        order=_order(state),
    )


def _calsets(facts: Iterable[Fact], plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """Calsets that a tile was calibrated with; before that, the first that may serve it."""
    found = {
        name: list(entry.get("calsets", []))[:1] for name, entry in plan.get("tiles", {}).items()
    }
    for fact in facts:
        if fact.kind == "group" and fact.values.get("calsets"):
            found[fact.item] = list(fact.values["calsets"])
    return found


def _turned(lists: Mapping[str, list[str]]) -> dict[str, list[str]]:
    turned: dict[str, list[str]] = defaultdict(list)
    for name in sorted(lists):
        for member in lists[name]:
            turned[member].append(name)
    return dict(turned)


def _order(items: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    order = {}
    for kind in KIND_FOLDER:
        names = sorted(item for k, item in items if k == kind)
        for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
            order[kind, name] = (before, after)
    return order

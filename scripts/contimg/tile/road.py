"""Which road a tile goes: in one pass, or over the Measurement Set of the whole band."""

from __future__ import annotations

from typing import Any, Literal

from contimg.flag.options import FlagOptions, split_steps

Keep = Literal["all", "calibrated", "none"]
# Measurement Sets that stay after their last use
KEPT: dict[Keep, frozenset[str]] = {
    "all": frozenset({"ms", "cal_ms", "calibrated_ms"}),
    "calibrated": frozenset({"cal_ms", "calibrated_ms"}),
    "none": frozenset(),
}


def meaning(value: Any) -> Any:
    """What ``keep_ms`` says: it was yes or no in earlier versions, as YAML has them."""
    return ("all" if value else "none") if isinstance(value, bool) else value


def one_pass(keep: Keep, flag: FlagOptions) -> bool:
    """Whether nobody needs the large Measurement Sets of the tiles."""
    return "ms" not in KEPT[keep] and not split_steps(flag)[1]

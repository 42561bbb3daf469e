"""The status knows every rule: what it does not know could crash unseen."""

from __future__ import annotations

import re
from pathlib import Path

from contimg.report.stages import OTHER_RULES, STAGES

RULES = Path(__file__).parents[2] / "rules"


def test_logs_are_looked_for_where_the_rules_write_them():
    """Every rule's log, by rule and job, but for the two that say how things stand."""
    said = set()
    for file in RULES.glob("*.smk"):
        said |= set(re.findall(r'log_of\(\s*"(\w+)",\s*"([^"]+)"', file.read_text()))
    known = {(stage.rule, stage.job) for stage in STAGES}
    others = {(rule, job) for rule, job in said - known if rule in OTHER_RULES}
    assert known < said
    assert {rule for rule, _ in said - known - others} == {"show_status", "report_run"}
    assert {rule for rule, _ in others} == set(OTHER_RULES)

"""What is asked of CASA: every key of the config arrives in a call, and the calls are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from contimg.calibrate import presets, sequence
from contimg.calibrate.options import CalibrateOptions
from contimg.calibrate.presets import PRESETS, effective, refusal, tables
from contimg.core.errors import ContimgError, DataQualityError


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Function that returns the calls, by table, that some options lead to."""

    def record(task: str, **arguments) -> None:
        name = Path(arguments["caltable"]).name
        made[name] = {"task": task, **arguments}
        Path(arguments["caltable"]).mkdir()

    def ask(refants: tuple[str, ...] = ("DSA-3", "DSA-1"), **options) -> dict[str, dict]:
        made.clear()
        scratch = tmp_path / str(len(list(tmp_path.iterdir())))
        scratch.mkdir()
        settings = effective(CalibrateOptions(**options))
        sequence.solve(Path("x.ms"), scratch, list(refants), settings, "1~2")
        return dict(made)

    made: dict[str, dict] = {}
    monkeypatch.setattr(sequence, "run_task", record)
    monkeypatch.setattr(
        sequence, "smooth_table", lambda path, width: made[path.name].update(smoothed_hz=width)
    )
    return ask


ALL = "KPBG"

# key, value, tables whose call it changes, argument of the call, its value there
KEYS = [
    ("uvrange", ">1klambda", ALL, "uvrange", ">1klambda"),
    ("minblperant", 7, ALL, "minblperant", 7),
    ("parang", True, ALL, "parang", True),
    ("delay_solint", "60s", "K", "solint", "60s"),
    ("delay_combine", "scan,spw", "K", "combine", "scan,spw"),
    ("delay_minsnr", 9.0, "K", "minsnr", 9.0),
    ("prebandpass_solint", "30s", "P", "solint", "30s"),
    ("prebandpass_combine", "scan", "P", "combine", "scan"),
    ("prebandpass_minsnr", 9.0, "P", "minsnr", 9.0),
    ("bandpass_solint", "inf,8ch", "B", "solint", "inf,8ch"),
    ("bandpass_combine", "scan,field", "B", "combine", "scan,field"),
    ("bandpass_minsnr", 9.0, "B", "minsnr", 9.0),
    ("bandpass_fillgaps", 5, "B", "fillgaps", 5),
    ("bandpass_smooth_mhz", 2.0, "B", "smoothed_hz", 2e6),
    ("gain_solint", "120s", "G", "solint", "120s"),
    ("gain_combine", "scan,field", "G", "combine", "scan,field"),
    ("gain_calmode", "p", "G", "calmode", "p"),
    ("gain_minsnr", 9.0, "G", "minsnr", 9.0),
]
SHORT = [
    ("short_solint", "30s", "solint", "30s"),
    ("short_combine", "scan", "combine", "scan"),
    ("short_calmode", "a", "calmode", "a"),
    ("short_minsnr", 9.0, "minsnr", 9.0),
]
# keys that act elsewhere, and where that is tested
ELSEWHERE = {
    "fit_field": "truth/test_independent.py",
    "preset": "here",
    "delays": "here",
    "prebandpass": "here",
    "refant": "test_refant.py, test_solve.py",
    "refant_prefer": "test_refant.py",
    "min_pb": "test_integrations.py",
    "window": "test_integrations.py",
    "min_coherence": "test_health.py",
    "max_jump": "test_health.py",
    "model_kind": "test_solve.py",
    "model_path": "test_solve.py",
    "model_standard": "test_solve.py",
    "model_min_jy": "test_solve.py",
    "max_flagged": "test_solve.py",
    "fail_flagged": "test_solve.py",
}


def test_every_key_is_tested():
    tested = {key for key, *_ in KEYS} | {key for key, *_ in SHORT} | set(ELSEWHERE)
    assert tested == set(CalibrateOptions.model_fields)


@pytest.mark.parametrize(("key", "value", "changed", "argument", "there"), KEYS)
def test_key_changes_its_calls_and_no_other(calls, key, value, changed, argument, there):
    fixed = {} if key == "gain_combine" else {"gain_combine": "scan"}
    before, after = calls(**fixed), calls(**fixed | {key: value})
    assert list(before) == list(after) == list(ALL)
    for table in ALL:
        arguments = {k: v for k, v in after[table].items() if not k.endswith("table")}
        usual = {k: v for k, v in before[table].items() if not k.endswith("table")}
        if table in changed:
            assert arguments.pop(argument) == there
            assert usual.pop(argument, None) != there
        assert arguments == usual


def test_short_intervals_are_not_combined_away(calls):
    """CASA makes one solution of all scans if it is told to combine them."""
    assert calls()["G"]["combine"] == "scan"
    assert calls(gain_solint="60s")["G"]["combine"] == ""


@pytest.mark.parametrize(("key", "value", "argument", "there"), SHORT)
def test_key_of_the_short_gains_changes_their_call(calls, key, value, argument, there):
    usual = calls(short_solint="60s")["2G"][argument]
    assert calls(**({"short_solint": "60s"} | {key: value}))["2G"][argument] == there != usual


def test_each_table_is_applied_to_the_next(calls):
    """Delays that are solved and then used for nothing leave their slopes in the bandpass."""
    made = calls(short_solint="60s")
    applied = {name: [Path(t).name for t in call["gaintable"]] for name, call in made.items()}
    assert applied == {
        "K": [],
        "P": ["K"],
        "B": ["K", "P"],
        "G": ["K", "B"],
        "2G": ["K", "B", "G"],
    }


def test_steps_can_be_left_out(calls):
    assert list(calls(delays=False)) == ["P", "B", "G"]
    made = calls(prebandpass=False)
    assert list(made) == ["K", "B", "G"]
    assert [Path(t).name for t in made["B"]["gaintable"]] == ["K"]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_scale_stays_in_the_bandpass(calls, preset):
    made = calls(preset=preset, short_solint="60s")
    assert all(made[name]["solnorm"] is False for name in ("B", "G", "2G"))


def test_antennas_go_to_casa_by_name_and_in_order(calls):
    assert {call["refant"] for call in calls(refants=("DSA-103", "DSA-7")).values()} == {
        "DSA-103,DSA-7"
    }


def test_the_integrations_chosen_are_selected(calls):
    assert {call["timerange"] for call in calls().values()} == {"1~2"}


def test_a_table_that_casa_does_not_write_is_a_named_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(sequence, "run_task", lambda *_, **__: None)
    with pytest.raises(DataQualityError, match="no delays could be solved"):
        sequence.solve(tmp_path, tmp_path, ["A"], effective(CalibrateOptions()))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_leave_nothing_open(preset):
    """All presets settle the same keys; the rest has a default or may stay unset."""
    may_be_unset = {"refant", "refant_prefer", "window", "model_path"}
    settings = effective(CalibrateOptions(preset=preset))
    unset = {key for key in CalibrateOptions.model_fields if getattr(settings, key) is None}
    assert unset <= may_be_unset
    assert set(PRESETS[preset]) - {"window"} == set(PRESETS["standard"])


def test_what_is_given_wins_over_the_preset():
    settings = effective(CalibrateOptions(preset="high_precision", gain_minsnr=2, window=5))
    assert (settings.gain_minsnr, settings.window) == (2, 5)
    assert settings.delay_minsnr == PRESETS["high_precision"]["delay_minsnr"]
    # a preset's value can be taken back
    assert effective(CalibrateOptions(preset="high_precision", short_solint="")).short_solint == ""


def test_presets_differ_where_they_should(calls):
    """Each preset reaches CASA."""
    assert calls(preset="development")["G"]["calmode"] == "p"
    assert calls(preset="standard")["G"]["calmode"] == "ap"
    assert "2G" in calls(preset="high_precision")


def test_tables_of_a_calset_follow_the_options():
    assert tables(CalibrateOptions()) == ["K", "B", "G"]
    assert tables(CalibrateOptions(preset="high_precision")) == ["K", "B", "G", "2G"]
    assert tables(CalibrateOptions(delays=False, short_solint="int")) == ["B", "G", "2G"]


def test_unknown_words_are_refused():
    with pytest.raises(ValidationError):
        CalibrateOptions(preset="fast")
    with pytest.raises(ValidationError):
        CalibrateOptions(gain_calmode="pa")


@pytest.mark.parametrize("tier", ["standard", "high_precision"])
def test_development_calsets_are_refused_for_science(tier):
    record = {"product": "c", "data": {"tier": "development"}}
    assert "not fit for images of tier " + tier in refusal(record, tier)
    assert refusal(record, "development") == ""


@pytest.mark.parametrize("preset", ["standard", "high_precision"])
@pytest.mark.parametrize("tier", PRESETS)
def test_science_calsets_serve_all_tiers(preset, tier):
    assert presets.refusal({"product": "c", "data": {"tier": preset}}, tier) == ""


def test_a_calset_of_unknown_tier_is_refused():
    with pytest.raises(ContimgError, match="names no tier"):
        refusal({"product": "c", "data": {}}, "standard")

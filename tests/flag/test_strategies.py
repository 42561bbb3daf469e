"""Whole strategies: what can be configured, what they find, what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contimg.flag.options import (
    STRATEGIES,
    SUBBAND_STEPS,
    WHOLE_MS_STEPS,
    FlagOptions,
    split_steps,
    step_list,
)
from contimg.flag.stream import _STEPS
from flag import simulated_context as m

PARAMETERS = {
    "clip_max": 0.1,
    "quack_s": 13.0,
    "elevation_min_deg": 10.0,
    "uv_min_m": 30.0,
    "drop_antennas": ["DSA-001"],
    "drop_baselines": ["DSA-001&DSA-009"],
}
NO_TABLE = [s for s in SUBBAND_STEPS if s not in ("reset", "autos", "manual")]


def test_every_step_is_there():
    assert {*_STEPS, "reset", "invalid"} == set(SUBBAND_STEPS)
    assert {step for steps in STRATEGIES.values() for step in steps} <= {
        *SUBBAND_STEPS,
        *WHOLE_MS_STEPS,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": ["tfcrap"]}, "no step named tfcrap; known: reset"),
        ({"steps": ["mad_clip", "reset"]}, "reset .*can only be the first"),
        ({"steps": ["aoflagger", "autos"]}, "autos cannot follow aoflagger"),
        ({"steps": ["quack"]}, "step quack needs flag.quack_s"),
        ({"steps": ["clip"]}, "flag.clip_min or flag.clip_max"),
        ({"steps": ["manual"]}, "flag.manual_table"),
        ({"usable_fail": 0.5}, "usable_fail"),
    ],
)
def test_what_cannot_run_is_said_before_it_runs(options, message):
    with pytest.raises(ValidationError, match=message):
        FlagOptions(**options)


def test_steps_override_the_strategy_and_keep_their_order():
    assert step_list(FlagOptions(steps=["extend", "mad_clip"])) == ["invalid", "extend", "mad_clip"]
    assert (
        step_list(FlagOptions(steps=[])) == step_list(FlagOptions(strategy="none")) == ["invalid"]
    )
    assert step_list(FlagOptions(steps=["reset", "extend"], manual_table="t.csv")) == [
        "reset",
        "invalid",
        "manual",
        "extend",
    ]


def test_what_follows_a_step_on_the_whole_ms_runs_there_too():
    stream, ms = split_steps(FlagOptions(steps=["dead_antennas", "aoflagger", "mad_clip", "rflag"]))
    assert stream == ["invalid", "dead_antennas"] and ms == ["aoflagger", "mad_clip", "rflag"]
    assert split_steps(FlagOptions())[1] == []


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(st.sampled_from(NO_TABLE), max_size=6),
    shape=st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(1, 12)),
)
def test_flags_only_grow_and_say_by_how_much(seed, steps, shape):
    rng = np.random.default_rng(seed)
    n_time, n_ant, n_chan = shape
    made = m.empty(n_ant, n_chan, n_time)
    made.data[:] = m.noise_like(rng, made.data.shape)
    flags = rng.random(made.data.shape) < rng.choice([0, 0.1, 0.9, 1.0])
    before = flags.copy()
    options = FlagOptions(steps=steps, **PARAMETERS)
    added = m.flag_subband(made.data, flags, made.nsamples, made.context, options)
    assert (flags | before == flags).all()
    assert sum(added.values()) == pytest.approx(flags.mean() - before.mean(), abs=1e-9)
    assert min(added.values()) >= 0


@pytest.mark.parametrize("strategy", ["default", "fast"])
@pytest.mark.parametrize("calibrator_jy", [0.0, 8.8, 40.0])
def test_noise_and_sources_are_left_alone(strategy, calibrator_jy):
    made = m.make(np.random.default_rng(12), calibrator_jy=calibrator_jy)
    m.flag_subband(
        made.data, made.flags, made.nsamples, made.context, FlagOptions(strategy=strategy)
    )
    assert made.flags.mean() < 0.005


def test_data_without_noise_are_left_alone():
    made = m.make(np.random.default_rng(13), noise=False, field_sources=60)
    m.flag_subband(made.data, made.flags, made.nsamples, made.context, FlagOptions())
    assert made.flags.mean() < 0.01


def test_default_strategy_finds_what_matters_and_loses_little():
    rng = np.random.default_rng(14)
    made = m.make(rng, antenna_step=2, outriggers=10)
    mine = made.context.incidence[3]
    m.satellite(rng, made, slice(5, 8), 1000, 0.3)
    for channel, strength in ((5, 3.0), (30, 20.0)):
        m.line(rng, made, channel, slice(None), strength)
    for channel, strength in ((12, 5.0), (40, 8.0)):
        m.line(rng, made, channel, slice(12, 17), strength)
    made.add((slice(18, 21), mine), 5 * m.noise_like(rng, (3, mine.sum(), 48, 2)))
    made.add((slice(None), 40, 20), 6 * m.random_phases(rng, (24, 2)))
    m.noisy_input(rng, made, 9, 0, 4.0)
    m.swapped_inputs(rng, made, 15)
    flags = made.flags.copy()
    m.flag_subband(made.data, flags, made.nsamples, made.context, FlagOptions())
    bad = np.broadcast_to(made.bad_baselines[None, :, None], flags.shape)
    assert made.recall(flags) > 0.95
    assert made.clean_lost(flags) < 0.01
    assert flags[bad].all()


def test_empty_and_wholly_flagged_data_pass_through():
    made = m.empty(5, 8, 3)
    made.flags[:] = True
    added = m.flag_subband(made.data, made.flags, made.nsamples, made.context, FlagOptions())
    assert made.flags.all() and sum(added.values()) == 0


def test_arrays_that_cannot_be_changed_in_place_are_refused():
    made = m.empty(4, 8, 3)
    with pytest.raises(ValueError, match="contiguous"):
        m.flag_subband(
            made.data[:, :, ::-1],
            made.flags[:, :, ::-1],
            made.nsamples,
            made.context,
            FlagOptions(),
        )

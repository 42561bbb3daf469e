"""What a run says of its own search: completeness, rates, false alarms."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from contimg.variability import completeness, falsealarms, injection
from contimg.variability.options import VariabilityOptions
from contimg.variability.search import search_all
from variability import known_curves


def test_limits_of_fractions_and_rates():
    low, high = completeness.interval(7, 10)
    assert stats.binom.sf(6, 10, low) == pytest.approx(0.16)
    assert stats.binom.cdf(7, 10, high) == pytest.approx(0.16)
    assert completeness.interval(0, 5)[0] == 0 and completeness.interval(5, 5)[1] == 1
    years, events, rate, limit = completeness.rate(594.0, 10)
    assert (years, events) == (594.0, 10) and rate == pytest.approx(0.0168, abs=1e-4)
    # with this rate ten or fewer events are seen in one of twenty surveys
    assert stats.poisson.cdf(10, limit * 594) == pytest.approx(0.05)
    assert completeness.rate(100.0, 0)[3] == pytest.approx(0.02996, rel=1e-3)
    assert np.isnan(completeness.rate(0.0, 0)[3])


def test_table_of_completeness():
    injected = pd.DataFrame(
        {
            "depth": [0.15, 0.3, 0.5, 0.5],
            "width_days": [5.0, 5.0, 20.0, 20.0],
            "snr": [20.0, 20.0, 20.0, 5.0],
            "found": [False, True, True, False],
        }
    )
    sources = pd.DataFrame(
        {
            "snr": [20.0] * 10,
            "span_days": [365.25] * 10,
            "is_candidate": [True] + [False] * 9,
            "depth": [0.5] + [np.nan] * 9,
            "width_days": [20.0] + [np.nan] * 9,
        }
    )
    table = completeness.table(injected, sources)
    whole = table.iloc[0]
    assert (whole["injected"], whole["found"], whole["completeness"]) == (4, 2, 0.5)
    assert whole["source_years"] == 10 and whole["effective_source_years"] == 5
    assert whole["events"] == 1 and whole["rate_per_source_year"] == 0.2
    deep = table[(table["depth_low"] == 0.4) & (table["width_low_days"] == 10)]
    deep = deep[(deep["snr_low"] == 15)].iloc[0]
    assert (deep["injected"], deep["found"], deep["events"]) == (1, 1, 1)
    assert (table["injected"] > 0).all()


@pytest.fixture(scope="module")
def search():
    random = np.random.default_rng(5)
    curves = [
        known_curves.curve(f"s{k:02d}", np.ones(40), random.uniform(0.02, 0.04), random)
        for k in range(16)
    ]
    return search_all(curves, VariabilityOptions(null_draws=120))


def test_injected_dips_are_found(search):
    made = injection.inject(search, 8, {"s03"})
    assert len(made) == 8 and list(made.columns) == injection.COLUMNS
    assert "s03" not in set(made["source"])
    deep = made[(made["depth"] > 0.4) & made["width_days"].between(4, 20)]
    assert len(deep) and deep["found"].all()
    timed = made["found"] & (made["depth"] >= 0.4)
    assert (made["epochs_to_alert"].notna() == timed).all()
    assert (made.loc[timed, "epochs_to_alert"] >= 0).all()
    again = injection.inject(search, 4, {"s03"}, workers=2)
    pd.testing.assert_frame_equal(again, made.iloc[:4])


def test_an_alert_needs_no_later_epoch(search):
    made = injection.inject(search, 2, set())
    number = int(np.flatnonzero(made["found"])[0])
    random = np.random.default_rng([search.options.seed, 3])
    drawn = [injection.draw(search, list(range(16)), random) for _ in range(number + 1)][number]
    curve = drawn.into(search.curves[drawn.host])
    alert = injection._alert(search, curve, drawn.host, number, 0)
    part = [values[: alert + 1] for values in (curve.mjd, curve.flux, curve.error)]
    event = search.examine(type(curve)(curve.source, *part), drawn.host, number)
    assert search.announces(event)


def test_false_alarms_hold(search):
    made = falsealarms.simulate(search, 24)
    assert set(made["kind"]) == {"population", *falsealarms.RIVALS}
    assert not made["announced"].any()
    assert all(c.verdict == "pass" for c in falsealarms.judged(made, 1.0))


def test_false_alarms_that_do_not_hold_fail():
    p = np.concatenate([np.full(10, 0.001), np.linspace(0.1, 1, 10)])
    made = pd.DataFrame({"kind": "population", "false_alarm_probability": p, "announced": False})
    verdicts = [c.verdict for c in falsealarms.judged(made, 1.0)]
    assert verdicts.count("fail") == 2
    rivals = made.assign(kind="flare", announced=np.arange(20) < 4)
    verdict = {c.metric: c.verdict for c in falsealarms.judged(rivals, 1.0)}
    assert verdict["chance_of_rivals_announced"] == "fail"

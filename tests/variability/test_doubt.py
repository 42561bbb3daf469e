"""Warnings of quality assurance and what they make of a dip of a few epochs."""

import numpy as np
import pandas as pd
import pytest

from contimg.variability.banks import make_banks
from contimg.variability.doubt import PART, SEEN, block_odds, doubtful, doubting
from variability.test_ese_command import TIMES, curves, search


def test_odds_are_those_of_bayes():
    """Warned and unwarned epochs keep the rate of blocks over the run."""
    warned = np.arange(1000) < 100
    odds = block_odds(warned)
    assert np.mean(np.exp(odds)) == pytest.approx(1)
    assert np.exp(odds[0]) == pytest.approx(SEEN / 0.1)
    assert np.exp(odds[-1]) == pytest.approx((1 - SEEN) / 0.9)
    never = block_odds(np.zeros(10, bool))
    assert np.exp(never) == pytest.approx((1 - SEEN) / (1 - PART[0]))


def test_epochs_of_a_block_are_one_observation():
    banks = make_banks(np.arange(30.0), 3, 2.0, None)
    odds = np.where((np.arange(30) >= 10) & (np.arange(30) < 14), 2.0, -1.0)
    old, new = (b.of_class["bad_block"] for b in (banks, doubting(banks, odds)))
    by_block = dict(zip(map(tuple, old.parameters), new.log_weight - old.log_weight, strict=True))
    assert by_block[10.0, 4.0] == pytest.approx(2)
    assert by_block[12.0, 4.0] == pytest.approx(0.5)
    assert by_block[20.0, 4.0] == pytest.approx(-1)
    assert doubting(banks, None) is banks


def test_words_that_leave_a_row_in_doubt():
    flag = pd.Series(["", "unverified", "extended", "extended;edge", "unnormalised", None])
    assert doubtful(flag).tolist() == [False, True, False, True, True, False]


def test_a_warning_makes_a_dip_a_block(tmp_path):
    """The same five low epochs: with a warning, without, and where nobody says."""
    low = 1 - 0.45 * np.exp(-np.log(2) * np.abs((TIMES - 11) / 1.8) ** 2.5)
    table = curves(8, low=low)
    _, unknown = search(tmp_path, table)
    clean = table.assign(qa_warning=False)
    _, good = search(tmp_path, clean)
    inside = (clean["source"] == "low") & (clean["mjd"] - clean["mjd"].min()).between(8, 14)
    _, warned = search(tmp_path, clean.assign(qa_warning=inside))
    factor = [t.loc["low", "probability_bad_block"] for t in (good, unknown, warned)]
    assert factor[0] < factor[1] < factor[2]
    assert good.loc["low", "ese_log_bayes_factor"] > warned.loc["low", "ese_log_bayes_factor"] + 0.5

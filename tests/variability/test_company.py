"""Dips that other sources show, too."""

import numpy as np
import pytest

from contimg.variability.company import company_of
from contimg.variability.ese import LightCurve

TIMES = np.arange(60.0)
DIP = np.where(np.abs(TIMES - 30) < 3, -0.1, 0.0)


def curves(number: int, change, random, apart: float = 0.005) -> list[LightCurve]:
    """Sources with errors of 3 %, some minutes after each other."""
    return [
        LightCurve(
            f"s{k:02d}",
            60000 + TIMES + apart * k / number,
            1 + change(k) + 0.03 * random.normal(size=60),
            np.full(60, 0.03),
        )
        for k in range(number)
    ]


@pytest.mark.parametrize("apart", [0.005, 0.9])
def test_a_gain_error_is_shared(apart):
    random = np.random.default_rng(3)
    made = curves(12, lambda k: DIP * random.uniform(0.7, 1.3), random, apart)
    company = company_of(made)
    assert all(company.shares(c, DIP) for c in made)


def test_a_dip_of_one_source_is_its_own():
    """Whatever another one does at the same time, and if the others vary more than they say."""
    random = np.random.default_rng(4)
    rest = {1: 3 * DIP, 2: -10 * DIP} | {k: 0.1 * random.normal(size=60) for k in (3, 4)}
    made = curves(8, lambda k: rest.get(k, DIP if k == 0 else 0.0), random)
    assert not company_of(made).shares(made[0], DIP)


def test_of_long_dips_others_are_not_asked():
    long = np.where(np.abs(TIMES - 30) < 15, -0.1, 0.0)
    made = curves(12, lambda k: long, np.random.default_rng(3))
    assert not company_of(made).shares(made[0], long)


def test_of_few_and_faint_others_nothing_is_known():
    random = np.random.default_rng(5)
    made = curves(3, lambda k: DIP, random)
    assert not company_of(made).shares(made[0], DIP)
    assert not company_of(made[:1]).shares(made[0], DIP)
    faint = [LightCurve(c.source, c.mjd, c.flux, 20 * c.error) for c in curves(9, abs, random)]
    assert not company_of([made[0], *faint]).shares(made[0], DIP)

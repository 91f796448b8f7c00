"""The token bucket, and backing off: what holds whatever is asked and whenever."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.pacing.allowance import BURST_SECONDS, Allowance
from polystore.pacing.backoff import LEAST, REGAINED, BackOff

RATES = st.floats(0.5, 5000)
ASKED = st.lists(st.tuples(st.floats(0, 2), st.floats(0, 300)), max_size=60)
"""Pauses, and the amount that is asked for after each."""


def taken(rate: float, asked: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Moments and amounts of what was let through, taking each amount as soon as it fits."""
    allowance, now, found = Allowance.full(rate, 0.0), 0.0, []
    for pause, amount in asked:
        now += pause
        now += allowance.filled(now).wait(amount)
        allowance = allowance.filled(now)
        assert allowance.wait(amount) < 1e-5
        allowance = allowance.less(amount)
        found.append((now, amount))
    return found


@pytest.mark.rule("THR-1")
@given(RATES, ASKED)
def test_no_window_holds_more_than_its_rate_and_one_burst(
    rate: float, asked: list[tuple[float, float]]
) -> None:
    burst = max(rate * BURST_SECONDS, 1.0)
    found = taken(rate, asked)
    for first in range(len(found)):
        total = 0.0
        for moment, amount in found[first:]:
            total += amount
            debt = max(amount - burst, 0.0)
            assert total <= rate * (moment - found[first][0]) + burst + debt + 1e-3


@pytest.mark.rule("THR-1")
@given(RATES, st.floats(0, 300), st.floats(0, 300), st.floats(0, 10), st.floats(0, 10))
def test_waits_shrink_with_time_and_grow_with_what_is_taken_before(
    rate: float, amount: float, more: float, one: float, other: float
) -> None:
    allowance = Allowance.full(rate, 0.0).less(more)
    early, late = sorted((one, other))
    assert allowance.filled(late).wait(amount) <= allowance.filled(early).wait(amount)
    assert allowance.filled(early).wait(amount) <= allowance.filled(early).wait(amount, more)
    assert allowance.filled(late).filled(early) == allowance.filled(late)
    assert allowance.filled(late).left <= allowance.burst


@pytest.mark.rule("THR-1")
@given(RATES, st.floats(0, 300))
def test_what_is_given_back_is_there_again_and_no_more(rate: float, amount: float) -> None:
    allowance = Allowance.full(rate, 0.0)
    assert allowance.less(amount).less(-amount).left == pytest.approx(allowance.left)
    assert allowance.less(-amount).left == allowance.burst


def test_another_rate_makes_nothing_of_nothing() -> None:
    empty = Allowance.full(100, 0.0).less(8)
    assert empty.at_rate(1000).wait(1) == pytest.approx(0.001)
    assert Allowance.full(1000, 0.0).at_rate(10).left == 1.0


@pytest.mark.rule("THR-4")
@given(st.floats(1, 5000), st.lists(st.tuples(st.floats(0.001, 5), st.booleans()), max_size=40))
def test_a_rate_is_halved_never_below_one_and_never_above_its_ceiling(
    ceiling: float, events: list[tuple[float, bool]]
) -> None:
    backoff, now = BackOff(ceiling, ceiling), 0.0
    for pause, throttled in events:
        before = backoff.rate_at(now)
        now += pause
        assert (
            before
            <= backoff.rate_at(now)
            <= min(ceiling, max(before, before + REGAINED * ceiling * pause)) + 1e-9
        )
        if throttled:
            cut = backoff.throttled(now - 0.001, now, math.inf)
            assert cut.rate == max(backoff.rate_at(now) / 2, LEAST)
            backoff = cut
    assert backoff.rate_at(now + 1 / REGAINED) == ceiling


@pytest.mark.rule("THR-4")
def test_calls_that_were_on_their_way_at_a_cut_cut_no_further() -> None:
    backoff = BackOff(1000, 1000).throttled(1.0, 1.1, 1000)
    assert backoff.rate == 500
    assert backoff.throttled(1.05, 1.2, 1000) is backoff
    assert backoff.throttled(1.15, 1.2, 1000).rate == pytest.approx((500 + 5) / 2)


@pytest.mark.rule("THR-4")
def test_without_a_rate_half_of_what_was_going_on_is_left_until_it_is_regained() -> None:
    backoff = BackOff().throttled(1.0, 1.1, 400)
    assert backoff.rate_at(1.1) == 200
    assert backoff.rate_at(6.1) == pytest.approx(300)
    assert backoff.rate_at(11.2) == math.inf
    idle = BackOff().throttled(1.0, 1.1, 0.0)
    assert (idle.rate_at(1.1), idle.rate_at(12.0)) == (LEAST, math.inf)

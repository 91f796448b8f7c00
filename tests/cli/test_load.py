"""Rates and policies, changed by commands while an application runs; and in the configuration."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import polystore
from polystore import Declined
from polystore.capacity import Capacity
from tests.cli.conftest import Polystore

pytestmark = [pytest.mark.usefixtures("filled"), pytest.mark.timeout(60)]
WHY = ("--why", "the target is small", "--who", "ann")


@pytest.mark.rule("THR-10", "THR-9", "CLI-2")
def test_a_rate_and_a_policy_reach_an_application_that_runs(
    migrate: Polystore, config: Path
) -> None:
    for step in (("start", *WHY), ("advance", *WHY, "--sole-access"), ("advance", *WHY)):
        assert migrate(*step).code == 0
    with polystore.open(config) as store:
        cities = store["cities"]
        cities.put({"country": "c1", "city": 500})
        done = migrate("rate", "target", "0.5", *WHY)
        assert (done.code, done.out) == (0, "limit target.rate: 0.5\n")
        told = migrate("policy", "cities", "decline", *WHY, "--json").data["load"]
        assert told == {"limits": {"target.rate": 0.5}, "overload": {"cities": "decline"}}
        group = store._databases.member("geo").group
        deadline = time.monotonic() + 10
        while group.load.overload == () and time.monotonic() < deadline:
            time.sleep(0.05)
        cities.put({"country": "c1", "city": 501})
        with pytest.raises(Declined, match="the target"):
            cities.put({"country": "c1", "city": 502})
        assert cities.get("c1", 502) is None
        assert store.counts("geo")["declined:target"] == 1
        assert store.counts() == {}
        while True:
            shown = migrate("status", "--json").data
            if shown["counts"].get("declined:target") or time.monotonic() > deadline + 5:
                break
        assert shown["counts"]["declined:target"] == 1
        assert shown["setting"]["load"] == told
        text = migrate("status").out
        assert "limit target.rate: 0.5" in text
        assert "policy cities: decline" in text
        assert "declined:target 1" in text
        assert migrate("rate", "target", "off", *WHY).out.startswith("limit target.rate: off\n")
        assert migrate("policy", "cities", "configured", *WHY).code == 0
        done = migrate("rate", "target", "configured", *WHY)
        assert done.out == "everything as configured\n"
    history = migrate("history", "--json").data["history"]
    assert [(e["what"], e["who"], e["why"]) for e in history][-5:] == [
        (what, "ann", "the target is small")
        for what in (
            "rate target.rate 0.5",
            "policy cities decline",
            "rate target.rate off",
            "policy cities configured",
            "rate target.rate configured",
        )
    ]


@pytest.mark.rule("CLI-1", "THR-10")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rate", "target", "0"), "no number above 0"),
        (("rate", "middle", "1"), "middle"),
        (("rate", "target", "1.5", "--of", "calls"), "whole number"),
        (("policy", "cities", "panic"), "panic"),
        (("policy", "towns", "wait"), "towns"),
        (("backfill", "--rate", "0"), "0"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    migrate: Polystore, arguments: tuple[str, ...], words: str
) -> None:
    why = () if arguments[0] == "backfill" else WHY
    done = migrate(*arguments, *why)
    assert done.code == 2
    assert words in done.err
    assert migrate("history", "--json").data["history"] == []
    assert migrate("status", "--json").data["setting"]["load"] == {"limits": {}, "overload": {}}


@pytest.mark.rule("THR-10")
def test_what_is_configured_counts_until_an_operator_says_otherwise(
    migrate: Polystore, config: Path
) -> None:
    text = config.read_text().replace("indexes.by_state", 'overload = "wait"\nindexes.by_state')
    config.write_text(
        f"{text}\n[groups.geo.capacity]\nbackfill = 500\n"
        "source = {rate = 1000, bytes = 1e6}\ntarget = {concurrency = 4}\n"
    )
    with polystore.open(config) as store:
        group = store._databases.member("geo").group
        assert group.limiters["source"].capacity == Capacity(rate=1000, bytes=1e6)
        assert group.limiters["target"].capacity == Capacity(concurrency=4)
        assert group.copying.capacity == Capacity(rate=500)
        assert group.overload(group.collections["cities"]) == "wait"
        assert group.overload(group.collections["notes"]) == "queue"
    assert migrate("rate", "backfill", "20", *WHY).code == 0
    assert migrate("status", "--json").data["setting"]["load"]["limits"] == {"backfill": 20}

"""The options of URLs, as every driver reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from polystore.driver.options import Options, server_of
from polystore.errors import ConfigError

NAMES = ("name", "mode", "tls", "most", "timeout")


def options(place: str = "host", **given: str) -> Options:
    return Options("shelf", place, given, NAMES, "they are in SHELF_PASSWORD")


def test_an_option_is_what_was_given_or_else_the_default() -> None:
    given = options(name="a b", mode="fast", tls="no", most="7", timeout="0.5")
    assert given.get("name") == given.text("name", "x") == "a b"
    assert given.word("mode", "slow", ("slow", "fast")) == "fast"
    assert given.yes("tls", default=True) is False
    assert given.number("most", 3, 10) == 7
    assert given.timeout() == 0.5
    assert options(timeout="0").timeout(zero=True) == 0
    assert options(timeout="3600").timeout(most=3600) == 3600
    none = options()
    assert none.get("name") is None
    assert none.text("name", "x", "[a-z]") == "x"
    assert none.word("mode", "slow", ("slow", "fast")) == "slow"
    assert none.yes("tls", default=True) is True
    assert none.number("most", 3, 10) == 3
    assert none.timeout() == 5


@pytest.mark.rule("ERR-5")
@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: options(nam="x"), "unknown option nam; there are: name, mode, tls, most, timeout"),
        (lambda: options(name="a\n").text("name", "", "[a-z]", "takes a-z"), "name takes a-z"),
        (lambda: options(mode="x").word("mode", "a", ("a", "b")), "mode is one of a, b"),
        (lambda: options(tls="true").yes("tls", default=True), "tls is yes or no"),
        (lambda: options(most="0").number("most", 3, 10), "most is a number from 1 to 10"),
        (lambda: options(most="11").number("most", 3, 10), "most is a number from 1 to 10"),
        (lambda: options(timeout="601").timeout(), "timeout is a number of seconds"),
        (lambda: options(timeout="soon").timeout(), "timeout is a number of seconds"),
        (
            lambda: options(timeout="0").timeout(),
            "timeout is a number of seconds, above 0 and at most 600",
        ),
        (
            lambda: options(timeout="nan").timeout(zero=True),
            "timeout is a number of seconds, from 0 to 600",
        ),
        (
            lambda: options(timeout="-1").timeout(zero=True),
            "timeout is a number of seconds, from 0 to 600",
        ),
        (
            lambda: options(timeout="3601").timeout(most=3600),
            "timeout is a number of seconds, above 0",
        ),
    ],
)
def test_what_an_option_cannot_be_is_refused(read: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read()
    assert refused.value.message.startswith(f"shelf URL: {says}")
    assert refused.value.driver == "shelf"


@pytest.mark.rule("SEC-2", "ERR-5")
@pytest.mark.parametrize(
    ("place", "given"),
    [("me:s3cret@host", {}), ("host", {"password": "s3cret"}), ("host", {"api_key": "s3cret"})],
)
def test_credentials_are_refused_and_seen_nowhere(place: str, given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="they are in SHELF_PASSWORD") as refused:
        options(place, **given)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("", ("", 7, "")),
        ("db.example", ("db.example", 7, "")),
        ("db.example:80", ("db.example", 80, "")),
        ("db.example/a/b", ("db.example", 7, "a/b")),
        ("db.example:80/a:1", ("db.example", 80, "a:1")),
        ("[::1]:80/a", ("[::1]", 80, "a")),
        ("db.example:x", ("db.example:x", 7, "")),
    ],
)
def test_a_place_has_a_host_a_port_and_a_rest(place: str, found: tuple[str, int, str]) -> None:
    assert server_of(place, 7) == found

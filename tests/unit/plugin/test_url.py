"""URLs taken apart."""

from __future__ import annotations

import traceback

import pytest

from polystore.errors import ConfigError
from polystore.plugin import parse_url

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "scheme", "place", "options"),
    [
        ("sqlite:///app.db", "sqlite", "/app.db", {}),
        ("sqlite:////abs/app.db", "sqlite", "//abs/app.db", {}),
        ("sqlite:///a%20b%3Fc.db?synchronous=full", "sqlite", "/a b?c.db", {"synchronous": "full"}),
        ("sqlite:///me@work/a#b.db", "sqlite", "/me@work/a#b.db", {}),
        ("memory://", "memory", "", {}),
        ("DynamoDB://eu-west-1?a=1&b=", "dynamodb", "eu-west-1", {"a": "1", "b": ""}),
        ("dynamodb://x?endpoint=http://localhost:1/a?b=c", "dynamodb", "x", None),
        ("x://p?token=a%26b+c=d", "x", "p", {"token": "a&b+c=d"}),
        ("x+y.z-1://p:8000/%C3%A9", "x+y.z-1", "p:8000/é", {}),
        ("x://me%40work", "x", "me@work", {}),
        ("x://p?", "x", "p", {}),
    ],
)
def test_a_url_has_scheme_place_and_options(
    text: str, scheme: str, place: str, options: dict[str, str] | None
) -> None:
    url = parse_url(text)
    expected = {"endpoint": "http://localhost:1/a?b=c"} if options is None else options
    assert (url.scheme, url.place, dict(url.options)) == (scheme, place, expected)


WRONG = [
    f"no-url-{SECRET}",
    f"://{SECRET}",
    f"1x://{SECRET}",
    f"x:{SECRET}",
    "",
    f"x://user:{SECRET}@host/db",
    f"x://{SECRET}@host",
    f"x://user:a/{SECRET}@host",
    f"x://user:a?{SECRET}@host",
    f"x://p?{SECRET}",
    f"x://p?={SECRET}",
    f"x://p?token={SECRET}&token={SECRET}",
    f"x://p?token={SECRET}%FF",
    f"x://{SECRET}%FF",
]


@pytest.mark.rule("ERR-5", "SEC-2")
@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(text)
    # A caller's log has the whole chain of causes.
    caught.value.__traceback__ = None
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_user_in_a_url_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(ConfigError, match=r"no user and no password.*environment"):
        parse_url("x://user:password@host")


@pytest.mark.rule("SEC-2")
def test_repr_shows_no_option() -> None:
    assert SECRET not in repr(parse_url(f"x://p?token={SECRET}"))


def test_options_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        parse_url("x://p?a=1").options["a"] = "2"  # type: ignore[index]  # that is the test

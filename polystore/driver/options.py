"""The options of a URL, read and checked the same way by every driver. For driver authors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from polystore.errors import ConfigError

MOST_SECONDS = 600
"""Longest time-out of one call that a URL may ask for: beyond it is a mistake of units."""

_SECRET = re.compile("key|secret|token|password|cred")
_SERVER = re.compile(r"(?P<host>.*?)(:(?P<port>\d{1,5}))?(/(?P<rest>.*))?\Z", re.DOTALL)


class Options:
    """The options of one URL. What is no option of the driver is refused at once.

    Args:
        driver: name of the driver.
        place: the place of the URL; no credentials may be in it.
        given: the options as they were given.
        names: the options that there are.
        credentials: where the driver has its credentials from, for who writes them into the URL.

    Raises:
        ConfigError: an option that there is not, or what looks like credentials.
    """

    def __init__(
        self,
        driver: str,
        place: str,
        given: Mapping[str, str],
        names: Iterable[str],
        credentials: str,
    ) -> None:
        self._driver = driver
        self._given = given
        self._credentials = credentials
        unknown, known = sorted(given.keys() - names), ", ".join(names)
        if "@" in place or any(map(_SECRET.search, unknown)):
            raise self.misplaced()
        if unknown:
            raise self.wrong(f"unknown option {', '.join(unknown)}; there are: {known}")

    def wrong(self, problem: str) -> ConfigError:
        """The error for a URL that the driver cannot open."""
        return ConfigError(f"{self._driver} URL: {problem}", driver=self._driver)

    def misplaced(self) -> ConfigError:
        """The error for credentials in a URL."""
        return self.wrong(f"credentials have no place in it; {self._credentials}")

    def get(self, name: str) -> str | None:
        """An option as it was given; ``None`` where it was not."""
        return self._given.get(name)

    def text(self, name: str, default: str, form: str = ".*", problem: str = "") -> str:
        """A text that is wholly of the form of a regular expression.

        Raises:
            ConfigError: it is not; ``problem`` says what is expected.
        """
        given = self._given.get(name, default)
        if re.fullmatch(form, given, re.DOTALL) is None:
            raise self.wrong(f"{name} {problem}")
        return given

    def word(self, name: str, default: str, words: Iterable[str]) -> str:
        """One of several words. Raises ConfigError for another."""
        given = self._given.get(name, default)
        if given not in words:
            raise self.wrong(f"{name} is one of {', '.join(words)}")
        return given

    def yes(self, name: str, *, default: bool) -> bool:
        """Whether it is ``yes``. Raises ConfigError for what is neither that nor ``no``."""
        given = self._given.get(name, "yes" if default else "no")
        if given not in ("yes", "no"):
            raise self.wrong(f"{name} is yes or no")
        return given == "yes"

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to ``most``. Raises ConfigError for another."""
        given = self._given.get(name, str(default))
        if not (given.isdecimal() and 1 <= int(given) <= most):
            raise self.wrong(f"{name} is a number from 1 to {most}")
        return int(given)

    def timeout(self, default: float = 5, *, most: int = MOST_SECONDS, zero: bool = False) -> float:
        """The time-out of one call, option ``timeout``: seconds, above 0 and at most ``most``.

        Args:
            default: where it is not given.
            most: seconds.
            zero: whether 0 is one, too: not to wait at all.

        Raises:
            ConfigError: it is none; the message says what is expected.
        """
        try:
            seconds = float(self._given.get("timeout", default))
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= most or (seconds == 0 and not zero):
            least = "from 0 to" if zero else "above 0 and at most"
            raise self.wrong(f"timeout is a number of seconds, {least} {most}")
        return seconds


def server_of(place: str, port: int) -> tuple[str, int, str]:
    """Host, port and what follows them in a place of the form ``HOST:PORT/REST``.

    Args:
        place: of the URL.
        port: where it names none.
    """
    found = _SERVER.match(place)
    assert found is not None  # any text is of this form
    return found["host"], int(found["port"] or port), found["rest"] or ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: what goes there in plain text is seen by nobody else."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

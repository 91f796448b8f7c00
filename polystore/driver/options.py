"""Options of a URL that several drivers have, read the same way. For driver authors."""

from __future__ import annotations

from ipaddress import ip_address

from polystore.errors import ConfigError

MOST_SECONDS = 600
"""Longest time-out of one call that a URL may ask for: beyond it is a mistake of units."""


def wrong_url(driver: str, problem: str) -> ConfigError:
    """The error for a URL that a driver cannot open."""
    return ConfigError(f"{driver} URL: {problem}", driver=driver)


def timeout_of(driver: str, text: str) -> float:
    """The time-out of one call, in seconds, above 0 and at most 600.

    Raises:
        ConfigError: it is none; the message says what is expected.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_SECONDS:
        problem = f"timeout is a number of seconds, above 0 and at most {MOST_SECONDS}"
        raise wrong_url(driver, problem)
    return seconds


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: what goes there in plain text is seen by nobody else."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

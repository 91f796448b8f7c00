"""URLs of databases, taken apart. What they hold may be secret, so no message repeats any of it."""

from __future__ import annotations

import re
from types import MappingProxyType
from urllib.parse import unquote

from polystore.errors import ConfigError
from polystore.plugin.specs import DriverURL

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^?]*)(?:\?(.*))?\Z", re.DOTALL)
_EXPECTED = "scheme://place?option=value is expected, such as sqlite:///app.db"


def parse_url(text: str) -> DriverURL:
    """Take ``scheme://place?option=value&option=value`` apart.

    ``place`` is all that stands between ``//`` and ``?``, unquoted and with its slashes:
    ``sqlite:///app.db`` has the place ``/app.db``. ``%3F`` is a question mark in it, and ``+`` is
    a plus everywhere. The scheme is in lower case.

    Raises:
        ConfigError: not of that form, or with a user or password in front of the place.
    """
    found = _URL.match(text)
    if not found:
        raise ConfigError(f"this is not the URL of a database: {_EXPECTED}")
    scheme, place, query = found[1].lower(), found[2], found[3]
    # A password may hold a slash, so only a place that is a path may hold an "@".
    if "@" in place and not place.startswith("/"):
        raise ConfigError(
            f"{scheme}://…: a URL takes no user and no password. Leave them out: a driver finds "
            "credentials where its SDK does (environment, configuration file, role of the "
            "machine). An @ that belongs to the place is written %40",
            driver=scheme,
        )
    try:
        return DriverURL(scheme, unquote(place, errors="strict"), _options(scheme, query))
    except UnicodeDecodeError:
        # Without its cause, which would show the text.
        raise ConfigError(f"{scheme}://…: what % stands for must be UTF-8", driver=scheme) from None


def _options(scheme: str, query: str | None) -> MappingProxyType[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise ConfigError(
                f"{scheme}://…: after the ? each option is name=value, joined by & (a & inside a "
                "value is written %26)",
                driver=scheme,
            )
        name = unquote(name, errors="strict")
        if name in options:
            raise ConfigError(f"{scheme}://…: an option is given twice", driver=scheme)
        options[name] = unquote(value, errors="strict")
    return MappingProxyType(options)

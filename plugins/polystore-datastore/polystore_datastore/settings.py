"""The options of a ``datastore://`` URL, checked. Credentials are never among them."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import attrs

from polystore.driver.options import is_loopback, timeout_of, wrong_url
from polystore.errors import ConfigError
from polystore.plugin.specs import DriverURL

OPTIONS = ("namespace", "database", "emulator", "timeout", "insecure")
EMULATOR = "DATASTORE_EMULATOR_HOST"
_PROJECT = re.compile(r"[A-Za-z0-9:._~-]{1,100}\Z")
_NAMESPACE = re.compile(r"[0-9A-Za-z._-]{0,100}\Z")
_DATABASE = re.compile(r"[a-z0-9-]{0,63}\Z")


@attrs.frozen(kw_only=True)
class Settings:
    """How one place is opened.

    Attributes:
        project: the Google Cloud project.
        database: its database; empty for the default one.
        namespace: the namespace of every key; empty for the default one.
        emulator: ``HOST:PORT`` of an emulator, reached in plain text; ``None`` for the service.
        timeout: seconds to wait for each answer.
    """

    project: str
    database: str = ""
    namespace: str = ""
    emulator: str | None = None
    timeout: float = 5.0


def settings_of(url: DriverURL) -> Settings:
    """The settings that a URL, and ``DATASTORE_EMULATOR_HOST`` where it names none, ask for.

    Raises:
        ConfigError: an unknown option or a wrong value, an emulator that is not on this machine,
            or what looks like credentials.
    """
    options = url.options
    if "@" in url.place or any(re.search("key|secret|token|password|cred", n) for n in options):
        raise _wrong("credentials have no place in it; Google's library finds them by itself")
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise _wrong(f"unknown option {', '.join(unknown)}; there are {', '.join(OPTIONS)}")
    if not _PROJECT.match(url.place):
        raise _wrong("the place is the name of a project: datastore://my-project")
    namespace, database = options.get("namespace", ""), options.get("database", "")
    if not _NAMESPACE.match(namespace) or re.fullmatch("__.*__", namespace):
        raise _wrong("namespace takes letters, digits and . _ - , at most 100")
    if not _DATABASE.match(database):
        raise _wrong("database takes a-z, 0-9 and -; leave it out for the default one")
    insecure = options.get("insecure", "no")
    if insecure not in ("yes", "no"):
        raise _wrong("insecure is yes or no")
    return Settings(
        project=url.place,
        database=database,
        namespace=namespace,
        emulator=_emulator(options.get("emulator") or os.environ.get(EMULATOR), insecure == "yes"),
        timeout=timeout_of("datastore", options.get("timeout", "5")),
    )


def _wrong(problem: str) -> ConfigError:
    return wrong_url("datastore", problem)


def _emulator(place: str | None, insecure: bool) -> str | None:
    if not place:
        return None
    place = place.removeprefix("http://")
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if not host or not port or parts is None or parts.netloc != place or "@" in place:
        raise _wrong("emulator is HOST:PORT")
    if not insecure and not is_loopback(host):
        raise _wrong(
            "an emulator gets records in plain text; one that is not on this machine needs "
            "insecure=yes, if the network is trusted"
        )
    return place

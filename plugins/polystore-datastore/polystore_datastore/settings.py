"""The options of a ``datastore://`` URL, checked. Credentials are never among them."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import attrs

from polystore.driver.options import Options, is_loopback
from polystore.plugin.specs import DriverURL

OPTIONS = ("namespace", "database", "emulator", "timeout", "insecure")
EMULATOR = "DATASTORE_EMULATOR_HOST"
_PROJECT = re.compile(r"[A-Za-z0-9:._~-]{1,100}\Z")
_NAMESPACE = r"(?!__.*__\Z)[0-9A-Za-z._-]{0,100}"
_DATABASE = "[a-z0-9-]{0,63}"
CREDENTIALS = "Google's library finds them by itself"


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
    given = Options("datastore", url.place, url.options, OPTIONS, CREDENTIALS)
    if not _PROJECT.match(url.place):
        raise given.wrong("the place is the name of a project: datastore://my-project")
    return Settings(
        project=url.place,
        namespace=given.text(
            "namespace", "", _NAMESPACE, "takes letters, digits and . _ - , at most 100"
        ),
        database=given.text(
            "database", "", _DATABASE, "takes a-z, 0-9 and -; leave it out for the default one"
        ),
        emulator=_emulator(given),
        timeout=given.timeout(),
    )


def _emulator(given: Options) -> str | None:
    insecure = given.yes("insecure", default=False)
    place = given.get("emulator") or os.environ.get(EMULATOR)
    if not place:
        return None
    place = place.removeprefix("http://")
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if not host or not port or parts is None or parts.netloc != place or "@" in place:
        raise given.wrong("emulator is HOST:PORT")
    if not insecure and not is_loopback(host):
        raise given.wrong(
            "an emulator gets records in plain text; one that is not on this machine needs "
            "insecure=yes, if the network is trusted"
        )
    return place

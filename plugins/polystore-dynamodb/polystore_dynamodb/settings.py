"""The options of a ``dynamodb://`` URL, checked. Credentials are never among them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import attrs

from polystore.driver.options import Options, is_loopback
from polystore.plugin.specs import DriverURL

OPTIONS = ("endpoint", "prefix", "bulk", "timeout", "insecure", "wire")
BULK_FORMS = ("single", "transaction")
WIRES = ("boto3", "lean")
CREDENTIALS = (
    "boto3 finds them in the environment, the AWS configuration files or the instance's role"
)
_REGION = re.compile(r"[a-z0-9-]{0,40}\Z")
_PREFIX = r"[A-Za-z0-9_.-]{0,100}"


@attrs.frozen(kw_only=True)
class Settings:
    """How one place is opened.

    Attributes:
        region: AWS region; empty for the one of the AWS configuration.
        endpoint: another endpoint than the region's own, or ``None``.
        prefix: what every table name starts with.
        bulk: how conditional writes of ``write_many`` are sent: ``single`` puts, many in flight
            (1 write unit each), or a ``transaction`` of up to 100 (2 units each, fewer calls).
        timeout: seconds to wait for a connection, and again for each answer.
        wire: who makes the calls: ``boto3``, or ``lean`` sockets of the driver's own.
    """

    region: str = ""
    endpoint: str | None = None
    prefix: str = ""
    bulk: str = "single"
    timeout: float = 5.0
    wire: str = "boto3"


def settings_of(url: DriverURL) -> Settings:
    """The settings that a URL asks for.

    Raises:
        ConfigError: an unknown option or a wrong value, a plain-text endpoint that is not on this
            machine, or what looks like credentials.
    """
    given = Options("dynamodb", url.place, url.options, OPTIONS, CREDENTIALS)
    if not _REGION.match(url.place):
        raise given.wrong("the place is a region such as eu-central-1, or empty")
    return Settings(
        region=url.place,
        endpoint=_endpoint(given),
        prefix=given.text("prefix", "", _PREFIX, "takes letters, digits and _ . -"),
        bulk=given.word("bulk", "single", BULK_FORMS),
        timeout=given.timeout(),
        wire=given.word("wire", "boto3", WIRES),
    )


def _endpoint(given: Options) -> str | None:
    endpoint, insecure = given.get("endpoint"), given.yes("insecure", default=False)
    if endpoint is None:
        return None
    if "@" in endpoint:
        raise given.misplaced()
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = parts = None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise given.wrong("endpoint is http://HOST:PORT or https://HOST:PORT")
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        raise given.wrong(
            "an http endpoint sends records in plain text; use https, or insecure=yes if the "
            "network is trusted"
        )
    return endpoint

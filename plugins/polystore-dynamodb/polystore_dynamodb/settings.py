"""The options of a ``dynamodb://`` URL, checked. Credentials are never among them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import attrs

from polystore.driver.options import is_loopback, timeout_of, wrong_url
from polystore.errors import ConfigError
from polystore.plugin.specs import DriverURL

OPTIONS = ("endpoint", "prefix", "bulk", "timeout", "insecure", "wire")
BULK_FORMS = ("single", "transaction")
WIRES = ("boto3", "lean")
_REGION = re.compile(r"[a-z0-9-]{0,40}\Z")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{0,100}\Z")


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
    _refuse_credentials(url)
    unknown = sorted(set(url.options) - set(OPTIONS))
    if unknown:
        raise _wrong(f"unknown option {', '.join(unknown)}; there are {', '.join(OPTIONS)}")
    if not _REGION.match(url.place):
        raise _wrong("the place is a region such as eu-central-1, or empty")
    options = url.options
    if not _PREFIX.match(options.get("prefix", "")):
        raise _wrong("prefix takes letters, digits and _ . -")
    if options.get("bulk", "single") not in BULK_FORMS:
        raise _wrong(f"bulk is one of {', '.join(BULK_FORMS)}")
    if options.get("wire", "boto3") not in WIRES:
        raise _wrong(f"wire is one of {', '.join(WIRES)}")
    return Settings(
        region=url.place,
        endpoint=_endpoint(options.get("endpoint"), options.get("insecure", "no")),
        prefix=options.get("prefix", ""),
        bulk=options.get("bulk", "single"),
        timeout=timeout_of("dynamodb", options.get("timeout", "5")),
        wire=options.get("wire", "boto3"),
    )


def _wrong(problem: str) -> ConfigError:
    return wrong_url("dynamodb", problem)


def _refuse_credentials(url: DriverURL) -> None:
    secret = any(re.search("key|secret|token|password|credential", name) for name in url.options)
    if secret or "@" in url.place or "@" in url.options.get("endpoint", ""):
        raise _wrong(
            "credentials have no place in it; boto3 finds them in the environment, the AWS "
            "configuration files or the instance's role"
        )


def _endpoint(endpoint: str | None, insecure: str) -> str | None:
    if insecure not in ("yes", "no"):
        raise _wrong("insecure is yes or no")
    if endpoint is None:
        return None
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = parts = None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise _wrong("endpoint is http://HOST:PORT or https://HOST:PORT")
    if parts.scheme == "http" and insecure == "no" and not is_loopback(host):
        raise _wrong(
            "an http endpoint sends records in plain text; use https, or insecure=yes if the "
            "network is trusted"
        )
    return endpoint

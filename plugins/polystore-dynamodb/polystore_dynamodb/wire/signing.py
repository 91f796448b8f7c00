"""AWS Signature Version 4 for DynamoDB, with the day's key kept.

Equal byte for byte to ``botocore.auth.SigV4Auth`` for the headers that are signed here
(tests/test_dynamodb_signing.py), at a tenth of its price.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import NamedTuple, Protocol

CONTENT_TYPE = "application/x-amz-json-1.0"
API = "DynamoDB_20120810"


class Identity(Protocol):
    """A moment's credentials: what ``get_frozen_credentials()`` of botocore gives."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class _DayKey(NamedTuple):
    """The signing key of one day and one identity. Never shown: it signs like the secret."""

    secret: str
    day: str
    scope: str
    key: bytes


class Signer:
    """Signs calls to one host in one region; threads may share it. ``repr`` shows no key."""

    def __init__(self, host: str, region: str) -> None:
        self._host = host
        self._region = region
        self._kept: _DayKey | None = None

    def headers(self, identity: Identity, target: str, body: bytes, now: float) -> str:
        """The headers of a call, each line closed by CR LF.

        Args:
            target: the operation, such as ``GetItem``.
            now: seconds since 1970.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        kept = self._day_key(identity.secret_key, moment[:8])
        token = identity.token
        canonical, shown, names = "", "", ""
        if token:
            canonical = f"x-amz-security-token:{' '.join(token.split())}\n"
            shown = f"X-Amz-Security-Token: {token}\r\n"
            names = "x-amz-security-token;"
        signed = f"content-type;host;x-amz-date;{names}x-amz-target"
        request = (
            f"POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{self._host}\nx-amz-date:{moment}\n"
            f"{canonical}x-amz-target:{API}.{target}\n\n{signed}\n"
            f"{hashlib.sha256(body).hexdigest()}"
        )
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{kept.scope}\n{digest}"
        signature = hmac.digest(kept.key, text.encode(), "sha256").hex()
        return (
            f"Host: {self._host}\r\nContent-Type: {CONTENT_TYPE}\r\n"
            f"X-Amz-Target: {API}.{target}\r\nX-Amz-Date: {moment}\r\n{shown}"
            f"Authorization: AWS4-HMAC-SHA256 Credential={identity.access_key}/{kept.scope}, "
            f"SignedHeaders={signed}, Signature={signature}\r\n"
        )

    def _day_key(self, secret: str, day: str) -> _DayKey:
        kept = self._kept
        if kept is None or kept.day != day or kept.secret != secret:
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, "dynamodb", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            scope = f"{day}/{self._region}/dynamodb/aws4_request"
            kept = self._kept = _DayKey(secret, day, scope, key)
        return kept

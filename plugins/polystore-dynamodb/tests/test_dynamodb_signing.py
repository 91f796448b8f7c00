"""The signer of the lean wire beside botocore's."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from polystore_dynamodb.wire.signing import API, CONTENT_TYPE, Signer

MOMENTS = (1_780_000_000.7, 1_780_000_001.0, 1_780_086_400.2, 1_772_323_199.999)
"""Two of one day, the day after it, and the last millisecond of a February."""


def botocores(
    identity: Credentials, url: str, target: str, body: bytes, now: float,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:  # fmt: skip
    moment = datetime.fromtimestamp(now, UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moment)
    own = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": f"{API}.{target}"}
    request = AWSRequest("POST", url, own, body)
    signer = botocore.auth.SigV4Auth(identity.get_frozen_credentials(), "dynamodb", "eu-west-3")
    signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("token", [None, "to/ken+=="])
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8811/", "127.0.0.1:8811"),
        ("http://[::1]:8811/", "[::1]:8811"),
        ("https://dynamodb.eu-west-3.amazonaws.com/", "dynamodb.eu-west-3.amazonaws.com"),
    ],
)
def test_a_signature_is_byte_for_byte_that_of_botocore(
    url: str, host: str, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer(host, "eu-west-3")
    for secret in ("s" * 40, "t" * 40, "s" * 40):
        identity = Credentials("AKIDEXAMPLE", secret, token)
        for now in MOMENTS:
            for target, body in (("PutItem", b'{"TableName":"T"}'), ("Scan", b"")):
                expected = botocores(identity, url, target, body, now, monkeypatch)
                text = signer.headers(identity.get_frozen_credentials(), target, body, now)
                lines = (line.partition(": ") for line in text.split("\r\n")[:-1])
                found = {name.lower(): value for name, _, value in lines}
                assert found.pop("host") == host
                assert found == expected


@pytest.mark.rule("SEC-2")
def test_a_signer_shows_no_secret() -> None:
    identity = Credentials("AKIDEXAMPLE", "s3cr3t", "t0k3n").get_frozen_credentials()
    signer = Signer("db.example", "eu-west-3")
    text = signer.headers(identity, "Scan", b"", MOMENTS[0])
    assert "s3cr3t" not in text
    assert not re.search("s3cr3t|t0k3n", repr(signer))

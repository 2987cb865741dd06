"""What looks like a secret is hidden; everything else stays."""

from __future__ import annotations

import pytest

from mirror.cli.redaction import HIDDEN, redact, redact_value


@pytest.mark.parametrize(
    "text",
    [
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "x github_pat_11AAAAAAA0_bbbbbbbbbbbbbbbb y",
        "Authorization: Bearer 0123456789abcdef",
        "{'Authorization': 'token 0123456789abcdef'}",
        "https://user:0123456789abcdef@proxy.example.com/",
        "https://s3.example.com/a?X-Amz-Signature=0123456789abcdef&x=1",
        "https://blob.example.com/a?sp=r&sig=0123456789abcdef%3D&se=2026",
        "-----BEGIN RSA PRIVATE KEY-----\n0123456789abcdef\n-----END RSA PRIVATE KEY-----",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIwMTIzNDU2Nzg5YWJjZGVmIn0.c2ln",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    """Whatever form a secret has, it is not in the text; that one was there is."""
    shown = redact(text)
    assert HIDDEN in shown
    for secret in ("0123456789abcdef", "bbbbbbbbbbbbbbbb", "eyJpc3MiOiIwMTI"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "asset.uploaded",
        "cli/cli v2.0.0 gh_2.0.0_linux_amd64.tar.gz",
        "https://ghe.example.com/api/v3/repos/a/b/releases?per_page=100",
        "a token is needed",
    ],
)
def test_the_rest_stays(text: str) -> None:
    """What is no secret is told."""
    assert redact(text) == text


def test_by_name() -> None:
    """A value with the name of a secret is hidden whatever it looks like; numbers stay."""
    assert redact_value("webhook_secret", "plain") == HIDDEN
    assert redact_value("headers", {"Authorization": "x", "Accept": "y"}) == {
        "Authorization": HIDDEN,
        "Accept": "y",
    }
    assert redact_value("bytes", 7) == 7

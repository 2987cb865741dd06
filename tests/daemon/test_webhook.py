from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from mirror.daemon.webhook import (
    RELEASE_ACTIONS,
    Decision,
    Ignored,
    Ping,
    Refused,
    ReleaseChanged,
    decide,
)

SECRET = "It's a Secret to Everybody"
PAYLOAD: dict[str, Any] = {
    "action": "published",
    "release": {"id": 1, "tag_name": "v1", "upload_url": "https://evil.example/upload"},
    "repository": {"id": 5, "full_name": "acme/tools", "html_url": "https://evil.example/x"},
}


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def delivery(
    payload: object = PAYLOAD, body: bytes | None = None, **headers: str | None
) -> tuple[CIMultiDict[str], bytes]:
    """Headers and body, signed; a header of ``None`` is left out."""
    body = json.dumps(payload).encode() if body is None else body
    all_headers: dict[str, str | None] = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "release",
        "X-Hub-Signature-256": sign(body),
    }
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return CIMultiDict({k: v for k, v in all_headers.items() if v is not None}), body


def decision(
    payload: object = PAYLOAD, body: bytes | None = None, **headers: str | None
) -> Decision:
    return decide(*delivery(payload, body, **headers), SECRET)


@pytest.mark.parametrize("action", sorted(RELEASE_ACTIONS))
def test_a_release_event_leads_to_a_sync(action: str) -> None:
    """Whatever happened to a release: the sync finds out what is true."""
    assert decision(PAYLOAD | {"action": action}) == ReleaseChanged(None, "acme/tools", action)


def test_a_form_holds_the_same_payload() -> None:
    """GitHub sends either of two content types; the signature is over the bytes of both."""
    body = urlencode({"payload": json.dumps(PAYLOAD)}).encode()
    kind = "Application/X-WWW-Form-Urlencoded; charset=utf-8"
    assert decision(body=body, Content_Type=kind) == ReleaseChanged(None, "acme/tools", "published")


@pytest.mark.parametrize(
    ("header", "host"),
    [
        (None, None),
        ("GHE.Example.COM", "ghe.example.com"),
        (" ghe.example.com:8443 ", "ghe.example.com:8443"),
        ("octo.ghe.com", "octo.ghe.com"),
    ],
)
def test_the_source_is_chosen_by_the_host_that_sent_it(
    header: str | None, host: str | None
) -> None:
    """Absent means github.com; case does not matter."""
    found = decision(X_GitHub_Enterprise_Host=header)
    assert found == ReleaseChanged(host, "acme/tools", "published")


@pytest.mark.parametrize(
    "host", ["", "a b", "https://ghe.example.com", "ghe/../x", "é", "-x", "x" * 300]
)
def test_what_is_no_hosts_name_is_refused(host: str) -> None:
    """It is neither looked up nor logged."""
    assert decision(X_GitHub_Enterprise_Host=host) == Refused(
        400, "X-GitHub-Enterprise-Host is not a host name"
    )


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        sign(b"something else"),
        sign(json.dumps(PAYLOAD).encode(), "another secret"),
        sign(json.dumps(PAYLOAD).encode()).upper(),
        sign(json.dumps(PAYLOAD).encode())[:-1],
        sign(json.dumps(PAYLOAD).encode()) + " ",
        "sha1=" + hmac.new(SECRET.encode(), json.dumps(PAYLOAD).encode(), "sha1").hexdigest(),
        "sha256=" + "é" * 64,
    ],
)
def test_nothing_is_told_without_the_right_signature(signature: str | None) -> None:
    """401, no detail, for pings and unknown events as well: a stranger learns nothing."""
    for event in ("release", "ping", "push", None):
        found = decision(X_Hub_Signature_256=signature, X_GitHub_Event=event)
        assert found == Refused(401)


def test_an_old_signature_is_no_signature() -> None:
    """SHA-1 alone is not enough, however right it is."""
    body = json.dumps(PAYLOAD).encode()
    old = "sha1=" + hmac.new(SECRET.encode(), body, "sha1").hexdigest()
    assert decision(X_Hub_Signature_256=None, X_Hub_Signature=old) == Refused(401)


def test_an_empty_secret_signs_nothing() -> None:
    """An empty secret is known to everybody."""
    headers, body = delivery()
    headers["X-Hub-Signature-256"] = sign(body, "")
    assert decide(headers, body, "") == Refused(401)


def test_a_changed_byte_breaks_the_signature() -> None:
    """The signature is over the bytes as they came, not over what they mean."""
    headers, body = delivery()
    assert decide(headers, body + b" ", SECRET) == Refused(401)


def test_a_ping_is_answered() -> None:
    """Whatever it holds."""
    assert decision(body=b"{not json", X_GitHub_Event="ping") == Ping()


@pytest.mark.parametrize(
    "event", ["push", "create", "delete", "workflow_run", "Release", "<script>"]
)
def test_other_events_are_taken_without_work(event: str) -> None:
    """Nor is their content looked at."""
    found = decision(body=b"\xff", X_GitHub_Event=event)
    assert isinstance(found, Ignored)
    assert "<" not in found.reason


@pytest.mark.parametrize("action", ["locked", "", "<b>", "x" * 1000, "PUBLISHED"])
def test_unknown_actions_are_taken_without_work(action: str) -> None:
    """Servers to come may have more of them."""
    found = decision(PAYLOAD | {"action": action})
    assert isinstance(found, Ignored)
    assert "<" not in found.reason
    assert len(found.reason) < 100


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe\xfd",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
        b"payload=%7B%7D",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """Even from who knows the secret: 400, and no exception."""
    found = decision(body=body)
    assert isinstance(found, Refused)
    assert found.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=",
        b"payload={",
        b"other=%7B%7D",
        b"payload=%7B%7D&payload=%7B%7D",
        b"&".join(b"a%d=1" % n for n in range(1000)),
        b"\xff=\xff",
        b"payload=%FF%FE%FD",
    ],
)
def test_a_form_without_a_payload_is_refused(body: bytes) -> None:
    """One field of that name is what GitHub sends."""
    found = decision(body=body, Content_Type="application/x-www-form-urlencoded")
    assert isinstance(found, Refused)
    assert found.status == 400


@pytest.mark.parametrize("kind", [None, "", "text/plain", "multipart/form-data", "application/xml"])
def test_other_content_types_are_refused(kind: str | None) -> None:
    """GitHub knows two."""
    found = decision(Content_Type=kind)
    assert isinstance(found, Refused)
    assert found.status == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"action": None},
        {"action": 5},
        {"action": ["published"]},
        {"repository": None},
        {"repository": "acme/tools"},
        {"repository": []},
        {"repository": {}},
        {"repository": {"full_name": 7}},
        {"repository": {"full_name": None}},
        {"repository": {"full_name": ""}},
        {"repository": {"full_name": "acme"}},
        {"repository": {"full_name": "acme/.."}},
        {"repository": {"full_name": "../../etc"}},
        {"repository": {"full_name": "acme/tools/releases"}},
        {"repository": {"full_name": "acme/tools\n"}},
        {"repository": {"full_name": "acme/tools?x=1"}},
        {"repository": {"full_name": "*/*"}},
        {"repository": {"full_name": "a" * 100_000 + "/x"}},
        {"repository": {"full_name": "\ud800/x"}},
    ],
)
def test_wrong_types_and_names_are_refused(changed: dict[str, Any]) -> None:
    """400 with a sentence; what was sent is not in it."""
    found = decision(PAYLOAD | changed)
    assert isinstance(found, Refused)
    assert found.status == 400
    assert "etc" not in found.reason


def test_an_event_must_be_named() -> None:
    """A signed delivery without an event is none of GitHub's."""
    assert decision(X_GitHub_Event=None) == Refused(400, "X-GitHub-Event is missing")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(action=JSON, repository=JSON | st.fixed_dictionaries({"full_name": JSON}))
def test_no_payload_raises(action: object, repository: object) -> None:
    """Every delivery becomes a decision."""
    found = decision({"action": action, "repository": repository})
    assert isinstance(found, (Refused, Ignored, ReleaseChanged))


@given(
    body=st.binary(),
    kind=st.sampled_from(["application/json", "application/x-www-form-urlencoded"]),
)
def test_no_bytes_raise(body: bytes, kind: str) -> None:
    """Every delivery becomes a decision."""
    assert isinstance(decision(body=body, Content_Type=kind), Refused)

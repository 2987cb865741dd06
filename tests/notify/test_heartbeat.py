"""The heartbeat: heard while all is well, a secret, and never in the way."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from structlog.testing import capture_logs

from mirror.github.connector import Proxies
from mirror.notify.heartbeat import RETRY, Heartbeat, usable
from support.bell import Bell
from support.clock import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "b7e1c0de-0bad-4dad-8bad-feedfacef00d"


async def test_it_is_one_get(bell: Bell) -> None:
    """Nothing of what is mirrored goes with it, and no credential."""
    assert await Heartbeat(bell.url(f"ping/{SECRET}?a=b"), VirtualClock()).beat()
    (ring,) = bell.rings
    assert (ring.method, ring.path, ring.body) == ("GET", f"/ping/{SECRET}?a=b", b"")
    assert ring.headers["User-Agent"].startswith("release-mirror/")
    assert not {"Authorization", "Cookie", "Referer"} & set(ring.headers)


@pytest.mark.parametrize(
    ("statuses", "rings", "heard"),
    [
        ((204,), 1, True),
        ((500, 200), 2, True),
        ((503, 429, 200), 3, True),
        ((500,), RETRY.attempts, False),
        ((404,), 1, False),
        ((304,), 1, False),
    ],
)
async def test_what_may_pass_is_tried_again(
    bell: Bell, statuses: tuple[int, ...], rings: int, *, heard: bool
) -> None:
    """A few times, with pauses; what will not change is not tried again."""
    bell.status("ping", *statuses)
    clock = VirtualClock()
    with capture_logs() as logs:
        assert await Heartbeat(bell.url(f"ping/{SECRET}"), clock).beat() is heard
    assert len(bell.rings) == rings
    assert len(clock.slept) == rings - 1
    assert [entry["event"] for entry in logs] == ([] if heard else ["heartbeat.failed"])


async def test_one_origin_alone_is_told_the_address(bell: Bell) -> None:
    """A redirect within the origin is followed, one to another is not."""
    async with Bell() as other:
        bell.redirect("here", f"/there/{SECRET}")
        bell.redirect("away", other.url(SECRET))
        bell.redirect("upward", bell.url(SECRET, "https"))
        bell.redirect("round", "/round")
        bell.redirect("odd", "gopher://x/")
        heard = {
            path: await Heartbeat(bell.url(path), VirtualClock()).beat()
            for path in ("here", "away", "upward", "round", "odd")
        }
        assert heard == {
            "here": True,
            "away": False,
            "upward": False,
            "round": False,
            "odd": False,
        }
        assert not other.rings


async def test_a_server_that_never_answers_is_left(bell: Bell) -> None:
    """Each call has an end, and there are few of them."""
    bell.hang("ping")
    with capture_logs() as logs:
        assert not await Heartbeat(bell.url("ping"), VirtualClock(), limit=0.05).beat()
    assert len(bell.rings) == RETRY.attempts
    assert logs[0]["reason"] == "no answer within 0.05 s"


async def test_an_address_that_is_refused_is_told_without_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The reason is told, and where it is kept must be looked up by whoever may know."""
    async with Bell() as gone:
        address = gone.url(SECRET)
    with capture_logs() as logs:
        assert not await Heartbeat(address, VirtualClock()).beat()
    assert logs[0]["reason"] == "Connection refused"
    assert SECRET not in str(logs) + "".join(capfd.readouterr())


async def test_only_the_first_of_a_row_of_failures_is_a_warning(bell: Bell) -> None:
    """Transitions, not repetitions: the service behind the address tells people the rest."""
    bell.status("ping", 404, 404, 200, 404)
    beat = Heartbeat(bell.url("ping"), VirtualClock())
    with capture_logs() as logs:
        for _ in range(4):
            await beat.beat()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("heartbeat.failed", "warning"),
        ("heartbeat.failed", "debug"),
        ("heartbeat.recovered", "info"),
        ("heartbeat.failed", "warning"),
    ]


async def test_a_certificate_that_nobody_signed_is_not_trusted() -> None:
    """TLS is verified, and what cannot change is not tried again."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with Bell(tls) as bell:
        with capture_logs() as logs:
            assert not await Heartbeat(bell.url("ping", "https"), VirtualClock()).beat()
        assert logs[0]["reason"] == "its certificate is not trusted"
        assert not bell.rings


async def test_the_environment_s_proxy_is_asked(
    bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a firewall there is no other way out; and `NO_PROXY` says for whom there is."""
    proxy = bell.url("").replace("//", "//user:pass@")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    assert await Heartbeat(
        "http://hc.example.com/ping", VirtualClock(), proxies=Proxies().of
    ).beat()
    (ring,) = bell.rings
    assert ring.headers["Host"] == "hc.example.com"
    login = base64.b64encode(b"user:pass").decode()
    assert ring.headers["Proxy-Authorization"] == f"Basic {login}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert await Heartbeat(bell.url("own"), VirtualClock(), proxies=Proxies().of).beat()
    assert "Proxy-Authorization" not in bell.rings[-1].headers


async def test_no_netrc_is_read(
    bell: Bell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is kept for others on this machine goes nowhere."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert await Heartbeat(bell.url("ping"), VirtualClock()).beat()
    assert "Authorization" not in bell.rings[0].headers


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://hc-ping.com/x", True),
        ("http://127.0.0.1:1/x", True),
        ("hc-ping.com/x", False),
        ("ftp://x/y", False),
        ("https://", False),
        ("https://x:port/", False),
        ("", False),
    ],
)
def test_what_can_be_called(url: str, *, good: bool) -> None:
    """An address of a web server, and nothing else."""
    assert usable(url) is good

"""Apprise, in a process of its own: whatever one service does, the other addresses get the notice."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from mirror.core.reporting.notices import Notice
from mirror.notify import Address, AppriseSender, is_installed
from mirror.notify.apprise_program import UNREADABLE
from mirror.system_clock import SystemClock
from support.bell import Bell
from support.clock import VirtualClock

SECRET = "T0SECRETPATH9f8e7d"
NOTICE = Notice("failure", "release-mirror: 1 mirror failed", "a → b: <!channel> *it* broke\n\nEnd")


class HeldClock(VirtualClock):
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.over.wait()


def address(bell: Bell, path: str, scheme: str = "json") -> Address:
    return Address(f"env:{path}", bell.url(f"{path}/{SECRET}", scheme))


async def test_a_notice_arrives_as_it_is(bell: Bell) -> None:
    """Title, text and kind, in plain text."""
    assert await AppriseSender(SystemClock()).send([address(bell, "a")], NOTICE) == [""]
    (ring,) = bell.rings
    assert ring.message["title"] == NOTICE.title
    assert ring.message["message"] == NOTICE.body
    assert ring.message["type"] == "failure"
    assert "caronc" not in ring.body.decode(), "no picture is fetched from elsewhere by a reader"


async def test_each_way_has_an_answer_of_its_own(bell: Bell) -> None:
    """What one refuses another takes; the HTTP status is told, and never the address."""
    bell.status("refused", 403)
    addresses = [
        address(bell, "good"),
        address(bell, "refused"),
        Address("env:nonsense", f"nosuchservice://{SECRET}"),
        Address("env:gone", f"json://127.0.0.1:1/{SECRET}"),
        Address("env:odd", f"\u00fc {SECRET}"),
    ]
    answers = await AppriseSender(SystemClock()).send(addresses, NOTICE)
    assert answers == ["", "HTTP 403", UNREADABLE, "not reached, or refused", UNREADABLE]
    assert SECRET not in str(answers) + repr(addresses)


async def test_one_that_hangs_holds_up_no_other_and_is_ended(bell: Bell) -> None:
    """The time is up when the clock says so: the process is gone, and what was sent is known."""
    bell.hang("slow")
    clock = HeldClock()

    async def wait() -> None:
        while not (bell.of("good") and bell.of("slow")):
            bell.rung.clear()
            await bell.rung.wait()
        clock.over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        addresses = [address(bell, "slow"), address(bell, "good")]
        answers = await AppriseSender(clock, limit=7.0).send(addresses, NOTICE)
    assert answers[0] == "no answer in time"
    assert clock.slept == [7.0]


async def test_a_cancelled_sending_leaves_no_process(bell: Bell, tmp_path: Path) -> None:
    """Whoever stops waiting takes the process along."""
    program = tmp_path / "program.py"
    pid = tmp_path / "pid"
    program.write_text(
        "import os, signal, urllib.request\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        f"urllib.request.urlopen({bell.url('started')!r})\n"
        "signal.pause()\n"
    )
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(
            AppriseSender(SystemClock(), program=program).send([address(bell, "a")], NOTICE)
        )
        await bell.rung.wait()
        sending.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_a_process_that_dies_is_told(bell: Bell, tmp_path: Path) -> None:
    """No answer is not good news."""
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit(3)\n")
    sender = AppriseSender(SystemClock(), program=program)
    assert await sender.send([address(bell, "a")], NOTICE) == ["Apprise ended without an answer"]
    assert await sender.unreadable([address(bell, "a")])


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_who_is_trusted_is_the_system_s_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """An authority of a company's own is added in one place, for this too; else nobody trusts it."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    file = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(file)
    async with Bell(tls) as bell:
        addresses = [address(bell, "a", "jsons")]
        assert await AppriseSender(SystemClock()).send(addresses, NOTICE) == [
            "not reached, or refused"
        ]
        if variable == "SSL_CERT_DIR":
            (tmp_path / "roots").mkdir()
            (tmp_path / "roots" / f"{await _hash_of(file)}.0").symlink_to(file)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
            file = tmp_path / "roots"
        monkeypatch.setenv(variable, str(file))
        assert await AppriseSender(SystemClock()).send(addresses, NOTICE) == [""]


async def _hash_of(certificate: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        "openssl", "x509", "-hash", "-noout", "-in", certificate, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode().strip()


async def test_addresses_are_read_without_sending(bell: Bell) -> None:
    """A look at the configuration rings no bell."""
    addresses = [
        address(bell, "good"),
        Address("env:bad", "mailto//nobody"),
        address(bell, "fine", "xml"),
    ]
    assert await AppriseSender(SystemClock()).unreadable(addresses) == [addresses[1]]
    assert not bell.rings


async def test_nothing_else_leaves_the_process(bell: Bell) -> None:
    """Whatever Apprise and its libraries say, what comes out are answers without an address."""
    bell.status("refused", 500)
    wish = {
        "urls": [bell.url(f"{path}/{SECRET}", "json") for path in ("good", "refused")]
        + [f"json://{SECRET}.invalid/{SECRET}", f"slack://{SECRET}"],
        "limit": 20,
        "notice": {"title": "t", "body": "b", "kind": "success"},
    }
    from mirror.notify import apprise_program  # noqa: PLC0415

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(Path(apprise_program.__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    out, err = await process.communicate(json.dumps(wish).encode())
    assert process.returncode == 0
    assert SECRET not in out.decode() + err.decode()
    assert err == b""
    assert sorted(json.loads(line)["number"] for line in out.splitlines()) == [0, 1, 2, 3]
    assert [json.loads(line)["number"] for line in out.splitlines() if b"true" in line] == [0]


def test_it_is_looked_for_without_being_imported() -> None:
    """A process that tells nobody pays nothing for it."""
    assert is_installed()
    assert "apprise" not in sys.modules

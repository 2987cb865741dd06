"""The units, the packaged configuration and the lines for cron: held against systemd and the code."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from mirror.cli import exit_status as exits
from mirror.config import load_config
from mirror.config.model import Daemon

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "systemd"
SERVICES = ("release-mirror.service", "release-mirror-sync.service")
UNITS = (*SERVICES, "release-mirror-sync.timer")
DROP_IN = SYSTEMD / "release-mirror.service.d" / "example.conf"
PROGRAM = "/opt/release-mirror/bin/release-mirror"
LEDGER = Path("/var/lib/release-mirror")
LEFT_OPEN = {"ProcSubset"}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings(name: str) -> dict[str, list[str]]:
    """Every setting of a unit with its values, in their order."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def one(name: str, key: str) -> str:
    (value,) = settings(name)[key]
    return value


def seconds(span: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|min)", span).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "min": 60}[unit]


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """The units as they are, but with a program that exists."""
    program = tmp_path / "release-mirror"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = tmp_path / "units"
    units.mkdir()
    for name in UNITS:
        text = (SYSTEMD / name).read_text()
        (units / name).write_text(text.replace(PROGRAM, str(program)))
    return units


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@needs_systemd
def test_verify(copies: Path) -> None:
    """Nothing is said by systemd about the units, all together."""
    done = analyze("verify", *(copies / name for name in UNITS))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_verify_sees_mistakes(copies: Path) -> None:
    """What the test above relies on: a key that systemd does not know is told."""
    unit = copies / SERVICES[0]
    unit.write_text(unit.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in analyze("verify", unit).stderr


@needs_systemd
def test_verify_the_example(copies: Path) -> None:
    """Every line of the example of a drop-in is one that systemd takes."""
    active = re.sub(r"(?m)^#(?=[A-Z]\w+=)", "", DROP_IN.read_text())
    assert len(re.findall(r"(?m)^[A-Z]\w+=", active)) >= 10
    for name in SERVICES:
        directory = copies / f"{name}.d"
        directory.mkdir()
        (directory / "example.conf").write_text(active)
    done = analyze("verify", *(copies / name for name in UNITS))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_changes_nothing() -> None:
    """Copied as it is, the example of a drop-in sets nothing."""
    text = DROP_IN.read_text()
    assert [line for line in text.splitlines() if line and line[0] != "#"] == ["[Service]"]


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_security(copies: Path, name: str) -> None:
    """The sandbox leaves an exposure of at most 2.0, in the words of systemd "OK"."""
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", copies / name)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert done.returncode == 0, found[0]
    assert float(found[1]) <= 2.0
    assert done.stderr == ""


@needs_systemd
def test_calendar() -> None:
    """The timer's calendar is one, and what was missed is made up for."""
    timer = settings("release-mirror-sync.timer")
    done = analyze("calendar", *timer["OnCalendar"])
    assert done.returncode == 0, done.stderr
    assert timer["Persistent"] == ["true"]


def test_one_sandbox() -> None:
    """Both services have the same user, directories, secrets, limits and sandbox."""
    own = {
        *("Description", "Type", "NotifyAccess", "ExecStart", "ExecReload", "WatchdogSec"),
        *("Environment", "Restart", "RestartSec", "RestartPreventExitStatus", "WantedBy"),
        *("SuccessExitStatus", "TimeoutStartSec", "StartLimitIntervalSec"),
        *("RuntimeDirectory", "RuntimeDirectoryMode"),  # of the daemon's control socket
    }
    service, sync = (
        {key: value for key, value in settings(name).items() if key not in own} for name in SERVICES
    )
    assert service == sync
    assert not LEFT_OPEN & service.keys()


def test_a_user_that_stays() -> None:
    """The user of the units is the one that sysusers.d makes; root finds what it owns."""
    words = shlex.split((SYSTEMD / "release-mirror.sysusers.conf").read_text(), comments=True)
    assert words[:2] == ["u", one(SERVICES[0], "User")]
    assert one(SERVICES[0], "Group") == one(SERVICES[0], "User")
    assert words[-1] == str(LEDGER) == f"/var/lib/{one(SERVICES[0], 'StateDirectory')}"
    assert one(SERVICES[0], "StateDirectoryMode") == "0700"
    assert "DynamicUser" not in settings(SERVICES[0])


def test_as_the_contract_says() -> None:
    """Type, notification, watchdog and reload are those that the program knows."""
    assert one(SERVICES[0], "Type") == "notify"
    assert one(SERVICES[0], "NotifyAccess") == "main"
    assert one(SERVICES[0], "ExecReload") == "kill -HUP $MAINPID"
    assert seconds(one(SERVICES[0], "WatchdogSec")) >= 60
    assert one(SERVICES[1], "Type") == "oneshot"
    assert one(SERVICES[1], "TimeoutStartSec") == "infinity"


@pytest.mark.parametrize("name", SERVICES)
def test_a_drain_has_its_time(name: str) -> None:
    """A stop waits longer than transfers in flight may take, and leaves git alone meanwhile."""
    drain = Daemon().drain_timeout.total_seconds()
    assert seconds(one(name, "TimeoutStopSec")) >= drain + 15
    assert one(name, "KillMode") == "mixed"


def test_exit_statuses() -> None:
    """Every exit status that a unit names is one of the program's, and means what the unit says."""
    assert one(SERVICES[0], "RestartPreventExitStatus") == str(exits.USAGE)
    assert one(SERVICES[0], "SuccessExitStatus") == "143"
    assert one(SERVICES[1], "SuccessExitStatus") == f"{exits.LOCKED} 143"
    assert {2, 75, 143} <= exits.MEANINGS.keys()


def help_of(*verb: str) -> str:
    command = [sys.executable, "-m", "mirror", *verb, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_command(words: list[str]) -> None:
    """A command line of the program: its verb exists, and so do its options."""
    verb, *rest = words
    shown = help_of(verb) + help_of()  # options of every command stand there
    for word in rest:
        if word.startswith("--"):
            assert re.search(rf"(?m)(^|[\s,]){re.escape(word)}\b", shown), f"{verb} {word}"


@pytest.mark.parametrize("name", SERVICES)
def test_commands_of_units(name: str) -> None:
    """A unit starts the program of the guide with a command and options that exist."""
    program, *words = shlex.split(one(name, "ExecStart"))
    assert program == PROGRAM
    assert words[0] == {SERVICES[0]: "daemon", SERVICES[1]: "sync"}[name]
    assert words[-2:] == ["--config", "/etc/release-mirror/config.toml"]
    check_command(words)


def test_the_packaged_configuration(tmp_path: Path) -> None:
    """It loads, also with every commented key; its ledger is the service's, whoever asks."""
    text = (ROOT / "config" / "packaged.toml").read_text()
    everything = re.sub(r"(?m)^# (?=[a-z_]+ = )", "", text)
    assert everything.count("\n# ") < text.count("\n# ")
    interval, listen = Daemon().interval, Daemon().listen
    loads = [load_config(ROOT / "config" / "packaged.toml", {"HOME": "/root"})]
    (tmp_path / "config.toml").write_text(everything)
    loads.append(load_config(tmp_path / "config.toml", {"STATE_DIRECTORY": "/elsewhere"}))
    for config in loads:
        assert config.ledger.directory == LEDGER
        assert (config.daemon.interval, config.daemon.listen) == (interval, listen)
    secrets = {use.ref for use in loads[-1].secrets()}
    assert {ref.kind for ref in secrets} == {"credential"}
    assert {ref.name for ref in secrets} <= {*settings(SERVICES[0])["LoadCredential"]}
    assert len(secrets) == 5


def test_the_guide_fits() -> None:
    """The guide installs what the units start, and names every secret that they ask for."""
    guide = (ROOT / "docs" / "guides" / "service.md").read_text()
    assert f"ln -s {PROGRAM} /usr/local/bin/release-mirror" in guide
    assert set(re.findall(r"(?m)^\| `(release-mirror\.[a-z-]+)`", guide)) == {
        *settings(SERVICES[0])["LoadCredential"]
    }
    named = {ROOT / path for path in re.findall(r"(?<![\w/.])(?:systemd|config)/[\w.-]+\w", guide)}
    assert len(named) >= 4
    for path in named:
        assert path.exists() or list(path.parent.glob(f"{path.name}*")), path


def crontab() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The environment of the example, and its lines: when and what."""
    environ: dict[str, str] = {}
    jobs: list[tuple[str, str]] = []
    for line in (ROOT / "config" / "crontab.example").read_text().splitlines():
        if re.match(r"[A-Z_]+=", line):
            name, _, value = line.partition("=")
            environ[name] = value
        elif line and not line.startswith("#"):
            *fields, command = line.split(maxsplit=5)
            jobs.append((" ".join(fields), command))
    return environ, jobs


def test_crontab_fires() -> None:
    """Every line has a time that cron understands; failures are mailed to somebody."""
    environ, jobs = crontab()
    assert environ["MAILTO"]
    assert environ["PATH"].startswith("/usr/local/bin:")
    start = datetime(2026, 11, 21, tzinfo=UTC)
    fires = {command: next(CronSim(when, start)) for when, command in jobs}
    assert len(fires) == 3
    assert fires["release-mirror verify --quiet"] == datetime(2026, 11, 22, 3, 17, tzinfo=UTC)


@pytest.mark.parametrize("command", [command for _, command in crontab()[1]])
def test_crontab_commands(command: str) -> None:
    """Every line's command and its options exist; % would end a command of cron."""
    assert "%" not in command
    program, *words = shlex.split(command)
    assert program == "release-mirror"
    check_command(words)

"""Fixtures and hooks shared by all tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from cluster_torture import table as cluster_torture
from faults import table as faults
from faults.table import pytest_report_header
from mirror.transfer import workers
from support.postgres import PostgresServer, shared_server
from support.seed import EVERYTHING
from survival import table as survival

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_report_header"]  # hooks

MUST_RUN = "RELEASE_MIRROR_TESTS_MUST_RUN"


# `make test` tries the same examples every time, so that it fails for no user by chance;
# `make test-all` looks for new counterexamples. There is no deadline per example, because run time
# depends on the machine's load.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("new", deadline=None)
settings.load_profile("new" if EVERYTHING else "same")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the suites' figures after the tests."""
    faults.pytest_terminal_summary(terminalreporter)
    survival.pytest_terminal_summary(terminalreporter)
    cluster_torture.pytest_terminal_summary(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Treat a skipped test as a failure where everything is installed (CI)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and exitstatus == 0 and os.environ.get(MUST_RUN):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate tests from the user's environment."""
    for name in list(os.environ):
        ours = name.startswith(("RELEASE_MIRROR_", "MIRROR_", "XDG_", "STATE_DIRECTORY"))
        if (ours or name.lower().endswith("_proxy")) and name != MUST_RUN:
            monkeypatch.delenv(name)


@pytest.fixture
def everything_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transfer every asset in a separate thread, even on a single core."""
    monkeypatch.setattr(workers, "LARGE", 1)
    monkeypatch.setattr(workers, "_cores", lambda: 2)


@pytest.fixture(scope="session")
def postgres_server(testrun_uid: str) -> Iterator[PostgresServer]:
    """A PostgreSQL server that the workers of this test run share."""
    with shared_server(testrun_uid) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)

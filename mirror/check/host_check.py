"""Look at one host: is it there, what is it, and whose token is this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.check.check_results import CheckResult, State, failure
from mirror.core.reporting.host_notices import expiry_text
from mirror.core.text.wording import in_words
from mirror.errors import AuthError, MirrorError, NotFound, Unreachable
from mirror.github import GitHubClient
from mirror.github.answers import User
from mirror.github.protocol.headers import TOKEN_EXPIRY, token_expiry
from mirror.github.protocol.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.github import Answer, AppAuth
    from mirror.sync.context import Endpoint


def is_down(result: CheckResult) -> bool:
    """Whether nothing else can be asked of a host."""
    return result.status == "failed" and result.what in {"reachable", "certificate"}


def server_of(side: Endpoint) -> GitHubClient:
    """The client of a host that is a server."""
    assert isinstance(side.store.client, GitHubClient)  # noqa: S101 - a bundle has its own check
    return side.store.client


class HostCheck:
    """Asks a host of itself and of the token.

    Args:
        side: The host.
        clock: The time, for the token's expiry.
        writes: It is the target: the token must be able to write.

    Attributes:
        login: The token's account, once it is known.
        proven: What the token itself may do in a repository follows from what its account may do.
    """

    def __init__(self, side: Endpoint, clock: Clock, *, writes: bool) -> None:
        self.login: str | None = None
        self.proven = False
        self._side = side
        self._client = server_of(side)
        self._clock = clock
        self._writes = writes

    async def run(self) -> list[CheckResult]:
        """Everything that the host says without a repository."""
        results = await self._reach()
        if is_down(results[0]):
            return results
        return [*results, *await self._token()]

    def _result(self, what: str, status: State, detail: str) -> CheckResult:
        return CheckResult(self._side.name, what, status, detail)

    async def _reach(self) -> list[CheckResult]:
        address = self._side.api_url
        try:
            capabilities = await self._client.capabilities()
            if capabilities.version is None:
                await self._client.get("meta")
            kind = _kind(capabilities.version)
        except Unreachable as error:
            what = "certificate" if error.permanent else "reachable"
            return [failure(self._side.name, what, error)]
        except (AuthError, NotFound):
            kind = "unknown: the host reports its version only to a valid token"
        except MirrorError as error:
            return [failure(self._side.name, "reachable", error)]
        return [
            self._result("reachable", "ok", f"{address} answers"),
            self._tls(),
            self._kind(kind),
        ]

    def _tls(self) -> CheckResult:
        if self._side.api_url.startswith("https:"):
            return self._result("certificate", "ok", "trusted")
        if is_loopback(self._side.api_url):
            return self._result(
                "certificate", "ok", "not needed: plain HTTP on the loopback interface"
            )
        return self._result(
            "certificate", "warning", "none: plain HTTP, which anyone on the network can read"
        )

    def _kind(self, text: str) -> CheckResult:
        return self._result("version", "ok", text)

    async def _token(self) -> list[CheckResult]:
        if self._client.fingerprint == "anonymous":
            return [self._anonymous()]
        if app := self._client.app:
            return await self._app(app)
        if stopped := self._client.stopped:  # refused already when it was asked for its version
            return [failure(self._side.name, "token", stopped)]
        try:
            answer = await self._client.get("user", shape=User)
        except MirrorError as error:
            if isinstance(error, AuthError) and error.status != 401:
                text = "belongs to no user (perhaps to an App installation); its owner cannot be determined"
                return [self._result("token", "unknown", text)]
            return [failure(self._side.name, "token", error)]
        self.login = answer.data.login
        self.proven = "repo" in (scopes_of(answer.headers) or ())
        return [
            self._result("token", "ok", f"valid, belongs to {answer.data.login}"),
            self._permissions(answer),
            self._expiry(answer),
        ]

    async def _app(self, app: AppAuth) -> list[CheckResult]:
        """The App, and its installation with each owner that is configured."""
        try:
            results = [self._result("app", "ok", f"{await app.name(self._client)} ({app.number})")]
        except MirrorError as error:
            return [failure(self._side.name, "app", error)]
        for owner in app.owners:
            what = f"installation {owner}".strip()
            try:
                grant = await app.grant(self._client, owner.casefold())
                account = await app.account(self._client, grant.number)
            except MirrorError as error:
                results.append(failure(self._side.name, what, error))
                continue
            detail = f"{grant.number}, in {account}; its token expires at {grant.expires_at:%H:%M:%S} UTC"
            results.append(self._result(what, "ok", f"{detail} and is renewed before that"))
            self.proven = True
            status, detail = app_verdict(grant.permissions, writes=self._writes)
            results.append(self._result(f"permissions {owner}".strip(), status, detail))
        return results

    def _anonymous(self) -> CheckResult:
        if self._writes:
            return self._result("token", "failed", "no token is set; writing requires one")
        return self._result("token", "ok", "none: public repositories only, at a lower rate limit")

    def _permissions(self, answer: Answer) -> CheckResult:
        status, detail = scopes_verdict(answer.headers, writes=self._writes)
        return self._result("permissions", status, detail)

    def _expiry(self, answer: Answer) -> CheckResult:
        status, detail = expiry_verdict(answer.headers, self._clock.now())
        return self._result("expiry", status, detail)


def _kind(version: tuple[int, ...] | None) -> str:
    if version is None:
        return "github.com or GHE.com"
    return f"GitHub Enterprise Server {'.'.join(map(str, version))}"


def scopes_of(headers: Mapping[str, str]) -> set[str] | None:
    """The scopes of a classic token; ``None`` for a token that has none."""
    text = headers.get("X-OAuth-Scopes")
    if text is None:
        return None
    return {scope.strip() for scope in text.split(",") if scope.strip()}


def scopes_verdict(headers: Mapping[str, str], *, writes: bool) -> tuple[State, str]:
    """Judge ``X-OAuth-Scopes``, which classic tokens have and others do not.

    Source: https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
    """
    scopes = scopes_of(headers)
    if scopes is None:
        needed = "Contents: write, and Administration: write to create repositories"
        return "unknown", (
            "a fine-grained token does not list its permissions; it needs"
            f" {needed if writes else 'Contents: read for private repositories'}"
        )
    said = f"scopes {', '.join(sorted(scopes))}" if scopes else "no scopes"
    if "repo" not in scopes:
        if writes and "public_repo" not in scopes:
            return "failed", f"{said}; give the token the scope repo"
        if writes:
            return "warning", f"{said}; without the scope repo, public repositories only"
        return "ok", f"{said}; public repositories only"
    if writes and "workflow" not in scopes:
        return "warning", (
            f"{said}; without the scope workflow, tags whose commits change workflows are refused"
        )
    return "ok", f"{said}: enough where its account may write" if writes else said


def app_verdict(permissions: Mapping[str, str], *, writes: bool) -> tuple[State, str]:
    """Judge what an installation of an App may do.

    Source: https://docs.github.com/rest/authentication/permissions-required-for-github-apps
    """
    said = ", ".join(f"{name}: {level}" for name, level in sorted(permissions.items())) or "none"
    if not writes:
        if "contents" not in permissions:
            return "warning", f"{said}; without Contents: read, public repositories only"
        return "ok", said
    if permissions.get("contents") != "write":
        return "failed", f"{said}; give the App the permission Contents: write"
    if permissions.get("administration") != "write":
        return "warning", f"{said}; without Administration: write, no repository can be created"
    return "ok", said


def expiry_verdict(headers: Mapping[str, str], now: datetime) -> tuple[State, str]:
    """Judge when the token expires, where the host tells."""
    text = headers.get(TOKEN_EXPIRY)
    if text is None:
        return "ok", "the host reports no expiry date"
    moment = token_expiry(text)
    if moment is None:
        return "unknown", f"the host reports an invalid expiry date: {text[:60]}"
    if text := expiry_text(moment, now):
        return "warning" if moment > now else "failed", f"the token {text}; renew it"
    return "ok", f"{moment:%Y-%m-%d} (in {in_words((moment - now).total_seconds())})"

"""Credentials of a host: a token, a GitHub App, or none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

from mirror.errors import AuthError, GitHubError, HostStopped, NotFound, ValidationFailed
from mirror.github.answers import AppAnswer, Installation, InstallationToken, decode, utc
from mirror.github.protocol.urls import owner_of
from mirror.github.semaphore import ThreadSafeSemaphore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.errors import Hint
    from mirror.github.app_key import AppKey

T = TypeVar("T")
log = structlog.get_logger(__name__)

MARGIN = timedelta(minutes=5)
"""How long before its end an installation's token is renewed, so that it is valid on arrival."""


class Asker(Protocol):
    """Sends a credential's own requests: the client that needs it."""

    async def ask_as(self, authorization: str, method: str, path: str) -> Any:
        """Send a request once, with another ``Authorization``, and return the response's JSON.

        Raises:
            GitHubError: It failed.
        """
        ...

    def host_time(self) -> datetime:
        """The host's time according to its last response; otherwise the local time."""
        ...


class Auth(Protocol):
    """Turns a credential into an ``Authorization`` header.

    ``address`` is what a request is about: an App has a separate credential for each owner. ``asker``
    is the client that needs it. Clients in several threads may share one ``Auth``.
    """

    @property
    def fingerprint(self) -> str:
        """A short text that differs for another credential and reveals nothing of it."""
        ...

    def begin(self) -> None:
        """A pass begins: retry what failed in the last one."""
        ...

    def at_hand(self, address: str) -> str:
        """The header's value, where :meth:`header` would not have to wait; empty otherwise."""
        ...

    async def header(self, asker: Asker, address: str) -> str | None:
        """The header's value for a request that is sent now; ``None`` for none.

        Raises:
            GitHubError: The credential cannot be obtained.
        """
        ...

    async def refresh(self, asker: Asker, refused: str | None, address: str) -> bool:
        """Renew the credential after the host refused a header's value.

        Returns:
            Whether it is another one now, so that the request is worth a retry.
        """
        ...


class TokenAuth:
    """A token: personal (classic or fine-grained) or of an installation.

    ``Bearer`` is accepted for all of them.
    Source: https://docs.github.com/rest/authentication/authenticating-to-the-rest-api

    Args:
        read: Reads the secret, again each time; ``None`` for requests without a token.
        host: The host's address: the same token at another host is another credential.
    """

    def __init__(self, read: Callable[[], str] | None = None, *, host: str = "") -> None:
        self._read = read
        self._host = host
        self._token = read() if read else ""
        self._header = _bearer(self._token)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'a token' if self._token else 'anonymous'})"

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over host and token; ``anonymous`` for none."""
        return _fingerprint(self._host, self._token) if self._token else "anonymous"

    def begin(self) -> None:
        """Do nothing: a token has nothing to retry."""

    def at_hand(self, address: str) -> str:
        """``Bearer`` and the token; empty for none."""
        del address
        return self._header

    async def header(self, asker: Asker, address: str) -> str | None:
        """``Bearer`` and the token, or ``None``; the same for every address."""
        del asker, address
        return self._header or None

    async def refresh(self, asker: Asker, refused: str | None, address: str) -> bool:
        """Read the secret again, unless another request did so; whether it is another one."""
        if await self.header(asker, address) == refused:
            self._token = self._read() if self._read else ""
            self._header = _bearer(self._token)
        return await self.header(asker, address) != refused


@dataclass(slots=True)
class Grant:
    """A token of an installation.

    Attributes:
        header: The header's value; never shown.
        number: The installation's id.
        renew_at: When it is renewed, in seconds of the monotonic clock.
        expires_at: When it expires, by the host's clock.
        permissions: What it may do (``contents`` → ``write``).
        again: It was requested because the previous one was refused.
    """

    header: str = field(repr=False)
    number: int
    renew_at: float
    expires_at: datetime
    permissions: Mapping[str, str]
    again: bool = False


class AppAuth:
    """A GitHub App: signs a short-lived JSON Web Token to obtain the token of an installation.

    An App has an installation in each account that installed it, and a token is valid for one of
    them. So the credential depends on the owner of what is requested, unless one installation is
    configured. Tokens are valid for an hour, are obtained when a request needs them, one at a time,
    and are kept only in memory.

    Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app

    Args:
        number: The App's id.
        key: Signs for it.
        clock: Ours.
        host: The host's address.
        installation: The one to use for everything; by default it is looked up by owner.
        owners: Accounts of the configured mirrors; the first one's installation is also used for
            requests that belong to no account.
    """

    def __init__(
        self,
        number: int,
        key: AppKey,
        clock: Clock,
        *,
        host: str = "",
        installation: int | None = None,
        owners: Sequence[str] = (),
    ) -> None:
        self.number = number
        self.owners = ("",) if installation else tuple(owners)
        self._key = key
        self._clock = clock
        self._host = host
        self._installation = installation
        self._grants: dict[str, Grant] = {}
        self._failed: dict[str, AuthError] = {}
        self._skew = timedelta()
        self._renewing = ThreadSafeSemaphore(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.number})"

    @property
    def fingerprint(self) -> str:
        """Of host, App and installation: the tokens change every hour, what they may see does not.

        An ETag is no longer valid with another token, but unchanged content is recognised anyway.
        """
        return _fingerprint(self._host, f"app {self.number} {self._installation or ''}")

    def begin(self) -> None:
        """Retry installations that failed, and renew once more what is refused."""
        self._failed.clear()
        for grant in list(self._grants.values()):  # another thread may add one meanwhile
            grant.again = False

    def at_hand(self, address: str) -> str:
        """``Bearer`` and a token that is valid for some minutes at least; empty if it is not here."""
        owner = self._owner(address)
        grant = None if owner is None else self._good(owner)
        return grant.header if grant else ""

    async def header(self, asker: Asker, address: str) -> str | None:
        """``Bearer`` and a token that is valid for some minutes at least; ``None`` without an owner.

        Raises:
            AuthError: The host refuses the App (401), or it has no installation there.
            HostStopped: It failed so before in this pass.
            GitHubError: The request for a token failed.
        """
        owner = self._owner(address)
        return None if owner is None else (await self.grant(asker, owner)).header

    async def refresh(self, asker: Asker, refused: str | None, address: str) -> bool:
        """Obtain another token, once: if a new one is refused too, another will not help."""
        owner = self._owner(address)
        if owner is None:
            return False
        async with self._renewing:
            grant = self._grants.get(owner)
            if grant and grant.header != refused:
                return True
            if grant and grant.again:
                return False
            self._grants.pop(owner, None)
            await self._obtain(asker, owner, again=True)
            return True

    async def grant(self, asker: Asker, owner: str) -> Grant:
        """The token of an owner's installation; see :meth:`header`."""
        if (grant := self._good(owner)) is None:
            async with self._renewing:
                grant = self._good(owner) or await self._obtain(asker, owner)
        return grant

    async def name(self, asker: Asker) -> str:
        """The App's name at its host.

        Source: https://docs.github.com/rest/apps/apps#get-the-authenticated-app
        """
        app = await self._ask(asker, "GET", "app", AppAnswer)
        return app.name or app.slug or ""

    async def account(self, asker: Asker, installation: int) -> str:
        """The account that an installation is in.

        Source: https://docs.github.com/rest/apps/apps#get-an-installation-for-the-authenticated-app
        """
        path = f"app/installations/{installation}"
        found = await self._ask(asker, "GET", path, Installation)
        return (found.account and found.account.login) or ""

    def _owner(self, address: str) -> str | None:
        """Whose installation a request needs; empty for the configured one."""
        if self._installation:
            return ""
        return owner_of(address).casefold() or next((o.casefold() for o in self.owners), None)

    def _good(self, owner: str) -> Grant | None:
        grant = self._grants.get(owner)
        return grant if grant and self._clock.monotonic() < grant.renew_at else None

    async def _obtain(self, asker: Asker, owner: str, *, again: bool = False) -> Grant:
        if known := self._failed.get(owner):
            raise HostStopped(
                f"request not sent, refused earlier in this pass: {known}",
                status=known.status,
                kind=known.kind,
                hint=known.hint,
            )
        try:
            number = self._installation or await self._find(asker, owner)
            path = f"app/installations/{number}/access_tokens"
            answer = await self._ask(asker, "POST", path, InstallationToken)
            grant = self._read(answer, asker.host_time(), number, again=again)
        except GitHubError as error:
            error.ambiguous = False  # what was to be sent with the token was not
            refused = isinstance(error, AuthError | NotFound | ValidationFailed)
            if not refused or error.status == 401:
                raise
            failure = self._failed[owner] = self._refused(owner, error)
            raise failure from None
        self._grants[owner] = grant
        log.debug("github.token_granted", app=self.number, installation=number)
        return grant

    async def _find(self, asker: Asker, owner: str) -> int:
        """The installation in an account, an organization or a user.

        Source: https://docs.github.com/rest/apps/apps#get-an-organization-installation-for-the-authenticated-app
        """
        try:
            found = await self._ask(asker, "GET", f"orgs/{owner}/installation", Installation)
        except NotFound:
            found = await self._ask(asker, "GET", f"users/{owner}/installation", Installation)
        return int(found.id)

    def _read(
        self, answer: InstallationToken, here: datetime, number: int, *, again: bool
    ) -> Grant:
        """Read a response; ``here`` is the host's time, by which the token's lifetime is computed."""
        ends = utc(answer.expires_at) or here + timedelta(hours=1)
        life = max(ends - here, timedelta(minutes=1))
        margin = min(MARGIN, life / 2)
        return Grant(
            f"Bearer {answer.token}",
            number,
            self._clock.monotonic() + (life - margin).total_seconds(),
            ends,
            answer.permissions or {},
            again,
        )

    async def _ask(self, asker: Asker, method: str, path: str, shape: type[T]) -> T:
        """Send a request as the App itself; once more if the clocks differ or the key was renewed."""
        return decode(await self._asked(asker, method, path), shape, self._host)

    async def _asked(self, asker: Asker, method: str, path: str) -> Any:
        try:
            return await asker.ask_as(self._signed(), method, path)
        except AuthError as error:
            if error.status != 401:
                raise
            if error.reason == "token-time":
                self._skew = asker.host_time() - self._clock.now()
                log.warning("github.clock_differs", seconds=round(self._skew.total_seconds()))
            elif not self._key.reread():
                raise self._unknown(error) from None
        try:
            return await asker.ask_as(self._signed(), method, path)
        except AuthError as error:
            if error.status != 401:
                raise
            raise self._unknown(error) from None

    def _signed(self) -> str:
        return f"Bearer {self._key.sign(self._clock.now() + self._skew)}"

    def _unknown(self, error: AuthError) -> AuthError:
        return AuthError(
            f"the host does not accept what App {self.number} signs: {error}",
            host=error.host,
            hint="app-key",
            status=401,
            request_id=error.request_id,
        )

    def _refused(self, owner: str, error: GitHubError) -> AuthError:
        hint: Hint = "app-settings"
        if error.reason == "suspended":
            what, hint = "is suspended", "app-suspended"
        elif self._installation:
            what = "does not exist, or belongs to another App"
        elif isinstance(error, NotFound):
            what, hint = "does not exist", "app-installation"
        else:
            what = "gives no token"
        where = f" {self._installation}" if self._installation else f" at {owner}"
        return AuthError(
            f"the installation of App {self.number}{where} {what}: {error}",
            host=error.host,
            status=error.status,
            request_id=error.request_id,
            hint=hint,
        )


def _bearer(token: str) -> str:
    return f"Bearer {token}" if token else ""


def _fingerprint(host: str, credential: str) -> str:
    return hashlib.sha256(f"{host}\n{credential}".encode()).hexdigest()[:16]

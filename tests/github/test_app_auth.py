"""A GitHub App against the emulator's Apps, over real sockets; time is virtual on both sides."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mirror.core.domain.release import RepoRef
from mirror.core.retry import RetryPolicy
from mirror.emulator import Emulator, Fault, GitHubState
from mirror.errors import AuthError, HostStopped, ServerError
from mirror.github import AppAuth, GitHubClient, ReleaseStore
from mirror.github.app_key import AppKey
from mirror.github.protocol.urls import owner_of
from mirror.github.settings import Network
from mirror.transfer.event_loops import ask, finish
from support.clock import VirtualClock
from support.threads import there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mirror.emulator.model.accounts import Installation

KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.public_key().public_numbers()
REPO = RepoRef("octo", "tool")


def pem(key: Any, password: bytes | None = None) -> str:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        protection = serialization.BestAvailableEncryption(password)
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
    return made.decode()


PEM = pem(KEY)


class Place:
    """An emulated host with an App in two accounts, and a client that is that App."""

    def __init__(self, skew: float = 0.0, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.skew = skew
        self.state = GitHubState(clock=self.host_seconds, **settings)
        for name in ("octo/tool", "acme/lib"):
            self.state.add_repository(name, private=True)
            self.state.add_release(name, "v1", assets={"a.zip": "bytes"})
        self.app = self.state.add_app(
            7,
            installations={"octo": "admin", "acme": "read"},
            public_key=(NUMBERS.n, NUMBERS.e),
        )
        self.keys = [PEM]

    def host_seconds(self) -> float:
        return self.clock.timestamp() + self.skew

    def installation(self, owner: str = "octo") -> Installation:
        return self.app.installations[owner]

    def auth(self, installation: int | None = None, number: int = 7) -> AppAuth:
        key = AppKey(number, lambda: self.keys[-1])
        return AppAuth(number, key, self.clock, installation=installation, owners=("Octo", "acme"))

    @asynccontextmanager
    async def client(self, auth: AppAuth | None = None) -> AsyncIterator[GitHubClient]:
        async with (
            Emulator(self.state) as host,
            GitHubClient(
                "ghe",
                host.url,
                host.api_url,
                auth or self.auth(),
                self.clock,
                retry=RetryPolicy(3),
                jitter=lambda: 0.0,
                network=Network(proxy=""),
            ) as client,
        ):
            yield client

    def granted(self) -> int:
        return self.state.count(route="create-installation-token", status=201)


async def test_each_owner_has_its_installation() -> None:
    """What an owner's repositories are asked with is got for that owner, once, and found by name."""
    place = Place()
    async with place.client() as client:
        for path in ("repos/octo/tool", "repos/Acme/lib", "repos/octo/tool/releases"):
            assert (await client.get(path)).status == 200
        assert (await client.get("meta")).status == 200  # of nobody: the first owner's does
    used = {r.path.split("/")[-1]: r.authorization for r in place.state.requests}
    assert used["tool"] != used["lib"]
    assert used["releases"] == used["tool"]
    assert place.granted() == 2
    assert str(used["tool"]).startswith("Bearer ghs_")


async def test_an_installation_that_is_given_is_used_for_everything() -> None:
    """Nothing is looked up then, and an account that never took the App in can be read."""
    place = Place()
    place.state.add_repository("public/thing")
    async with place.client(place.auth(installation=place.installation().id)) as client:
        assert (await client.get("repos/public/thing")).status == 200
        assert (await client.get("meta")).status == 200
    assert place.state.count(route="get-app-installation") == 0
    assert place.granted() == 1


async def test_later_pages_are_asked_for_as_the_first() -> None:
    """Links name a repository by number: the owner of the first page tells whose token it is."""
    place = Place()
    for number in range(2, 232):
        place.state.add_release("acme/lib", f"v{number}")
    async with place.client() as client:
        store = ReleaseStore(client)
        listing = await store.list_releases(RepoRef("acme", "lib"))
        assert len(listing.releases) == 231
        again = await store.list_releases(RepoRef("acme", "lib"), listing.pages)
        assert again.unchanged
        tags = await store.tags(RepoRef("acme", "lib"), [f"v{n}" for n in range(1, 232)])
        assert len(tags) == 231
    paths = [record.path for record in place.state.requests]
    assert any("/repositories/" in path for path in paths)
    assert place.granted() == 1


async def test_a_token_is_renewed_before_it_ends() -> None:
    """Up to five minutes before its end a token is used; from then on another one, and no 401."""
    place = Place()
    async with place.client() as client:
        await client.get("repos/octo/tool")
        place.clock.advance(54 * 60)
        await client.get("repos/octo/tool")
        assert place.granted() == 1
        place.clock.advance(2 * 60)
        await client.get("repos/octo/tool")
        assert place.granted() == 2
        place.clock.advance(3 * 3600)
        await client.get("repos/octo/tool")
    assert place.state.count(status=401) == 0


async def test_a_token_is_at_hand_until_it_is_renewed() -> None:
    """What needs no request is what a request would be sent with, for each owner by itself."""
    place, address = Place(), "https://ghe.example.com/api/v3/repos/octo/tool"
    auth = place.auth()
    async with place.client(auth) as client:
        assert auth.at_hand(address) == ""
        header = await auth.header(client, address)
        assert auth.at_hand(address) == header
        assert auth.at_hand(address.replace("octo", "acme")) == ""
        await place.clock.sleep(3600)
        assert auth.at_hand(address) == ""


async def test_one_renewal_at_a_time() -> None:
    """Many who need a token at once cause one request for it, also after a refusal."""
    place = Place()
    async with place.client() as client:

        async def many() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(40):  # more than there are connections
                    group.create_task(client.get("repos/octo/tool"))

        await many()
        assert place.granted() == 1
        place.clock.advance(3600)
        await many()
        assert place.granted() == 2
        for value in [v for v in place.state.tokens if v.startswith("ghs_")]:
            place.state.revoke_token(value)
        await many()
        assert place.granted() == 3
        assert client.stopped is None


async def test_one_renewal_for_all_threads() -> None:
    """Clients in two threads that need a token at once cause one request for it."""
    place = Place()
    auth = place.auth()

    async def many(client: GitHubClient) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(client.get("repos/octo/tool"))

    with there() as loop:
        async with place.client(auth) as here:
            away = GitHubClient(
                "ghe",
                here.url,
                here.api_url,
                auth,
                place.clock,
                network=Network(proxy=""),
                state=here.state,
            )
            await ask(loop, away.__aenter__)
            try:
                for times in range(1, 4):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(many(here))
                        group.create_task(ask(loop, lambda: many(away)))
                    assert place.granted() == times
                    place.clock.advance(3600)
            finally:
                await finish(loop, lambda: away.__aexit__(None, None, None))


async def test_a_401_renews_once_and_then_stops() -> None:
    """A token that is refused is renewed; a fresh one that is refused stops the credential."""
    place = Place()
    async with place.client() as client:
        await client.get("repos/octo/tool")
        refuse = Fault(kind="status", status=401, route="get-repository", times=None)
        place.state.faults.add(refuse)
        with pytest.raises(AuthError):
            await client.get("repos/octo/tool")
        assert place.granted() == 2
        assert client.stopped
        with pytest.raises(HostStopped):
            await client.get("repos/octo/tool")
        place.state.faults.clear()
        client.reset()
        assert (await client.get("repos/octo/tool")).status == 200


@pytest.mark.parametrize("skew", [-7200.0, -700.0, 700.0, 90000.0])
async def test_clocks_may_differ(skew: float) -> None:
    """A refusal that names the dates is answered with the host's time; tokens live as long as said."""
    place = Place(skew=skew)
    async with place.client() as client:
        assert (await client.get("repos/octo/tool")).status == 200
        assert place.state.count(status=401) == 1
        place.clock.advance(50 * 60)
        await client.get("repos/octo/tool")
        assert place.granted() == 1
        place.clock.advance(6 * 60)
        await client.get("repos/octo/tool")
    assert place.granted() == 2
    assert place.state.count(status=401) == 1


async def test_what_is_signed() -> None:
    """Issued a minute ago, good for nine, by the App's id: hosts take ten minutes at most."""
    clock = VirtualClock()
    token = AppKey(7, lambda: PEM).sign(clock.now())
    found = jwt.decode(
        token, KEY.public_key(), algorithms=["RS256"], options={"verify_signature": False}
    )
    now = int(clock.now().timestamp())
    assert found == {"iss": "7", "iat": now - 60, "exp": now + 540}


@pytest.mark.parametrize("number", [7, 8], ids=["another key", "another App"])
async def test_a_wrong_key_is_one_sentence(number: int) -> None:
    """The host refuses the signature: what to check is said once, nobody else tries in this pass."""
    place = Place()
    place.keys.append(pem(rsa.generate_private_key(65537, 2048)))
    async with place.client(place.auth(number=number)) as client:
        with pytest.raises(AuthError) as caught:
            await client.get("repos/octo/tool")
        assert (caught.value.status, caught.value.kind) == (401, "credential")
        assert caught.value.hint == "app-key"
        for path in ("repos/octo/tool", "repos/acme/lib"):
            with pytest.raises(HostStopped):
                await client.get(path)
    assert place.state.count(status=401) == 1


async def test_a_key_that_was_renewed_is_read_again() -> None:
    """After a refusal the key is read once more: a new file in its place is enough."""
    place = Place()
    place.keys = [pem(rsa.generate_private_key(65537, 2048))]
    auth = place.auth()
    place.keys.append(PEM)
    async with place.client(auth) as client:
        assert (await client.get("repos/octo/tool")).status == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no key at all", "not a private key"),
        (pem(KEY, b"password"), "passphrase"),
        (PEM[:300] + "\n-----END PRIVATE KEY-----", "damaged"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
    ],
    ids=["text", "protected", "cut", "curve"],
)
def test_what_is_no_key_is_refused_at_once(text: str, words: str) -> None:
    """Each mistake has its sentence, which repeats nothing of the key."""
    with pytest.raises(ValueError, match=words) as caught:
        AppKey(7, lambda: text)
    lines = [line for line in text.splitlines() if len(line) > 30 and "-----" not in line]
    assert not any(line in str(caught.value) for line in lines)


async def test_a_missing_installation_stops_its_owner_only() -> None:
    """It is told once, with what to do, and is no "not found"; others go on; the next pass asks."""
    place = Place()
    del place.app.installations["octo"]
    async with place.client() as client:
        with pytest.raises(AuthError, match="does not exist") as caught:
            await client.get("repos/octo/tool")
        assert caught.value.hint == "app-installation"
        assert not caught.value.final
        with pytest.raises(HostStopped):
            await client.get("repos/octo/tool")
        assert (await client.get("repos/acme/lib")).status == 200
        looked = place.state.count(route="get-app-installation", status=404)
        assert looked == 2  # as an organization, and as a user
        place.state.add_app(7, installations={"octo": "read"}, public_key=(NUMBERS.n, NUMBERS.e))
        client.reset()
        assert (await client.get("repos/octo/tool")).status == 200


async def test_a_suspended_installation_says_so() -> None:
    """The account has to act: nothing is quarantined for it, and no other owner is stopped."""
    place = Place()
    place.installation().suspended_at = "2026-01-01T00:00:00Z"
    async with place.client() as client:
        with pytest.raises(AuthError, match="is suspended") as caught:
            await client.get("repos/octo/tool")
        assert (caught.value.kind, caught.value.hint) == ("permission", "app-suspended")
        assert not caught.value.final
        assert client.stopped is None


async def test_an_installation_of_another_app() -> None:
    """An id that the App does not have is named as the setting that is wrong."""
    place = Place()
    async with place.client(place.auth(installation=99)) as client:
        with pytest.raises(AuthError) as caught:
            await client.get("repos/octo/tool")
        assert caught.value.hint == "app-settings"


async def test_a_host_that_fails_is_asked_again() -> None:
    """A 502 instead of a token is retried as the request itself would be; then it is an error."""
    place = Place()
    place.state.faults.add(Fault(kind="status", status=502, route="create-installation-token"))
    async with place.client() as client:
        assert (await client.get("repos/octo/tool")).status == 200
        place.clock.advance(3600)
        place.state.faults.add(
            Fault(kind="status", status=502, route="create-installation-token", times=None)
        )
        with pytest.raises(ServerError) as caught:
            await client.post("repos/octo/tool/releases", {"tag_name": "v9"})
        assert not caught.value.ambiguous  # the release was never asked for
    assert place.state.count(route="create-release") == 0


async def test_limits_of_the_app_itself_are_not_the_installations() -> None:
    """What an answer to a signed request says of limits is another credential's."""
    place = Place(kind="github", rate_limit=3)
    async with place.client() as client:
        await client.get("repos/octo/tool")
        assert client.rate_limit is not None
        assert client.rate_limit.remaining == 2


def test_the_fingerprint_outlives_tokens() -> None:
    """It tells App and installation apart, stays for hourly tokens, and shows neither."""
    place = Place()
    prints = {place.auth().fingerprint, place.auth(5).fingerprint, place.auth(None, 8).fingerprint}
    assert len(prints) == 3
    assert place.auth().fingerprint == place.auth().fingerprint
    assert repr(place.auth()) == "AppAuth(7)"
    assert "PRIVATE" not in repr(AppKey(7, lambda: PEM))


async def test_a_token_is_not_shown() -> None:
    """What a grant prints holds everything but the token."""
    place = Place()
    async with place.client():
        pass
    auth = place.auth()
    async with place.client(auth) as client:
        grant = await auth.grant(client, "octo")
    assert "ghs_" not in repr(grant)
    assert grant.expires_at - place.clock.now() == timedelta(hours=1)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/api/v3/repos/octo/tool", "octo"),
        ("/repos/Octo/tool/releases?per_page=1", "Octo"),
        ("/orgs/octo/repos?type=all", "octo"),
        ("/users/octo", "octo"),
        ("/api/uploads/repos/octo/tool/releases/1/assets?name=/repos/x/y", "octo"),
        ("/repos/users/orgs", "users"),
        ("/user/repos?affiliation=owner", ""),
        ("/repositories/1/releases", ""),
        ("/meta", ""),
    ],
)
def test_the_owner_of_an_address(path: str, owner: str) -> None:
    """The account in an address decides; a query never does."""
    assert owner_of(f"https://ghe.example.com{path}") == owner


def test_cryptography_is_imported_only_for_an_app() -> None:
    """Configurations without an App do not pay for importing it."""
    code = "import sys, mirror.app; print('cryptography' in sys.modules, 'jwt' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

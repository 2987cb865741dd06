from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config import Config, SecretRef, Secrets, resolve_secrets
from mirror.config.secrets import SecretResolver, _exposed
from mirror.errors import ConfigError

Load = Callable[..., Config]


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("env:TOKEN", "env", "TOKEN"),
        ("file:/run/secrets/token", "file", "/run/secrets/token"),
        ("file:a:b", "file", "a:b"),
        ("credential:github-token", "credential", "github-token"),
    ],
)
def test_references(text: str, kind: str, name: str) -> None:
    """A reference is a kind and a name, and is written as it was typed."""
    ref = SecretRef.parse(text)
    assert (ref.kind, ref.name, str(ref)) == (kind, name, text)


@given(st.text(min_size=4))
def test_what_is_no_reference_is_not_repeated(text: str) -> None:
    """A sentence about something that is no reference does not hold it."""
    literal = "S3CRET" + text
    for value in (
        literal,
        f"env:{literal} ",
        f"credential:../{literal}",
        f"file:github_pat_{literal}",
    ):
        with pytest.raises(ValueError, match=r"^must be") as caught:
            SecretRef.parse(value)
        assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        *("", "env", "env:", "file:", "file:\0", "credential:", "credential:..", "credential:a/b"),
        *("ENV:X", "env:A B", 1, ["env:X"], None),
    ],
)
def test_what_is_no_reference(value: object) -> None:
    """A reference needs a kind that there is, and a name that can be."""
    with pytest.raises(ValueError, match="must be"):
        SecretRef.parse(value)


def read(text: str, environ: dict[str, str], base: Path = Path(), **more: bool) -> str:
    return SecretResolver(environ, base).read(SecretRef.parse(text), **more)


def test_secrets_are_read(tmp_path: Path) -> None:
    """A secret comes from a variable, a file or a credential, without its last line break."""
    (tmp_path / "token").write_text("s3cret\r\n")
    assert read("env:T", {"T": "s3cret\n"}) == "s3cret"
    assert read(f"file:{tmp_path}/token", {}) == "s3cret"
    assert read("file:token", {}, tmp_path) == "s3cret"
    assert read("credential:token", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "s3cret"


def a_file(path: Path, mode: int, directory: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("s3cret")
    path.chmod(mode)
    path.parent.chmod(directory)
    return path


@pytest.mark.parametrize("kind", ["file", "credential"])
@pytest.mark.parametrize(
    ("mode", "words"),
    [(0o604, "read by anybody"), (0o644, "read by anybody"), (0o602, "written by anybody")],
)
def test_a_secret_that_others_can_read_is_refused(
    tmp_path: Path, kind: str, mode: int, words: str
) -> None:
    """It is no secret any more; the sentence says what to do, and does not repeat it."""
    path = a_file(tmp_path / "open" / "token", mode)
    with pytest.raises(ConfigError, match=f"{words}.*chmod 600") as caught:
        read(
            f"{kind}:{path if kind == 'file' else 'token'}",
            {"CREDENTIALS_DIRECTORY": str(path.parent)},
        )
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("mode", "directory"), [(0o600, 0o755), (0o400, 0o777), (0o666, 0o700)])
def test_a_secret_that_others_cannot_reach_is_good(
    tmp_path: Path, mode: int, directory: int
) -> None:
    """By its own mode, or by that of the directory that it is in."""
    path = a_file(tmp_path / "open" / "token", mode, directory)
    resolver = SecretResolver({}, Path())
    assert resolver.read(SecretRef.parse(f"file:{path}")) == "s3cret"
    assert resolver.warnings == ()


@pytest.mark.parametrize(
    ("mode", "owner", "exposed"),
    [(0o640, 0, 0), (0o440, 0, 0), (0o640, 1000, 0o040), (0o660, 0, 0o060), (0o644, 0, 0o004)],
)
def test_root_may_give_a_secret_to_a_group(
    tmp_path: Path, mode: int, owner: int, exposed: int
) -> None:
    """`root:service` 0640 is how services get their files; another user's group may be anybody."""
    path = a_file(tmp_path / "open" / "token", 0o600)
    facts = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 7, 6, 0, 0, 0))
    assert _exposed(path, facts, managed=False) == exposed


def test_a_credential_is_systemd_s_to_protect(tmp_path: Path) -> None:
    """Its rights come from a list, whose mask looks like a right of the group."""
    a_file(tmp_path / "open" / "token", 0o440, 0o550)
    assert read("credential:token", {"CREDENTIALS_DIRECTORY": f"{tmp_path}/open"}) == "s3cret"


def test_a_secret_in_a_container_is_warned_of(tmp_path: Path) -> None:
    """Kubernetes mounts secrets so that all may read them: that is told, and no reason to stop."""
    volume = tmp_path / "volume"
    path = a_file(volume / "..2026" / "token", 0o644)
    volume.chmod(0o755)
    (volume / "..data").symlink_to("..2026")
    (volume / "token").symlink_to("..data/token")
    resolver = SecretResolver({}, volume)
    for _ in range(2):
        assert resolver.read(SecretRef.parse("file:token")) == "s3cret"
    (warning,) = resolver.warnings
    assert "can be read by anybody, as is common in containers" in warning
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="written by anybody"):
        resolver.read(SecretRef.parse("file:token"))


def test_a_private_key_has_lines(tmp_path: Path) -> None:
    """Line breaks within a secret are good in a private key alone."""
    (tmp_path / "key").write_text("-----BEGIN\nabc\n-----END\n")
    assert read("file:key", {}, tmp_path, multiline=True) == "-----BEGIN\nabc\n-----END"
    with pytest.raises(ConfigError, match="more than one line"):
        read("file:key", {}, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("env:NOT", "the environment variable NOT is not set"),
        ("env:EMPTY", "is empty"),
        ("env:LINES", "more than one line"),
        ("env:BLANK", "white space"),
        ("env:UNICODE", "not allowed in HTTP headers"),
        ("env:CONTROL", "not allowed in HTTP headers"),
        ("file:no", "does not exist"),
        ("file:.", "cannot be read: Is a directory"),
        ("file:binary", "is not text"),
        ("file:large", "too large to be a secret"),
        ("file:/dev/zero", "too large to be a secret"),
        ("file:~nobody-at-all/x", "home directory"),
        ("credential:x", r"\$CREDENTIALS_DIRECTORY is not set"),
    ],
)
def test_secrets_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong with a secret is said, and the secret is not."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"a" * 100_000)
    environ = {
        "EMPTY": " \n",
        "LINES": "s3cret\ns3cret",
        "BLANK": "s3cret ",
        "UNICODE": "s3cret→",
        "CONTROL": "s3cret\x1b[0m",
    }
    with pytest.raises(ConfigError, match=words) as caught:
        read(text, environ, tmp_path)
    assert "s3cret" not in str(caught.value)


def test_all_secrets_that_are_missing_are_told_at_once(load: Load) -> None:
    """Every reference that leads nowhere is a problem with its key and line."""
    config = load('token = "file:no"\n[sources.b]\nurl = "https://b"\ntoken = "env:B"\n')
    with pytest.raises(ConfigError) as caught:
        resolve_secrets(config, {"B": ""})
    assert [(problem.key, problem.line) for problem in caught.value.problems] == [
        ("target.token", 3),
        ("sources.github.token", 6),
        ("sources.b.token", 9),
    ]
    assert caught.value.file == str(config.file)


def test_secrets_and_certificates_are_told_at_once(load: Load, tmp_path: Path) -> None:
    """An unusable `ca_file` is reported with its key and line, together with missing secrets."""
    (tmp_path / "empty.pem").write_text("no certificate")
    hosts = (
        "[target]\nurl = 'https://ghe.example.com'\ntoken = 'env:NOPE'\nca_file = 'gone.pem'\n"
        "[sources.github]\nurl = 'https://github.com'\nca_file = 'empty.pem'\n"
    )
    with pytest.raises(ConfigError) as caught:
        resolve_secrets(load("", hosts=hosts), {})
    found = [(problem.line, problem.key) for problem in caught.value.problems]
    assert found == [(3, "target.token"), (4, "target.ca_file"), (7, "sources.github.ca_file")]
    told = str(caught.value)
    assert "No such file" in told
    assert "holds no certificates" in told


def test_only_what_is_needed_is_read(load: Load) -> None:
    """A command that needs no secret of a table does not ask for it."""
    config = load('token = "env:NOT"\n')
    secrets = resolve_secrets(config, {"TARGET": "t"}, only={"target"})
    assert len(secrets) == 1
    assert secrets.get(config.sources["github"].token) is None
    assert secrets.get(None) is None


def test_secrets_are_read_again(load: Load, tmp_path: Path) -> None:
    """A secret that was renewed is found; one that vanished leaves the former in place."""
    config = load('token = "file:token"\n')
    file = tmp_path / "token"
    file.write_text("one")
    secrets = resolve_secrets(config, {"TARGET": "t"})
    ref = config.sources["github"].token
    assert ref is not None
    assert secrets[ref] == "one"
    file.write_text("two")
    assert secrets.reread(ref) == "two"
    file.unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        secrets.reread(ref)
    assert secrets[ref] == "two"


def test_nothing_prints_a_secret(load: Load) -> None:
    """Neither the configuration nor its secrets show a secret when they are printed."""
    config = load("")
    secrets = resolve_secrets(config, {"TARGET": "s3cret"})
    assert isinstance(secrets, Secrets)
    for shown in (repr(secrets), str(secrets), repr(config), repr(config.target), f"{secrets}"):
        assert "s3cret" not in shown

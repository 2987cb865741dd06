from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.config import Config, find_config_file, load_config, load_config_and_secrets
from mirror.config.model import Mirror
from mirror.config.model import fingerprint as fingerprint_of
from mirror.errors import ConfigError, Problem

ROOT = Path(__file__).parents[2]
FULL = (ROOT / "config" / "full.toml").read_text()


Load = Callable[..., Config]
Wrong = Callable[..., list[Problem]]


def test_the_first_file_wins(tmp_path: Path) -> None:
    """--config comes before the environment, the user's file, and the system's."""
    environ = {"RELEASE_MIRROR_CONFIG": "/env.toml", "XDG_CONFIG_HOME": str(tmp_path)}
    assert find_config_file("/x.toml", environ) == Path("/x.toml")
    assert find_config_file(None, environ) == Path("/env.toml")
    del environ["RELEASE_MIRROR_CONFIG"]
    file = tmp_path / "release-mirror" / "config.toml"
    file.parent.mkdir()
    file.touch()
    assert find_config_file(None, environ) == file
    home = tmp_path / ".config" / "release-mirror" / "config.toml"
    home.parent.mkdir(parents=True)
    home.touch()
    assert find_config_file(None, {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}) == home


@pytest.mark.skipif(
    Path("/etc/release-mirror/config.toml").exists(), reason="this machine has a system-wide file"
)
def test_no_file_names_the_places(tmp_path: Path) -> None:
    """Where no file is found, every place that was looked at is named."""
    with pytest.raises(ConfigError) as caught:
        find_config_file(None, {"HOME": str(tmp_path)})
    for place in (
        "--config",
        "$RELEASE_MIRROR_CONFIG",
        f"{tmp_path}/.config/release-mirror/config.toml",
        "/etc/release-mirror/config.toml",
    ):
        assert place in str(caught.value)


def test_values_are_ready_to_use(load: Load) -> None:
    """What is typed as text comes out as the value that it means."""
    config = load(
        'api_url = "https://api.github.com/"\nconnect_timeout = "5s"\n'
        '[[mirrors]]\nsource = "cli/cli"\n'
        'releases = { since = 2024-01-31, latest = 3 }\nassets.max_size = "1GiB"\n'
    )
    assert config.hosts.keys() == {"target", "github"}
    assert config.sources["github"].api_url == "https://api.github.com"
    assert config.sources["github"].connect_timeout == timedelta(seconds=5)
    (mirror,) = config.mirrors
    assert mirror.from_name == "github"
    assert mirror.settings.releases.since == date(2024, 1, 31)
    assert mirror.settings.releases.since_moment == datetime(2024, 1, 31, tzinfo=UTC)
    assert mirror.settings.assets.max_size == 2**30
    assert mirror.target_of("cli", "cli") == "cli/cli"
    assert (mirror.owner, mirror.repository, mirror.is_pattern) == ("cli", "cli", False)


def test_precedence(load: Load) -> None:
    """Built in < [defaults] < the mirror, key by key; a list replaces, and [] clears."""
    config = load(
        '[defaults]\nassets.exclude = ["*.sbom.json"]\nassets.latest = 7\nreleases.latest = 5\n'
        'visibility = "internal"\nenabled = false\n'
        '[[mirrors]]\nsource = "a/a"\nassets.latest = 2\n'
        '[[mirrors]]\nsource = "a/b"\nenabled = true\nassets = { exclude = [] }\n'
        '[[mirrors]]\nsource = "a/c"\nassets.exclude = ["x"]\nvisibility = "public"\n'
    )
    a, b, c = (mirror.settings for mirror in config.mirrors)
    assert (a.assets.exclude, a.assets.latest, a.enabled) == (("*.sbom.json",), 2, False)
    assert (b.assets.exclude, b.assets.latest, b.enabled) == ((), 7, True)
    assert (c.assets.exclude, c.assets.latest, c.releases.latest) == (("x",), 7, 5)
    assert (b.visibility, c.visibility) == ("internal", "public")
    assert a.releases.prereleases is True


def test_the_ledgers_directory(load: Load, tmp_path: Path) -> None:
    """The file, else systemd's directory, else the user's state directory."""

    def directory(text: str, **environ: str) -> Path:
        return load(text, environ={"HOME": "/home/me", **environ}).ledger.directory

    assert directory("") == Path("/home/me/.local/state/release-mirror")
    assert directory("", XDG_STATE_HOME="/state") == Path("/state/release-mirror")
    assert directory("", STATE_DIRECTORY="/var/lib/a:/b") == Path("/var/lib/a")
    assert directory('[ledger]\ndirectory = "x"\n', STATE_DIRECTORY="/a") == tmp_path / "x"
    assert directory('[ledger]\ndirectory = "/x"\n') == Path("/x")


def test_every_mistake_at_once(wrong: Wrong) -> None:
    """All mistakes are told together, each with its key and its line, in the file's order."""
    problems = wrong(
        "[[mirrors]]\n"
        'source = "cli/cli"\n'
        "releases.latest = 0\n"
        "[[mirrors]]\n"
        'source = "*/x"\n'
        'interval = "5 minutes"\n'
        "[sync]\n"
        "transfers = true\n"
        "[log]\n"
        'level = "warn"\n'
        "[colour]\n"
    )
    assert [(problem.key, problem.line) for problem in problems] == [
        ("mirrors[1] (cli/cli).releases.latest", 8),
        ("mirrors[2] (*/x).source", 10),
        ("mirrors[2] (*/x).interval", 11),
        ("sync.transfers", 13),
        ("log.level", 15),
        ("colour", 16),
    ]
    assert problems[0].message == "must be 1 or more, not 0"
    assert problems[3].message == "must be an integer, not a boolean"
    assert 'did you mean "warning"?' in problems[4].message


def test_one_mistake_hides_no_other(wrong: Wrong) -> None:
    """What is good in a wrong table is still checked against the rest of the file."""
    problems = wrong(
        'app = { id = 1 }\n[sources.b]\nurl = "http://b.example.com"\ntoken = "env:B"\n'
        "app = { id = 1 }\nmax_connections = 0\n"
        '[[mirrors]]\nsource = "a/b"\nfrom = "b"\nreleases.latest = 0\nforks = true\n'
        '[[mirrors]]\nsource = "c/b"\nfrom = "b"\ntarget = "a/b"\ntags = 1\n'
    )
    assert [(problem.key, problem.line) for problem in problems] == [
        ("sources.github.app.private_key", 6),
        ("sources.b.url", 8),
        ("sources.b.app.private_key", 10),
        ("sources.b.app", 10),
        ("sources.b.max_connections", 11),
        ("mirrors[1] (a/b).releases.latest", 15),
        ("mirrors[1] (a/b).forks", 16),
        ("mirrors[2] (c/b).target", 20),
        ("mirrors[2] (c/b).tags", 21),
    ]


MIRROR = '[[mirrors]]\nsource = "cli/cli"\n'
OTHER = '[sources.other]\nurl = "https://other.example.com"\n'


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        # unknown keys
        ("[sinc]\n", "sinc", 'unknown key; did you mean "sync"?'),
        (MIRROR + "release.latest = 1\n", "release", 'did you mean "releases"?'),
        (MIRROR + "releases.lates = 1\n", "releases.lates", 'did you mean "latest"?'),
        (MIRROR + "prereleases = true\n", "prereleases", 'did you mean "releases.prereleases"?'),
        (MIRROR + 'include = ["x"]\n', "include", '"releases.include" or "assets.include"?'),
        (MIRROR + "on-delete = 1\n", "on-delete", 'did you mean "on_delete"?'),
        (MIRROR + "maxsize = 1\n", "maxsize", 'did you mean "assets.max_size"?'),
        ("[log]\nqqq = 1\n", "log.qqq", "allowed here: level, format"),
        ('[defaults]\nsource = "a/b"\n', "defaults.source", "unknown key"),
        ('[defaults]\nfrom = "github"\n', "defaults.from", "unknown key"),
        # kinds
        ("[mirrors]\n", "mirrors", "write [[mirrors]], not a table"),
        ("[[sync]]\n", "sync", "must be a table: write [sync], not a list"),
        ("[[daemon]]\n", "daemon", "not a list"),
        ("[[defaults]]\n", "defaults", "must be a table"),
        ("[[ledger]]\n", "ledger", "must be a table"),
        (MIRROR + "releases = 5\n", "releases", "must be a table, not an integer"),
        (MIRROR + "releases.include = 'v*'\n", "releases.include", "must be a list, not a string"),
        (MIRROR + "releases.include = ['v', 1]\n", "include[2]", "not an integer"),
        (MIRROR + "releases.include = ['']\n", "include[1]", "must be a pattern"),
        (MIRROR + "enabled = 'yes'\n", "enabled", "must be true or false, not a string"),
        (MIRROR + "releases.latest = 1.5\n", "latest", "an integer, not a floating-point number"),
        (MIRROR + "releases.latest = 0x" + "f" * 99, "latest", "must be 1000000000 or less"),
        (MIRROR + "body.footer = 1\n", "body.footer", "must be a template with any of"),
        (
            MIRROR + "body.footer = '{who}'\n",
            "body.footer",
            "{source_url}, {published_at}, {author}",
        ),
        (MIRROR + "visibility = 1\n", "visibility", '"private", "internal" or "public", not an'),
        (MIRROR + "visibility = 'pubic'\n", "visibility", 'did you mean "public"?'),
        (MIRROR + "max_deletes = -1\n", "max_deletes", "must be 0 or more, not -1"),
        ("[sync]\ntransfers = 0\n", "sync.transfers", "must be 1 or more"),
        ("[sync]\nbandwidth = 5\n", "sync.bandwidth", "must be a bandwidth"),
        ("[ledger]\ndirectory = ''\n", "ledger.directory", "must be a path"),
        ("ca_file = 'a\\u0000'\n".replace("'", '"'), "sources.github.ca_file", "must be a path"),
        # missing
        ("[[mirrors]]\ntarget = 'a/b'\n", "mirrors[1].source", 'for example "cli/cli"'),
        ("[sources.other]\n", "sources.other.url", 'for example "https://ghe.example.com"'),
        # hosts
        ("[sources]\nx = 1\n", "sources.x", "must be a table: write [sources.x]"),
        ("[sources.'a b']\nurl = 'https://h'\n", 'sources."a b"', "letters, digits, hyphens"),
        ("[sources.Target]\nurl = 'https://h'\n", "sources.Target", "choose another"),
        ("[sources.GitHub]\nurl = 'https://h'\n", "sources.GitHub", "only in case"),
        ("upload_origin = 'https://h/x'\n", "github.upload_origin", "without a path"),
        ("token = 'env:X'\napp = {}\n", "sources.github.app", "set token or app, not both"),
        ("app = { id = 1 }\n", "app.private_key", "must be set"),
        # bundles
        ("bundle = '/b'\n", "sources.github.url", "does not go with bundle"),
        ("[sources.b]\nbundle = '/b'\ntoken = 'env:X'\n", "b.token", "does not go with bundle"),
        ("[sources.b]\nbundle = '/b'\nproxy = ''\n", "b.proxy", "does not go with bundle"),
        ("[sources.b]\nbundle = 1\n", "sources.b.bundle", "must be a path"),
        ("[sources.b]\nbundel = '/b'\n", "sources.b.bundel", 'did you mean "bundle"?'),
        ("sign_with = 'env:X'\n", "sources.github.sign_with", "goes only with bundle"),
        ("allowed_signers = '/x'\n", "github.allowed_signers", "goes only with bundle"),
        ("[sources.b]\nbundle = '/b'\nsign_with = 'key'\n", "b.sign_with", "secret"),
        # mirrors
        (MIRROR + "from = 'githab'\n", "from", 'unknown source "githab"; configured: "github"'),
        (OTHER + MIRROR, "from", 'more than one source: "github" or "other"'),
        (MIRROR + "forks = true\n", "forks", "applies only to patterns"),
        (MIRROR + "archived = false\n", "archived", 'patterns such as "cli/*"'),
        (
            MIRROR + MIRROR,
            "mirrors[2] (cli/cli).target",
            "mirrors[1] (cli/cli) already mirrors",
        ),
        # the daemon
        ("[daemon]\ninterval = '15m'\nschedule = '* * * * *'\n", "daemon.schedule", "not both"),
        ("[daemon]\nlisten = '8321'\n", "daemon.listen", "an address and a port"),
        ("[daemon]\nhosts = 'mirror.example.com'\n", "daemon.hosts", "must be a list"),
        ("[daemon]\nhosts = ['m', 'm:80']\n", "daemon.hosts[2]", "without scheme, port, path"),
        ("[daemon]\nhosts = ['*']\n", "daemon.hosts[1]", "or wildcards"),
        ("[daemon]\nhosts = [80]\n", "daemon.hosts[1]", "not an integer"),
        ("[daemon]\nhost = ['m']\n", "daemon.host", 'did you mean "hosts"?'),
        ("[notify]\nurls = 'env:X'\n", "notify.urls", "must be a list"),
    ],
)
def test_each_mistake_has_its_sentence(wrong: Wrong, text: str, key: str, words: str) -> None:
    """A mistake names its key, and says what is allowed in words of ours."""
    problems = wrong(text)
    assert any(p.key.endswith(key) and words in p.message for p in problems), problems
    for problem in problems:
        assert "pydantic" not in problem.message
        assert "Input" not in problem.message
        assert problem.line is not None


def test_two_sources_with_one_target(wrong: Wrong) -> None:
    """Two sources with one target, ignoring case, are told with both names."""
    (problem,) = wrong(
        '[[mirrors]]\nsource = "cli/cli"\ntarget = "Mirrors/{repo}"\n'
        '[[mirrors]]\nsource = "other/CLI"\ntarget = "mirrors/{repo}"\n'
    )
    assert problem.key == "mirrors[2] (other/CLI).target"
    assert '"other/CLI" here and of "cli/cli" in mirrors[1] (cli/cli)' in problem.message


def test_a_disabled_mirror_takes_no_target(load: Load) -> None:
    """A mirror that is not enabled touches nothing, so its target is free for another."""
    text = MIRROR + '[[mirrors]]\nsource = "x/y"\ntarget = "cli/cli"\nenabled = false\n'
    assert len(load(text).mirrors) == 2


SAME = """\
[target]
url = "https://github.com"
token = "env:T"
[sources.github]
url = "https://GitHub.com/"
"""


@pytest.mark.parametrize(
    "text",
    [
        '[[mirrors]]\nsource = "a/b"\ntarget = "A/B"\n',
        '[[mirrors]]\nsource = "a/b"\n',
        '[[mirrors]]\nsource = "a/*"\n',
        '[[mirrors]]\nsource = "a/*"\ntarget = "a/{repo}"\n',
    ],
)
def test_no_mirror_writes_to_its_own_source(wrong: Wrong, text: str) -> None:
    """On one host, a repository or a pattern that would be its own target is refused."""
    (problem,) = wrong(text, hosts=SAME)
    assert "is the source itself" in problem.message


def test_one_host_can_be_both(load: Load) -> None:
    """On one host, another repository is a good target."""
    assert load('[[mirrors]]\nsource = "a/*"\ntarget = "b/{repo}"\n', hosts=SAME).mirrors


@pytest.mark.parametrize("key", ["url", "api_url", "upload_origin"])
def test_no_token_in_plain_text(load: Load, wrong: Wrong, key: str) -> None:
    """A token is refused over http:// to anything but loopback, unless it is allowed."""
    hosts = '[target]\ntoken = "env:T"\n' + ("" if key == "url" else 'url = "https://h"\n')
    address = f'{key} = "http://h.example.com"\n'
    (problem,) = wrong(address, hosts=hosts)
    assert problem.key == f"target.{key}"
    assert "allow_plaintext" in problem.message
    assert load(address + "allow_plaintext = true\n", hosts=hosts).target.allow_plaintext
    loopback = "http://127.0.0.1:8080"
    config = load(f'{key} = "{loopback}"\n', hosts=hosts)
    assert getattr(config.target, key) == loopback


def test_an_anonymous_source_may_be_plain(load: Load) -> None:
    """Without a token there is nothing to protect."""
    assert load('[sources.plain]\nurl = "http://h.example.com"\n').sources["plain"].token is None


def test_the_target_must_be_there(wrong: Wrong) -> None:
    """A file without a target, or with one that nobody may write to, is refused."""
    assert [problem.key for problem in wrong("", hosts="")] == ["target"]
    assert [problem.key for problem in wrong("[target]\n", hosts="")] == [
        "target.url",
        "target.token",
    ]


@pytest.mark.parametrize("token", ["ghp_S3CRET", "S3CRET", "env:ghp_S3CRETS3CRET", "vault:S3CRET"])
@pytest.mark.parametrize("key", ["target", "sources.x", "app", "webhook", "urls", "heartbeat"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(
    wrong: Wrong, token: str, key: str
) -> None:
    """Only references to secrets are accepted, and no message holds what was there instead."""
    text = {
        "target": f'[target]\nurl = "https://h"\ntoken = "{token}"\n',
        "sources.x": f'[sources.x]\nurl = "https://h"\ntoken = "{token}"\n',
        "app": f'[target]\nurl = "https://h"\napp = {{ id = 1, private_key = "{token}" }}\n',
        "webhook": f'[daemon]\nwebhook_secret = "{token}"\n',
        "urls": f'[notify]\nurls = ["{token}"]\n',
        "heartbeat": f'[notify]\nheartbeat_url = "{token}"\n',
    }[key]
    problems = wrong(text, hosts="")
    assert any("credential:NAME" in problem.message for problem in problems)
    assert not any("S3CRET" in str(problem) for problem in problems)


def test_a_default_may_be_written_down(load: Load) -> None:
    """To write a default down changes nothing."""
    config = load(
        '[defaults]\non_delete = "keep"\nmax_deletes = 10\nreleases.min_age = "0s"\n'
        '[sync]\nbandwidth = "0"\ntransfer = "stream"\n'
        '[daemon]\ninterval = "15m"\nlisten = "127.0.0.1:8321"\n[notify]\nurls = []\n'
    )
    assert config == load("")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a = ", "not valid TOML"),
        (b'a = 1\nb = "x\n', "not closed at the end of its line (line 2, column"),
        (b"[a]\nx = 1\nx = 2\n", "a key is set twice (line 3, column"),
        (b"a", "followed by = and a value (line 1, the end of the file)"),
        (b"a = 9" + b"9" * 5000, "not valid TOML"),
        (b"a = 2024-13-45", "not valid TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe[\x00", "not UTF-8 text (line 1)"),
        (b"a = 1\n\n\xe9", "not UTF-8 text (line 3)"),
        (b"\x00" * 10, "not valid TOML"),
        (b" " * (17 * 2**20), "too large"),
    ],
)
def test_a_file_that_cannot_be_read_as_toml(tmp_path: Path, data: bytes, words: str) -> None:
    """Broken TOML has one problem, with line and column."""
    file = tmp_path / "config.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    (problem,) = caught.value.problems
    assert words in problem.message
    assert str(caught.value).startswith(f"{file}: ")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing file, a directory and an impossible path are told, without a traceback."""
    for path, words in (
        (tmp_path / "no.toml", "does not exist"),
        (tmp_path, "is a directory"),
        (tmp_path / "no.toml" / "\0", "invalid path"),
        (Path("/dev/zero"), "too large"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_config(path, {})


def test_windows_text_is_read(tmp_path: Path) -> None:
    """A byte-order mark and CRLF change neither meaning nor lines."""
    file = tmp_path / "config.toml"
    text = '[target]\nurl = "https://h"\ntoken = "ghp"\n[sources.s]\nurl = "https://github.com"\n'
    text += '[[mirrors]]\nsource = "cli/cli"\n'
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert [problem.line for problem in caught.value.problems] == [3]


def test_lines_are_found_around_strings_and_lists(wrong: Wrong) -> None:
    """Nothing in a string, a comment or a list is taken for a key or a table."""
    problems = wrong(
        "# [sync] transfers = 1\n"
        "[defaults]\n"
        'body.footer = """\n[sync]\ntransfers = 0 {}\n"""\n'
        "[defaults.releases]\n"
        "include = [\n  'a=b', # ]\n  '[x]',\n]\n"
        "'latest' = 0\n"
        "[sync]\n"
        "transfers = 0\n"
    )
    assert {problem.key: problem.line for problem in problems} == {
        "defaults.body.footer": 8,
        "defaults.releases.latest": 17,
        "sync.transfers": 19,
    }


def test_fingerprints(load: Load) -> None:
    """A fingerprint changes with what is mirrored, and with nothing else."""

    def fingerprint(text: str) -> str:
        return fingerprint_of(load(MIRROR + text).mirrors[0].settings)

    plain = fingerprint("")
    assert len(plain) == 16
    assert int(plain, 16) >= 0
    for same in ("enabled = false\n", "target = 'x/y'\n", "exclude = ['a/b']\n"):
        assert fingerprint(same) == plain
    assert fingerprint("releases.prereleases = true\n") == plain
    other = [
        fingerprint(text)
        for text in (
            "releases.latest = 1\n",
            "assets.latest = 1\n",
            "releases.include = ['a']\n",
            "releases.since = 2024-01-01\n",
            "incomplete = 'hold'\n",
            "body.mentions = 'keep'\n",
        )
    ]
    assert len({plain, *other}) == len(other) + 1
    assert fingerprint("assets.include = ['a', 'b']\n") == fingerprint(
        "assets.include = ['b', 'a', 'b']\n"
    )


def test_a_mirror_says_what_it_is(load: Load) -> None:
    """Two loads of one file are equal, and settings cannot be changed."""
    one, two = load(MIRROR), load(MIRROR)
    assert one == two
    with pytest.raises(ValueError, match="frozen"):
        one.mirrors[0].settings.enabled = False  # type: ignore[misc]


def test_mirrors_share_equal_settings(load: Load) -> None:
    """However many mirrors there are, each distinct table of settings is in memory once."""
    config = load(
        '[[mirrors]]\nsource = "a/a"\nassets.latest = 2\n'
        '[[mirrors]]\nsource = "a/b"\n'
        '[[mirrors]]\nsource = "a/c"\nassets = { latest = 2 }\n'
    )
    a, b, c = (mirror.settings for mirror in config.mirrors)
    assert a is c
    assert a != b


def _toml(value: object) -> str:
    """Write a value as TOML, all in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return repr(value)


KEYS = sorted(
    {"target", "sources", "github", "defaults", "mirrors", "sync", "ledger", "daemon"}
    | {"notify", "log", "url", "token", "app", "id", "private_key", "interval", "schedule", "level"}
    | {f.alias or n for n, f in Mirror.model_fields.items()}
    | {"include", "latest", "max_size"}
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["env:X", "a/b", "a/*", "{repo}", "1h", "https://h", "http://h", "v*", "true", ">=1", "keep"]
)
VALUES = st.recursive(
    TEXTS
    | st.integers()
    | st.booleans()
    | st.floats()
    | st.dates(min_value=date(1000, 1, 1))
    | st.datetimes(min_value=datetime(1000, 1, 1)),  # noqa: DTZ001 - hypothesis adds none
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=4)
    ),
    max_leaves=20,
)


def _load_or_problems(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    problems: tuple[Problem, ...] | None = None
    try:
        load_config(file, {})
    except ConfigError as error:
        problems = error.problems
    assert problems != ()
    for problem in problems or ():
        assert problem.message
        assert "\n" not in str(problem)


FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_no_toml_crashes_it(tmp_path: Path, document: dict[str, Any]) -> None:
    """Whatever stands at whatever key, the file is good or its mistakes are told."""
    text = "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in document.items())
    _load_or_problems(tmp_path / "config.toml", text.encode())


@FUZZ
@given(st.data())
def test_no_damage_crashes_it(tmp_path: Path, data: st.DataObject) -> None:
    """A good file with any one value replaced is good, or its mistakes are told."""
    lines = FULL.splitlines()
    places = [number for number, line in enumerate(lines) if " = " in line and line[0] != "#"]
    place = data.draw(st.sampled_from(places))
    lines[place] = f"{lines[place].partition(' = ')[0]} = {_toml(data.draw(VALUES))}"
    _load_or_problems(tmp_path / "config.toml", "\n".join(lines).encode())


@FUZZ
@given(st.binary(max_size=200) | st.text(alphabet="[]{}=\".#\n' a1-", max_size=60).map(str.encode))
def test_no_bytes_crash_it(tmp_path: Path, data: bytes) -> None:
    """Whatever is in the file, there is no traceback."""
    _load_or_problems(tmp_path / "config.toml", data)


# --- mistakes that users make first ----------------------------------------------------------------


@pytest.mark.parametrize("mirrors", ["", "mirrors = []\n"])
def test_a_file_without_mirrors_is_wrong(mirrors: str, tmp_path: Path) -> None:
    """Whether there is no table or an empty list: one sentence says what to add."""
    file = tmp_path / "config.toml"
    file.write_text(f'{mirrors}[target]\nurl = "https://h"\ntoken = "env:T"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    (problem,) = caught.value.problems
    assert problem.key == "mirrors"
    assert "add a [[mirrors]] table" in problem.message


def test_sources_written_as_one_table_are_explained(wrong: Wrong) -> None:
    """Keys of a source under `[sources]` itself: one sentence, and the other mistakes."""
    hosts = '[target]\nurl = "https://h"\ntoken = "env:T"\n'
    table = '[sources]\nurl = "https://github.com"\ntoken = "env:S"\n'
    (problem,) = wrong(table, hosts=hosts)
    assert (problem.key, problem.line) == ("sources", 4)
    assert "write [sources.github] instead of [sources]" in problem.message
    keys = [problem.key for problem in wrong(table + 'timeout = "1s"\n', hosts=hosts)]
    assert keys == ["sources", "sources.github.timeout"]


def test_mistakes_of_the_file_and_its_secrets_come_together(tmp_path: Path) -> None:
    """Each with its place and its reference, also where the host has mistakes of its own."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[target]\nurl = "ghe.example.com"\ntoken = "env:MISSING"\nca_file = "gone.pem"\n'
        '[sources.github]\nurl = "https://github.com"\ntoken = "file:empty"\n'
        '[[mirrors]]\nsource = "cli/cli"\ntarget = "mirrors/cli"\nretries = 3\n'
        '[daemon]\nwebhook_secret = "env:HOOK"\n'
    )
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "empty").chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load_config_and_secrets(file, {}, only={"target", "sources"})
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (2, "target.url"),
        (3, "target.token"),
        (4, "target.ca_file"),
        (7, "sources.github.token"),
        (11, "mirrors[1] (cli/cli).retries"),
    ]
    told = str(caught.value)
    assert '"env:MISSING"' in told
    assert '"file:empty"' in told

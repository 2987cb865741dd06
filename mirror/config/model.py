"""The settings: every key of the configuration file, with its type, default and documentation.

The JSON Schema, the reference page and the suggestions in error messages all come from here.
Settings hold parsed values (a duration is a ``timedelta``, a size a number of bytes). Checks across
several keys are in ``checks.py``.
"""

# No `from __future__ import annotations` here: pydantic needs the annotations as objects.

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

from pydantic import BaseModel, ConfigDict, Field, Strict

from mirror.config import repository_names
from mirror.config.host_urls import Address
from mirror.config.lines import Lines, label
from mirror.config.lines import Path as Path_
from mirror.config.secret_refs import SecretRef
from mirror.config.types import (
    Bandwidth,
    Count,
    CountOrZero,
    Cron,
    Day,
    Duration,
    Excludes,
    Few,
    FilePath,
    Footer,
    Globs,
    HostNames,
    Listen,
    Origin,
    PositiveDuration,
    PrivateKey,
    Proxy,
    Secret,
    SecretList,
    Size,
    SourceName,
    TargetName,
    Url,
    Versions,
    WebUrl,
)


class Settings(BaseModel):
    """A table of the file: unknown keys are errors, and nothing is converted silently."""

    # A command validates most tables, but not all: pydantic prepares each when it is needed.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True
    )

    @classmethod
    def built_in(cls) -> Self:
        """A table that is absent: its defaults, for which pydantic need not prepare the model."""
        return cast("Self", cls.model_construct())


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class App(Settings):
    """A GitHub App to authenticate as."""

    id: Count = Field(description="App ID.")
    installation_id: Count | None = Field(
        default=None,
        description="Installation ID. Default: the installation in the account that owns the"
        " repository.",
    )
    private_key: PrivateKey = Field(description="The App's private key (PEM).")


class Host(Settings):
    """A GitHub host or a bundle: the target, or a source."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["url"]}, {"required": ["bundle"]}]}
    )

    url: WebUrl = Field(
        default="",
        json_schema_extra=_without_default,
        description="Web address of the host; required unless `bundle` is set. The API address is"
        " derived from it:"
        " `https://github.com` → `https://api.github.com`, `https://SUB.ghe.com` →"
        " `https://api.SUB.ghe.com`, any other → `URL/api/v3`.",
    )
    api_url: Url | None = Field(
        default=None, description="API address, if it cannot be derived from `url`."
    )
    token: Secret | None = Field(
        default=None,
        description="Token for authentication: `env:NAME`, `file:PATH` or `credential:NAME`"
        " (systemd's `$CREDENTIALS_DIRECTORY`). The target requires a token or `app`; a source"
        " with public repositories does not.",
    )
    app: App | None = Field(
        default=None, description="GitHub App to authenticate as, instead of a token."
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="File of CA certificates (PEM) to trust in addition to the system's.",
    )
    proxy: Proxy | None = Field(
        default=None,
        description='Proxy for connections to the host; `""` connects directly. Default:'
        " `HTTPS_PROXY`, unless `NO_PROXY` excludes the host.",
    )
    max_connections: Few = Field(
        default=16, description="Maximum concurrent connections to the host."
    )
    connect_timeout: PositiveDuration = Field(
        default=timedelta(seconds=10), description="Maximum time to establish a connection."
    )
    stall_timeout: PositiveDuration = Field(
        default=timedelta(seconds=60),
        description="Maximum time without progress while a transfer is unfinished. The total time"
        " of a transfer is not limited.",
    )
    response_timeout: PositiveDuration = Field(
        default=timedelta(minutes=15),
        description="Maximum time between the last byte of an upload and the response.",
    )
    points_per_minute: CountOrZero | None = Field(
        default=None,
        description="Maximum points in any 60 seconds: a read costs 1, every other request 5; 0 is"
        " unlimited. Default: 900 on github.com and GHE.com, unlimited on a GitHub Enterprise"
        " Server.",
    )
    writes_per_minute: CountOrZero | None = Field(
        default=None,
        description="Maximum requests that create content (POST, PUT, PATCH) in any 60 seconds; 0"
        " is unlimited. Default: 80 on github.com and GHE.com, unlimited on a GitHub Enterprise"
        " Server.",
    )
    writes_per_hour: CountOrZero | None = Field(
        default=None,
        description="Maximum requests that create content in any hour, including those of earlier"
        " runs that the ledger records; 0 is unlimited. Default: 500 on github.com and GHE.com,"
        " unlimited on a GitHub Enterprise Server.",
    )
    rate_limit_reserve: CountOrZero = Field(
        default=0, description="Requests of the rate limit to leave for other clients."
    )
    upload_origin: Origin | None = Field(
        default=None,
        description="Additional origin to accept in `upload_url`. Always accepted: the host's own"
        " origin, `uploads.HOST`, and the `api.` and `uploads.` pairs of github.com and"
        " GHE.com.",
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Also send the token over `http://`. By default, only loopback addresses"
        " receive it without TLS.",
    )
    bundle: FilePath | None = Field(
        default=None,
        description="Directory of a bundle that takes the place of the host, to carry releases"
        " over an air gap. Of the other keys, only `sign_with` and `allowed_signers` go with it.",
    )
    sign_with: PrivateKey | None = Field(
        default=None,
        description="SSH key that signs the bundle, a secret reference: a private key, or a public"
        " key whose private key is in the SSH agent.",
    )
    allowed_signers: FilePath | None = Field(
        default=None,
        description="File that lists who may sign the bundle, in the format of `ssh-keygen`"
        " (ALLOWED SIGNERS in ssh-keygen(1)). A bundle that none of them signed is refused."
        " Without this key, signatures are not checked, and every report warns of that.",
    )

    @property
    def address(self) -> str:
        """What people know it by."""
        return self.url or str(self.bundle)


class Releases(Settings):
    """Which releases to mirror."""

    include: Globs = Field(
        default=(),
        description="Patterns of tags to mirror; an empty list selects all. Case-sensitive; `*`"
        " also matches `/`.",
    )
    exclude: Globs = Field(default=(), description="Patterns of tags to exclude.")
    versions: Versions = Field(
        default="",
        description='Versions to mirror, as a version specifier: `">=1.2,<3"`. Empty selects all.',
    )
    since: Day | None = Field(
        default=None, description="Exclude releases published before this day (UTC)."
    )
    latest: Count | None = Field(
        default=None,
        description="Mirror only the newest N releases, by publication time, after all other"
        " filters.",
    )
    prereleases: bool = Field(default=True, description="Also mirror prereleases.")
    drafts: bool = Field(
        default=False,
        description="Also mirror drafts. The source's token must be able to read them.",
    )
    min_age: Duration = Field(
        default=timedelta(),
        description="Minimum age of a release and its newest asset before it is mirrored: for"
        " sources that upload assets after publishing, or as a supply-chain cool-down.",
    )

    @property
    def since_moment(self) -> datetime | None:
        """The start of the day of ``since``, in UTC."""
        return None if self.since is None else datetime.combine(self.since, time(), UTC)


class Assets(Settings):
    """Which assets to mirror."""

    include: Globs = Field(
        default=(),
        description="Patterns of file names to mirror; an empty list selects all. Case-sensitive.",
    )
    exclude: Globs = Field(default=(), description="Patterns of file names to exclude.")
    max_size: Size | None = Field(default=None, description="Exclude assets larger than this.")
    latest: Count | None = Field(
        default=None,
        description="Mirror assets only for the newest N releases; older releases are mirrored"
        " without assets.",
    )
    source_archives: bool = Field(
        default=False,
        description="Also attach the source's `.tar.gz` and `.zip` archives of the tag, once. The"
        " name filters do not apply to them.",
    )


class Body(Settings):
    """The text of a release at the target."""

    mentions: Literal["escape", "keep"] = Field(
        default="escape",
        description='`"escape"`: an `@name` in a release\'s text notifies nobody at the target.'
        ' `"keep"`: leave the text unchanged.',
    )
    footer: Footer = Field(
        default="",
        description="Template appended to the text, with the placeholders `{source_url}`,"
        " `{published_at}` and `{author}`.",
    )


class MirrorSettings(Settings):
    """Keys that `[defaults]` may set for every mirror: all except source, from and target."""

    exclude: Excludes = Field(
        default=(),
        description="Repositories that a pattern does not match, as `OWNER/REPO`. Both parts may"
        " contain wildcards.",
    )
    enabled: bool = Field(
        default=True, description="A disabled mirror changes nothing at the target."
    )
    forks: bool = Field(default=False, description="A pattern also matches forks.")
    archived: bool = Field(
        default=True, description="A pattern also matches archived repositories."
    )
    releases: Releases = Releases.built_in()
    assets: Assets = Assets.built_in()
    incomplete: Literal["publish", "hold"] = Field(
        default="publish",
        description='If the target can never accept an asset: `"publish"` the release without it'
        ' and name it in every report, or `"hold"` the release back as a draft.',
    )
    tags: Literal["create", "push", "require"] = Field(
        default="create",
        description='If the target lacks a release\'s tag: `"create"` it (at the same commit if'
        " the target has it; otherwise, only in a repository that release-mirror created, at a"
        ' placeholder commit), `"push"` it with its history through git, or `"require"` it: the'
        " release waits.",
    )
    allow_actions: bool = Field(
        default=False,
        description='Push tags (`tags = "push"`) even if GitHub Actions is enabled at the target.'
        " Pushed tags and releases then run the source's workflows on your runners.",
    )
    create_repository: bool = Field(
        default=True,
        description="Create a missing target repository when there is a release for it.",
    )
    visibility: Literal["private", "internal", "public"] = Field(
        default="private", description="Visibility of repositories that release-mirror creates."
    )
    existing: Literal["complete", "adopt", "skip"] = Field(
        default="complete",
        description="A published release of the same tag that this mirror did not create:"
        ' `"complete"` it (add what is missing, leave its text and assets alone), `"adopt"` it'
        ' (also update its text and flags), or `"skip"` it.',
    )
    on_change: Literal["follow", "keep"] = Field(
        default="follow",
        description="If an asset changes under the same release and name at the source:"
        ' `"follow"` (replace it, with a warning) or `"keep"` the first copy (with a warning in'
        " every report).",
    )
    on_delete: Literal["keep", "delete"] = Field(
        default="keep",
        description='Whether to `"keep"` or `"delete"` what was deleted at the source.',
    )
    on_deselect: Literal["keep", "delete"] = Field(
        default="keep",
        description='Whether to `"keep"` or `"delete"` what still exists at the source but is no'
        " longer selected.",
    )
    max_deletes: CountOrZero = Field(
        default=10,
        description="Maximum releases and assets that a mirror may delete in one pass. If a plan"
        " exceeds it, the mirror deletes nothing and fails.",
    )
    body: Body = Body.built_in()
    interval: PositiveDuration | None = Field(
        default=None,
        description="Time between passes of this mirror in the daemon, instead of"
        " `daemon.interval`.",
    )


_NOT_FINGERPRINTED = {"exclude", "enabled", "forks", "archived", "interval"}


class Mirror(MirrorSettings):
    """One configured pair."""

    source: SourceName = Field(
        description="Repository to mirror, as `OWNER/REPO`. Wildcards (`*`, `?`, `[…]`) in `REPO`"
        " make it a pattern that selects every match."
    )
    from_: str | None = Field(
        default=None,
        alias="from",
        description="Name of the source: `NAME` in `[sources.NAME]`. Optional if there is only"
        " one source.",
    )
    target: TargetName = Field(
        default="{owner}/{repo}",
        description="Repository at the target. `{owner}` and `{repo}` are replaced by those of"
        " the source.",
    )


@dataclass(frozen=True, slots=True)
class ConfiguredMirror:
    """A valid :class:`Mirror` with `[defaults]` merged in.

    Thousands of mirrors share few settings, so each distinct table of them is kept once.

    Attributes:
        source: ``OWNER/REPO``, or a pattern.
        from_name: The name of its source.
        target: ``OWNER/REPO``, with placeholders.
        settings: All other keys.
    """

    source: str
    from_name: str
    target: str
    settings: MirrorSettings

    @property
    def owner(self) -> str:
        """The owner of the source repository."""
        return self.source.partition("/")[0]

    @property
    def repository(self) -> str:
        """The name of the source repository, or a pattern."""
        return self.source.partition("/")[2]

    @property
    def is_pattern(self) -> bool:
        """Whether the source contains a wildcard."""
        return repository_names.is_pattern(self.source)

    def target_of(self, owner: str, name: str) -> str:
        """The target of a source repository, as ``OWNER/REPO``."""
        return repository_names.fill(self.target, owner, name)


_SHARED = tuple(MirrorSettings.model_fields)
_values: Callable[[MirrorSettings], tuple[object, ...]] = attrgetter(*_SHARED)


def configured(
    mirror: Mirror, known: dict[tuple[object, ...], MirrorSettings], sources: Sequence[str]
) -> ConfiguredMirror:
    """A mirror, sharing its settings with those that have the same.

    Args:
        mirror: The merged table.
        known: The settings so far, by their values.
        sources: The names of all sources; if there is only one, it is the default.
    """
    values = _values(mirror)
    settings = known.get(values)
    if settings is None:
        named: dict[str, Any] = dict(zip(_SHARED, values, strict=True))
        settings = MirrorSettings.model_construct(**named)
        known[values] = settings
    from_name = mirror.from_ or (sources[0] if len(sources) == 1 else "")
    return ConfiguredMirror(mirror.source, from_name, mirror.target, settings)


def fingerprint(settings: MirrorSettings) -> str:
    """Digest the settings that decide what the target holds.

    Two mirrors with one fingerprint want the same of the same repository: when and whether they run,
    and how their repositories were found, has no part in it; nor have the order of patterns and the
    pair itself.
    """
    named = {name: _canonical(getattr(settings, name)) for name in _DECIDING}
    document = json.dumps(named, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()[:16]


_DECIDING = tuple(name for name in MirrorSettings.model_fields if name not in _NOT_FINGERPRINTED)


def _canonical(value: Any) -> Any:
    """A setting as JSON, the same for equal settings."""
    if isinstance(value, Settings):
        return {name: _canonical(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return sorted(set(value))
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    return value.isoformat() if isinstance(value, date) else value


class Sync(Settings):
    """Concurrency, retries and transfers."""

    repositories: Few = Field(default=8, description="Maximum repositories processed concurrently.")
    transfers: Few = Field(
        default=8, description="Maximum concurrent transfers over all repositories."
    )
    transfers_per_release: Few = Field(
        default=4,
        description="Maximum concurrent transfers into one release. Higher values make servers"
        " fail.",
    )
    attempts: Few = Field(default=6, description="Maximum attempts per operation per pass.")
    bandwidth: Bandwidth = Field(
        default=0,
        description='Bandwidth limit of all transfers together; `"0"` is unlimited. Spooled bytes'
        " count twice, on download and on upload.",
        json_schema_extra={"default": "0"},
    )
    transfer: Literal["stream", "spool"] = Field(
        default="stream",
        description='`"stream"`: from source to target through bounded memory. `"spool"`: to'
        " disk, verify the digest, then upload.",
    )
    spool_directory: FilePath | None = Field(
        default=None,
        description='Directory for assets in flight: all with `transfer = "spool"`, otherwise'
        " only source archives. Default: `spool` in the ledger directory.",
    )
    audit_interval: Duration = Field(
        default=timedelta(hours=24),
        description="Interval at which both sides are compared even if the source seems unchanged;"
        " also the longest delay of an item that keeps failing.",
    )


def state_directory(environ: Mapping[str, str]) -> Path:
    """The default ledger directory."""
    # systemd separates several directories by colons; the first belongs to the unit's first name.
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    home = environ.get("XDG_STATE_HOME", "")
    if not Path(home).is_absolute():  # the XDG specification: a relative one is to be ignored
        home = os.path.join(environ.get("HOME", "") or "/", ".local", "state")  # noqa: PTH118
    return Path(home, "release-mirror")


class Ledger(Settings):
    """Location of the ledger: a directory, or a PostgreSQL database."""

    directory: FilePath = Field(
        default_factory=lambda: state_directory(os.environ),
        description="Directory of the ledger. Default: `$STATE_DIRECTORY`, else"
        " `$XDG_STATE_HOME/release-mirror`, else `~/.local/state/release-mirror`.",
    )
    url: Secret | None = Field(
        default=None,
        description="Database that several machines share, instead of `directory`: a secret"
        " reference to a PostgreSQL URL; requires `release-mirror[postgres]`.",
    )


class Daemon(Settings):
    """Schedule and HTTP endpoints of the daemon."""

    interval: PositiveDuration = Field(
        default=timedelta(minutes=15), description="Time from one pass to the next."
    )
    schedule: Cron | None = Field(
        default=None,
        description="Cron expression with five fields, in local time, used instead of `interval`.",
    )
    jitter: Duration = Field(
        default=timedelta(seconds=30),
        description="Maximum random delay of a pass; never more than half of the interval.",
    )
    listen: Listen = Field(
        default=Address("127.0.0.1", 8321),
        description='Address and port of the status page, metrics and webhooks; `""` disables'
        " them.",
    )
    hosts: HostNames = Field(
        default=(),
        description="Additional host names, without a port, under which the service is reached,"
        " such as a proxy's or this machine's DNS name. The listening address and loopback"
        " names are always accepted. Requests with any other `Host` header get 421.",
    )
    webhook_secret: Secret | None = Field(
        default=None,
        description="Secret that GitHub signs webhooks with. Without it, webhooks are disabled.",
    )
    drain_timeout: Duration = Field(
        default=timedelta(seconds=60),
        description="Time that transfers in flight get to finish when the program is asked to"
        " stop.",
    )


class Notify(Settings):
    """Notifications and heartbeat."""

    urls: SecretList = Field(
        default=(),
        description="Apprise URLs, each a secret reference; requires `release-mirror[notify]`.",
    )
    heartbeat_url: Secret | None = Field(
        default=None, description="URL to request after each successful pass, a secret reference."
    )


class Log(Settings):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level to log."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto",
        description='`"auto"`: `"json"` under systemd\'s journal, otherwise `"console"`.',
    )


class File(Settings):
    """The configuration file of release-mirror."""

    target: Host = Field(description="The host that releases are written to.")
    sources: dict[str, Host] = Field(
        default={},
        description="The hosts that releases are read from, each under a name of your choice.",
        json_schema_extra={"propertyNames": {"pattern": repository_names.SOURCE_NAME_PATTERN}},
    )
    defaults: MirrorSettings = Field(
        default=MirrorSettings.built_in(),
        description="Defaults for all mirrors: any key of a mirror except `source`, `from` and"
        " `target`.",
    )
    mirrors: Annotated[tuple[Mirror, ...], Strict(strict=False)] = Field(
        default=(), description="The mirrors: pairs of a source and a target repository."
    )
    sync: Sync = Sync.built_in()
    ledger: Ledger = Field(default_factory=Ledger)
    daemon: Daemon = Daemon.built_in()
    notify: Notify = Notify.built_in()
    log: Log = Log.built_in()


class SecretUse(NamedTuple):
    """A key of the configuration that refers to a secret."""

    path: tuple[str | int, ...]
    key: str
    line: int | None
    ref: SecretRef
    multiline: bool


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration: validated, with defaults merged and values parsed.

    Attributes:
        file: The file it was read from.
        target: The host that releases are written to.
        sources: The hosts that releases are read from, by name.
        mirrors: The mirrors in the order of the file, with `[defaults]` merged in.
    """

    file: Path
    target: Host
    sources: dict[str, Host]
    mirrors: tuple[ConfiguredMirror, ...]
    sync: Sync
    ledger: Ledger
    daemon: Daemon
    notify: Notify
    log: Log
    lines: Lines = field(repr=False, compare=False)

    @property
    def hosts(self) -> dict[str, Host]:
        """Every host by its name in reports; the target's is ``target``."""
        return {"target": self.target, **self.sources}

    def secrets(self) -> Iterator[SecretUse]:
        """Every reference to a secret, in the order of the reference page."""
        return secret_uses(self.hosts, self.ledger, self.daemon, self.notify, self.lines)


def secret_uses(
    hosts: Mapping[str, Host], ledger: Ledger, daemon: Daemon, notify: Notify, lines: Lines
) -> Iterator[SecretUse]:
    """Every reference to a secret in these tables, in the order of the reference page."""

    def use(path: Path_, ref: SecretRef | None, *, multiline: bool = False) -> Iterator[SecretUse]:
        if ref is not None:
            yield SecretUse(path, label(path), lines.find(path), ref, multiline)

    for name, host in hosts.items():
        path = host_path(name)
        yield from use((*path, "token"), host.token)
        yield from use((*path, "sign_with"), host.sign_with, multiline=True)
        if host.app is not None:
            yield from use((*path, "app", "private_key"), host.app.private_key, multiline=True)
    yield from use(("ledger", "url"), ledger.url)
    yield from use(("daemon", "webhook_secret"), daemon.webhook_secret)
    for index, ref in enumerate(notify.urls):
        yield from use(("notify", "urls", index), ref)
    yield from use(("notify", "heartbeat_url"), notify.heartbeat_url)


def host_path(name: str) -> Path_:
    """The path of a host's table: ``target``, or ``sources`` and its name."""
    return (name,) if name == "target" else ("sources", name)

"""What a failure is called, and what to do about it: a sentence, and a command for each kind."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mirror.errors import FailureKind, Hint

_RETRIED = "nothing to do: it is retried automatically; if it stays, run release-mirror check"
_EXCLUDE = "exclude it with assets.exclude"

AT_ONCE = "release-mirror trigger (without a daemon: release-mirror sync --full)"
"""What tries everything again that is delayed; ``sync`` cannot run beside a daemon."""

_BY_KIND: dict[FailureKind, str] = {
    "credential": "renew the token of this host, or check that it is complete",
    "permission": "grant the token the missing permission (see release-mirror check)",
    "not-found": "check the spelling, and that the token can read it (see release-mirror check)",
    "rate-limit": "nothing to do: it is tried again once the host accepts requests",
    "unavailable": _RETRIED,
    "invalid-answer": _RETRIED,
    "corrupt": (
        "nothing to do: it is retried automatically; if it stays, the file is damaged at its source"
    ),
    "rejected": f"correct what the host names, or exclude it by a filter; to try at once: {AT_ONCE}",
    "too-large": (
        "exclude it with assets.exclude or assets.max_size, or raise the limit of the server"
    ),
    "text-too-long": "shorten the release's text at the source, or exclude the release",
    "empty": _EXCLUDE,
    "too-many-assets": f"{_EXCLUDE}, or exclude others",
    "name-taken": "rename or delete the other one at the target, or exclude this one",
    "tag-missing": "push the tag to the target",
    "not-ready": "nothing to do: it is tried again once the source has finished",
    "identity": (
        "mirror it to another target, or move the former one's document out of the ledger"
    ),
    "max-deletes": "raise max_deletes if that is intended",
    "immutable": (
        "exclude what cannot be added; do not delete the release: its tag could never be used again"
    ),
    "archived": "unarchive the repository, or disable this mirror",
    "git": f"do what git or the server's hook says, or exclude it; to try at once: {AT_ONCE}",
    "disk": "free disk space, and check the permissions of the directory",
    "policy": "change the setting that is named, or exclude it",
    "internal": "run again with --log-level debug, and report what it shows",
}

_BY_HINT: dict[Hint, str] = {
    "absent-bytes": "unpack the volume that has it, or bring the bundle's newest volumes",
    "allow-actions": "disable GitHub Actions there, or set allow_actions = true",
    "allow-create-repository": "create it, or set create_repository = true",
    "allowed-signers": "check who signs the bundle, and that allowed_signers lists that key",
    "api-address": "check the address of the API, and that no login page or proxy intercepts it",
    "app-installation": (
        "install the App in that account, or set app.installation_id (any installation may read"
        " what is public)"
    ),
    "app-key": "check that app.id is the App's and that app.private_key is a key of that App",
    "app-settings": "check app.installation_id and the App's settings",
    "app-suspended": "unsuspend the installation in the settings of that account",
    "bundle-key": "check that sign_with is a key that ssh-keygen can use without a passphrase",
    "bundle-name": "a bundle names repositories by the target of the mirror that writes it"
    " (release-mirror bundle show DIR)",
    "bundle-path": "check the path, and that the bundle was unpacked there",
    "burned-tag": "exclude the release, or publish it under another tag at the source",
    "create-owner": (
        "create the organization, or give the token permission to create repositories in it"
    ),
    "damaged-bytes": (
        "unpack the volume that has it again, or pack again where the bundle is written"
        " (release-mirror bundle verify DIR names all that is damaged)"
    ),
    "lost-bytes": "bring it from its source again: release-mirror verify --full --repair",
    "authorize-sso": "authorize the token for single sign-on of the organization",
    "delete-tag": "delete the tag at the target, or exclude the release",
    "dns": "check the address and DNS",
    "exclude-release": "exclude the release",
    "find-repository": (
        "check the spelling, and that the token can read it (see release-mirror check)"
    ),
    "grant-write": (
        "grant the token write access to the repository (a classic token needs the scope repo, and"
        " workflow for tags that change workflows)"
    ),
    "install-git": 'install git, or set tags = "create" or tags = "require"',
    "install-ssh-keygen": "install ssh-keygen (Debian: openssh-client)",
    "keep-changes": 'set on_change = "keep" to accept the copy as it is, or exclude the asset',
    "move-tag": "move the tag at the target, or mirror the repository first",
    "newer-settings": (
        "bring this machine's configuration up to date, reload its daemon, and run the command again"
    ),
    "no-history": 'set tags = "create" or "require" where the bundle is read',
    "no-archives": "set source_archives = false, or raise assets.max_size",
    "own-target": "give each mirror a target of its own",
    "proxy-address": "check proxy, HTTPS_PROXY and NO_PROXY",
    "proxy-allow": "check that the proxy allows this host",
    "proxy-login": "set HTTPS_PROXY with a user and a password",
    "push-refused": "change the rule or hook at the target, or exclude the release",
    "push-tag": "push the tag to the target",
    "reachability": "check the address, the proxy and the firewall",
    "sign-bundle": "set sign_with where the bundle is written",
    "signature-mismatch": "bring the bundle again, with its signatures; if it is refused again, check sign_with and who changed index.json",
    "storage-host": "check that firewall and proxy let that storage host through",
    "tls": "check that the address is https, and that no proxy intercepts TLS",
    "trust-ca": "if an authority of your own signed it, set ca_file to its certificate",
    "upload-origin": "set upload_origin if that address belongs to the host",
}


def advice(kind: FailureKind, hint: Hint | None = None) -> str:
    """One sentence without a full stop: what to do about a failure."""
    return _BY_HINT[hint] if hint else _BY_KIND[kind]


_CAUSES: dict[FailureKind, str] = {
    "credential": "Token rejected",
    "permission": "Permission missing",
    "not-found": "Not found",
    "rate-limit": "Rate limit reached",
    "unavailable": "Host unavailable",
    "invalid-answer": "Unexpected response",
    "corrupt": "Corrupt download",
    "rejected": "Request rejected",
    "too-large": "Too large",
    "text-too-long": "Release text too long",
    "empty": "Empty asset",
    "too-many-assets": "Too many assets",
    "name-taken": "Name taken",
    "tag-missing": "Tag missing",
    "not-ready": "Source not ready",
    "identity": "Another repository",
    "max-deletes": "Too many deletions",
    "immutable": "Immutable release",
    "archived": "Repository archived",
    "git": "git failed",
    "disk": "Disk error",
    "policy": "Prevented by a setting",
    "internal": "Internal error",
}


def cause(kind: FailureKind) -> str:
    """A heading of two or three words for a failure of this kind."""
    return _CAUSES[kind]


_COMMANDS: dict[Literal["check", "plan", "retry", "verify", "debug"], str] = {
    "check": "check",
    "plan": "plan {mirror}",
    "retry": "sync --full {mirror}",
    "verify": "verify {mirror}",
    "debug": "plan --full --log-level debug {mirror}",
}

_BESIDE_A_DAEMON = {"retry": "trigger {mirror}"}

_COMMAND_OF: dict[FailureKind, Literal["check", "plan", "retry", "verify", "debug"]] = {
    "credential": "check",
    "permission": "check",
    "not-found": "check",
    "rate-limit": "check",
    "unavailable": "check",
    "invalid-answer": "check",
    "corrupt": "verify",
    "rejected": "retry",
    "too-large": "plan",
    "text-too-long": "retry",
    "empty": "plan",
    "too-many-assets": "plan",
    "name-taken": "retry",
    "tag-missing": "retry",
    "not-ready": "retry",
    "identity": "plan",
    "max-deletes": "plan",
    "immutable": "plan",
    "archived": "retry",
    "git": "retry",
    "disk": "check",
    "policy": "plan",
    "internal": "debug",
}
"""The command that shows more of a failure, what a changed setting will do, or that tries it again
once it was mended."""


def command(kind: FailureKind, mirror: str, *, daemon: bool) -> str:
    """The command to run for a failure of this kind, for a POSIX shell.

    Args:
        kind: Of the failure.
        mirror: The mirror's source (``NAME:OWNER/REPO``).
        daemon: Whether a daemon runs: ``sync`` cannot run beside it.
    """
    verb = _COMMAND_OF[kind]
    arguments = (daemon and _BESIDE_A_DAEMON.get(verb)) or _COMMANDS[verb]
    return f"release-mirror {arguments.format(mirror=shlex.quote(mirror))}"

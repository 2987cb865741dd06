"""What git says when something fails, as a sentence that tells what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mirror.errors import (
    AuthError,
    ConnectionLost,
    GitError,
    NotFound,
    ServerError,
    Stalled,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.errors import MirrorError
    from mirror.git.program import Finished, Place

_LONGEST = 500
_NOISE = re.compile(r"^(?:To |Done$|\s|hint:|.*\b\d{1,3}% \(|.*, done\.$|remote:\s*$)")
_PROGRESS = re.compile(r"remote:\s*(?:$|.*\b\d{1,3}% \(\d+/\d+\)|.*, done\.\s*$)")
_SECRET = re.compile(r"(https?://)[^\s/@\"'<>]*@")
_TOKEN = re.compile(
    r"\b(?:gh[opsur]_|github_pat_)\w{8,}|(?<=\bbearer )\S{8,}|(?<=\bbasic )\S{8,}", re.IGNORECASE
)
_UPDATE = re.compile(r"\[(?:remote )?rejected\] \((?P<reason>.*)\)$")


_WORKFLOW = (
    "the token may not push workflow files: give it the scope `workflow` (classic), or the"
    " permission Workflows: write"
)


def plain(text: str) -> str:
    """A text for people: one line, bounded, no control characters, no secrets."""
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * _LONGEST])
    text = _SECRET.sub(r"\1", " ".join(text.split()))
    return _TOKEN.sub("[hidden]", text)[:_LONGEST]


def reason_of(errors: str) -> str:
    """The lines that matter of what git wrote to its standard error."""
    lines = [line for line in re.split(r"[\r\n]+", errors) if not _NOISE.match(line)]
    telling = [line for line in lines if re.match(r"(?:fatal|error|remote):", line)] or lines
    return plain("; ".join(dict.fromkeys(line.strip() for line in telling)))


def explain(finished: Finished, place: Place, verb: str, quiet: float) -> MirrorError:
    """The error that a command's end means.

    Args:
        finished: A command that failed.
        place: What it was to reach.
        verb: What it was to do there: ``read``, ``push to``.
        quiet: How long nothing had come from it, where that ended it.
    """
    name = place.remote.name
    who = f"{name}: git cannot {verb} {plain(place.url)}"
    if finished.stalled:
        return Stalled(f"{who}: nothing moved for {quiet:g} s")
    errors = finished.errors
    reason = reason_of(errors)
    for pattern, make in _KINDS:
        if pattern.search(errors):
            return make(f"{who}: ", reason, name)
    if finished.status < 0:
        return GitError(f"{who}: git was killed by signal {-finished.status}")
    return GitError(f"{who}: {reason or f'git ended with status {finished.status}'}")


def _auth(who: str, reason: str, name: str) -> MirrorError:
    text = f"{who}the token was refused, or there is none ({reason})"
    return AuthError(text, host=name, status=401)


def _forbidden(who: str, reason: str, name: str) -> MirrorError:
    text = f"{who}the token may not do that; it needs to write contents there ({reason})"
    return AuthError(text, host=name, status=403)


def _workflow(who: str, reason: str, name: str) -> MirrorError:
    return AuthError(f"{who}{_WORKFLOW} ({reason})", host=name, status=403)


def _gone(who: str, reason: str, name: str) -> MirrorError:
    text = f"{who}it does not exist, or the token may not see it ({reason})"
    return NotFound(text, host=name, status=404)


def _moved(who: str, reason: str, name: str) -> MirrorError:
    error = GitError(f"{who}{name} redirects elsewhere, and credentials go nowhere else ({reason})")
    error.retryable = True  # what redirects may be in between, and gone in a moment
    return error


def _untrusted(who: str, reason: str, name: str) -> MirrorError:
    text = f"{who}its certificate is not trusted: {reason}"
    return Unreachable(text, host=name, permanent=True, hint="trust-ca")


def _unreachable(who: str, reason: str, name: str) -> MirrorError:
    return Unreachable(f"{who}it cannot be reached: {reason}", host=name, hint="reachability")


def _busy(who: str, reason: str, name: str) -> MirrorError:
    return ServerError(f"{who}the host failed: {reason}", host=name)


def _broken(who: str, reason: str, name: str) -> MirrorError:
    return ConnectionLost(f"{who}the connection broke: {reason}", host=name)


def _damaged(who: str, reason: str, _name: str) -> MirrorError:
    return GitError(f"{who}{reason}")


def _full(who: str, _reason: str, _name: str) -> MirrorError:
    text = f"{who}no space is left in the [ledger] directory, where its copy is kept"
    return GitError(text, kind="disk")


_KINDS: tuple[tuple[re.Pattern[str], Callable[[str, str, str], MirrorError]], ...] = (
    (re.compile(r"No space left on device"), _full),
    (
        re.compile(
            r"pack-objects died|bad object|is corrupt|did not send all necessary objects"
            r"|not a git repository|unable to read|inflate: "
        ),
        _damaged,
    ),
    (re.compile(r"refusing to allow .* workflow"), _workflow),
    (
        re.compile(
            r"Authentication failed|could not read (?:Username|Password)|returned error: 401"
        ),
        _auth,
    ),
    (re.compile(r"returned error: 403|Permission to .* denied"), _forbidden),
    (re.compile(r"returned error: 404|[Rr]epository .*not found"), _gone),
    (re.compile(r"returned error: 30\d|unable to update url base from redirection"), _moved),
    (
        re.compile(
            r"SSL certificate problem|certificate verif|self.signed certificate"
            r"|server certificate verification failed|no alternative certificate subject"
        ),
        _untrusted,
    ),
    (
        re.compile(
            r"Could not resolve|Failed to connect|Couldn't connect|Connection refused"
            r"|No route to host|Network is unreachable|Connection timed out|CONNECT tunnel failed"
            r"|Proxy CONNECT aborted|from proxy after CONNECT"
        ),
        _unreachable,
    ),
    (re.compile(r"returned error: (?:5\d\d|429)"), _busy),
    (
        re.compile(
            r"early EOF|hung up unexpectedly|RPC failed|Connection reset|Operation too slow"
            r"|unexpected disconnect|Empty reply from server|transfer closed with outstanding"
            r"|gnutls_handshake|SSL_read|SSL_ERROR|unable to access"
            r"|expected flush|length header|protocol error|bad line length|bad pack header|invalid index-pack output"
            r"|expected '[^']*', (?:got|received)|not valid: is this a git repository"
        ),
        _broken,
    ),
)
"""The first that matches says what kind of failure it is; texts of git 2.29 to 2.51 and libcurl."""


def refused(line: str, tag: str, errors: str) -> str:
    """Why one tag was not taken, from its line of ``git push --porcelain``."""
    found = _UPDATE.search(line)
    reason = plain(found["reason"] if found else line)
    if "workflow" in reason and "refusing" in reason:
        return f"the tag {tag} was refused: {_WORKFLOW} ({reason})"
    said = printed_by_server(errors)
    return f"the tag {tag} was refused: {reason}" + (f" ({said})" if said else "")


def printed_by_server(errors: str) -> str:
    """What the server and its hooks printed during a push, without git's progress, as one line.

    Source: https://git-scm.com/docs/git-receive-pack ("pre-receive hook", "update hook": standard
    error is forwarded to the client, which shows each line after ``remote:``)
    """
    lines = re.split(r"[\r\n]+", errors)
    said = [
        line.removeprefix("remote:").strip()
        for line in lines
        if line.startswith("remote:") and not _PROGRESS.match(line)
    ]
    return plain(" ".join(dict.fromkeys(said)))

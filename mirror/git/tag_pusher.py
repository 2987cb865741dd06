"""Tags with their true history, by the ``git`` program: fetched from a source, pushed to a target.

A bare copy of each source repository is kept, so that the next tag costs only what is new. It holds
the history of the wanted tags and nothing else: no branch, no submodule, no file of Git LFS.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import random
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from mirror.core.retry import retrying
from mirror.errors import ConnectionLost, GitError, MirrorError, Unmirrorable, Waiting
from mirror.git.errors import explain, refused
from mirror.git.program import Finished, GitProgram, GitRemote, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from mirror.core.clock import Clock
    from mirror.core.retry import RetryPolicy

__all__ = ["GitRemote", "Place", "TagPusher", "valid_name"]

TAGS_OF_A_PUSH = 500
"""Tags of one command: names are long, and command lines are not endless."""

ATTEMPTS = 3
"""Attempts of one command at most: an interrupted command starts from the beginning again."""

ALONE = 20
"""Refused tags of one push that are pushed again one by one: one may have kept the others out."""

_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.$|\.lock(?:/|$)|(?:^|/)\.")
_LONGEST_NAME = 1000
_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class _Tag(NamedTuple):
    """A tag at a host: what it points to, and what is behind that if it is annotated."""

    object: str
    peeled: str


def valid_name(name: str) -> bool:
    """Whether git takes this as the name of a branch or a tag.

    Source: https://git-scm.com/docs/git-check-ref-format
    """
    if not name or name == "@" or len(name) > _LONGEST_NAME or _BAD_NAME.search(name):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class TagPusher:
    """Pushes tags of sources to targets.

    Args:
        directory: Where the copies are kept; nobody else may use it meanwhile.
        clock: For the waits between two tries.
        retry: How often git is run for one operation, and after which waits.
        jitter: A random number from 0 to 1.
        shared: Other processes may want the directory: the first one has it, the next one
            ``DIRECTORY-2`` beside it, and so on.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        retry: RetryPolicy,
        jitter: Callable[[], float] = random.random,
        *,
        shared: bool = False,
    ) -> None:
        self._directory = directory.absolute()
        self._shared = shared
        self._clock = clock
        self._retry = replace(retry, attempts=min(ATTEMPTS, retry.attempts))
        self._jitter = jitter
        self._git = GitProgram(directory)
        self._locks: dict[Path, asyncio.Lock] = {}
        self._swept = False

    @property
    def directory(self) -> Path:
        """Where the copies are kept."""
        return self._directory

    @property
    def at_work(self) -> bool:
        """Whether a copy is being brought or pushed."""
        return any(lock.locked() for lock in self._locks.values())

    async def look(self, place: Place) -> int:
        """Ask a repository for its tags; how many there are. Nothing is kept, or is left on the disk.

        History in files is verified as well, by unpacking it.

        Raises:
            GitError: git failed, or there is none.
            GitHubError: The host cannot be reached, or refuses.
            Stalled: Nothing moved any more.
        """
        with _told(self._directory), TemporaryDirectory(prefix="release-mirror-git-") as directory:
            elsewhere = TagPusher(Path(directory), self._clock, self._retry, self._jitter)
            tags = await elsewhere._tags(place, "read")
            if place.remote.packed and tags:
                copy = Path(directory, "copy.git")
                await elsewhere._prepare(copy)
                await elsewhere._fetch(copy, place, tags)
            return len(tags)

    async def push(
        self, source: Place, target: Place, tags: Sequence[str]
    ) -> dict[str, MirrorError]:
        """Give the target these tags of the source; none is ever moved.

        Args:
            source: Where they are.
            target: Where they go; the repository exists.
            tags: Their names.

        Returns:
            Why a tag is not there, for those that are not.

        Raises:
            GitError: Nothing could be done: git failed, or there is none.
            GitHubError: One of the hosts cannot be reached, or refuses.
            Stalled: Nothing moved any more.
        """
        with self._told():
            return await self._bring(source, target, tags)

    async def _bring(
        self, source: Place, target: Place, tags: Sequence[str]
    ) -> dict[str, MirrorError]:
        if not self._swept:  # before anything of this pass is there
            self._git.sweep()
            self._swept = True
        failures: dict[str, MirrorError] = {
            tag: Unmirrorable(
                "git", f"not a valid tag name for git: {tag!r}", hint="exclude-release"
            )
            for tag in tags
            if not valid_name(tag)
        }
        wanted = [tag for tag in dict.fromkeys(tags) if tag not in failures]
        theirs, ours = await self._tags(source, "read"), await self._tags(target, "push to")
        missing: dict[str, _Tag] = {}
        for tag in wanted:
            there, here = theirs.get(tag), ours.get(tag)
            if there is None:
                failures[tag] = Waiting(
                    "tag-missing", f"the source has no tag {tag}", hint="exclude-release"
                )
            elif here is None:
                missing[tag] = there
            elif here.peeled != there.peeled:
                failures[tag] = _conflict(tag, here.peeled, there.peeled)
        if missing:

            async def bring(copy: Path) -> dict[str, MirrorError]:
                await self._fetch(copy, source, missing)
                return await self._send(copy, target, list(missing))

            failures |= await self._with_copy(source, bring)
        return failures

    async def push_branch(self, source: Place, target: Place, branch: str, tag: str) -> None:
        """Give an empty target a branch at the commit of a tag that :meth:`push` brought.

        Raises:
            GitError: git failed.
            GitHubError: The host cannot be reached, or refuses.
        """
        if not (valid_name(branch) and valid_name(tag)):
            raise Unmirrorable("git", f"not a valid branch name for git: {branch!r}")

        there = (await self._tags(source, "read")).get(tag)
        if there is None:
            raise Waiting("tag-missing", f"the source has no tag {tag}", hint="exclude-release")

        async def bring(copy: Path) -> dict[str, MirrorError]:
            await self._fetch(copy, source, {tag: there})
            await self._push(copy, target, [f"refs/tags/{tag}^{{commit}}:refs/heads/{branch}"])
            return {}

        with self._told():
            await self._with_copy(source, bring)

    async def pack(
        self, source: Place, tags: Sequence[str], known: Mapping[str, str], file: Path
    ) -> dict[str, tuple[str, str]]:
        """Write the history of tags that is not packed yet into a git bundle.

        Args:
            source: Where they are.
            tags: Their names.
            known: What was packed before: tags, and what they pointed to; an empty text for one
                whose history was lost, which is packed again if the source still has it.
            file: The git bundle; none is made where all of the history was packed before.

        Returns:
            What each new or moved tag points to, and the commit behind that.

        Raises:
            GitError: git failed, or there is none.
            GitHubError: The source cannot be reached, or refuses.
        """
        with self._told():
            theirs = await self._tags(source, "read")
            wanted = [*tags, *(tag for tag, at in known.items() if not at)]
            there = {tag: theirs[tag] for tag in wanted if tag in theirs and valid_name(tag)}
            fresh = {tag: at for tag, at in there.items() if known.get(tag) != at.object}
            before = {tag: at for tag, at in theirs.items() if known.get(tag) == at.object}

            async def write(copy: Path) -> dict[str, MirrorError]:
                await self._fetch(copy, source, fresh | before)
                refs = [f"refs/tags/{tag}" for tag in fresh]
                excluded = [f"^{at.object}" for at in before.values()]
                new = await self._local(copy, "rev-list", "--objects", "-n", "1", *refs, *excluded)
                if new.out.strip():
                    await self._local(copy, "bundle", "create", "-q", str(file), *refs, *excluded)
                return {}

            if fresh:
                await self._with_copy(source, write)
            return {tag: (at.object, at.peeled) for tag, at in fresh.items()}

    async def _local(self, copy: Path, *arguments: str) -> Finished:
        done = await self._git.local(*arguments, quiet=3600.0, repository=copy)
        if done.status:
            raise GitError(f"git {arguments[0]} failed in {copy}: {done.errors.strip()}")
        return done

    # -- the copy on disk -------------------------------------------------------------------------

    @contextmanager
    def _told(self) -> Iterator[None]:
        with _told(self._directory):
            if self._shared:
                self._claim_directory()
            yield

    def _claim_directory(self) -> None:
        """Take a directory that no other process has, until this one ends."""
        wanted, self._shared = self._directory, False
        wanted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in itertools.count(1):
            name = wanted.name if number == 1 else f"{wanted.name}-{number}"
            lock = os.open(wanted.with_name(f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            self._directory = wanted.with_name(name)
            self._git = GitProgram(self._directory)
            return

    async def _with_copy(
        self, source: Place, use: Callable[[Path], Awaitable[dict[str, MirrorError]]]
    ) -> dict[str, MirrorError]:
        """Use the copy; one that is damaged is made again, once."""
        copy = self._directory / source.remote.name / f"{source.repo.key}.git"
        async with self._locks.setdefault(copy, asyncio.Lock()):
            await self._prepare(copy)
            try:
                return await use(copy)
            except (GitError, ConnectionLost):
                if await self._sound(copy):
                    raise
            await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
            await self._prepare(copy)
            return await use(copy)

    async def _prepare(self, copy: Path) -> None:
        """Make it if there is none, and remove what a killed git left in it."""
        await asyncio.to_thread(self._tidy, copy)
        if not _exists(copy / "HEAD"):
            made = await self._git.local(
                "init", "--bare", "--quiet", "--template=", quiet=60.0, repository=copy
            )
            if made.status:
                raise GitError(f"git cannot make {copy}: {made.errors.strip()}")

    def _tidy(self, copy: Path) -> None:
        for path in reversed([copy, *copy.parents]):
            if path.is_relative_to(self._directory):
                path.mkdir(mode=0o700, exist_ok=True)
        left = [*copy.glob("*.lock"), *copy.glob("refs/**/*.lock")]
        for path in [*left, *copy.glob("objects/pack/tmp_*"), *copy.glob("objects/pack/.tmp-*")]:
            with suppress(OSError):
                path.unlink()

    async def _sound(self, copy: Path) -> bool:
        """Whether everything that the copy's tags need is in it."""
        looked = await self._git.local(
            "fsck",
            "--connectivity-only",
            "--no-dangling",
            "--no-progress",
            quiet=3600.0,
            repository=copy,
        )
        return looked.status == 0

    # -- what git does ----------------------------------------------------------------------------

    async def _tags(self, place: Place, verb: str) -> dict[str, _Tag]:
        """All tags of a repository; also the proof that git can reach it at all."""
        if place.remote.packed:
            history = await place.remote.packed(place.repo)
            return {tag: _Tag(*at) for tag, at in history.tags.items()}
        quiet = place.remote.stall_timeout
        answer = await self._asked(
            place, verb, "ls-remote", "--quiet", "--tags", "--", place.url, quiet=quiet
        )
        found: dict[str, _Tag] = {}
        for line in bytes(answer.out).splitlines():
            sha, _, ref = line.decode(errors="replace").partition("\t")
            name = ref.removeprefix("refs/tags/")
            if name == ref or not _OBJECT.fullmatch(sha):
                continue
            if name.endswith("^{}"):
                name = name.removesuffix("^{}")
                if name in found:
                    found[name] = found[name]._replace(peeled=sha)
            else:
                found[name] = _Tag(sha, sha)
        return found

    async def _fetch(self, copy: Path, source: Place, tags: dict[str, _Tag]) -> None:
        """Bring what the copy lacks."""
        known = await self._git.local(
            "for-each-ref",
            "--format=%(objectname) %(refname:strip=2)",
            "refs/tags",
            quiet=60.0,
            repository=copy,
        )
        if known.status:
            raise GitError(f"git cannot read {copy}: {known.errors.strip()}")
        here = {
            name: sha
            for sha, _, name in (
                line.decode(errors="replace").partition(" ")
                for line in bytes(known.out).splitlines()
            )
        }
        lacking = [tag for tag, there in tags.items() if here.get(tag) != there.object]
        if not lacking:
            return
        if source.remote.packed:
            history = await source.remote.packed(source.repo)
            for file in history.files:
                await self._local(copy, "bundle", "verify", "-q", str(file))
                await self._local(copy, "bundle", "unbundle", str(file))
            for tag in lacking:
                await self._local(copy, "update-ref", f"refs/tags/{tag}", tags[tag].object)
            return
        await self._asked(
            source,
            "read",
            "fetch",
            "--progress",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--stdin",
            "--",
            source.url,
            quiet=2 * source.remote.response_timeout,
            repository=copy,
            given="".join(f"+refs/tags/{tag}:refs/tags/{tag}\n" for tag in lacking).encode(),
        )

    async def _send(self, copy: Path, target: Place, tags: list[str]) -> dict[str, MirrorError]:
        failures: dict[str, MirrorError] = {}
        for batch in _batches(tags):
            lost = await self._push_tags(copy, target, batch)
            if len(batch) > 1:
                for tag in [tag for tag, error in lost.items() if not _settled(error)][:ALONE]:
                    del lost[tag]
                    lost |= await self._push_tags(copy, target, [tag])
            failures |= lost
        return failures

    async def _push_tags(
        self, copy: Path, target: Place, tags: Sequence[str]
    ) -> dict[str, MirrorError]:
        lines, errors = await self._push(
            copy, target, [f"refs/tags/{tag}:refs/tags/{tag}" for tag in tags]
        )
        failures: dict[str, MirrorError] = {}
        for tag in tags:
            flag, line = lines.get(f"refs/tags/{tag}", ("!", "git did not say what became of it"))
            if flag in {"*", "="}:
                continue
            if "already exists" in line:
                failures[tag] = _conflict(tag)
            else:
                text = f"{target.remote.name}: {refused(line, tag, errors)}"
                failures[tag] = GitError(text, hint="push-refused")
        return failures

    async def _push(
        self, copy: Path, target: Place, refspecs: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], str]:
        """Push; what became of each ref, by its name, and what was said besides."""
        answer = await self._asked(
            target,
            "push to",
            "push",
            "--porcelain",
            "--progress",
            "--no-verify",
            "--no-follow-tags",
            "--no-signed",
            "--recurse-submodules=no",
            "--",
            target.url,
            *refspecs,
            quiet=2 * target.remote.response_timeout,
            repository=copy,
            silence=target.remote.response_timeout,  # rules are checked while nothing moves
            good=_has_verdicts,
        )
        return _verdicts(answer), answer.errors

    async def _asked(
        self,
        place: Place,
        verb: str,
        *arguments: str,
        quiet: float,
        repository: Path | None = None,
        silence: float = 0.0,
        given: bytes = b"",
        good: Callable[[Finished], bool] = lambda finished: finished.status == 0,
    ) -> Finished:
        """Run git against a host; transient failures are retried."""

        async def attempt() -> Finished:
            finished = await self._git.reach(
                place, *arguments, quiet=quiet, repository=repository, silence=silence, given=given
            )
            if good(finished) and not finished.stalled:
                return finished
            raise explain(finished, place, verb, quiet)

        return await retrying(
            attempt,
            self._retry,
            self._clock,
            lambda error: error.retryable,
            on_retry=lambda _: place.remote.count_retry(),
            jitter=self._jitter,
        )


@contextmanager
def _told(directory: Path) -> Iterator[None]:
    """Tell what the disk refused as an error of git, whose work it is."""
    try:
        yield
    except OSError as error:
        where = error.filename or directory
        raise GitError(f"git cannot work in {where}: {error.strerror or error}") from error


def _exists(path: Path) -> bool:
    return path.exists()


def _batches(tags: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(tags), TAGS_OF_A_PUSH):
        yield tags[at : at + TAGS_OF_A_PUSH]


def _verdicts(finished: Finished) -> dict[str, tuple[str, str]]:
    """Flag and summary of each ref, from ``git push --porcelain``.

    Source: https://git-scm.com/docs/git-push ("Output")
    """
    lines = (
        line.split("\t", 2) for line in bytes(finished.out).decode(errors="replace").split("\n")
    )
    return {
        parts[1].partition(":")[2]: (parts[0].strip() or " ", parts[2])
        for parts in lines
        if len(parts) == 3
    }


def _has_verdicts(finished: Finished) -> bool:
    """Whether the target was reached and judged each ref, be it by a refusal."""
    return finished.status == 0 or any(
        "[remote failure]" not in line and "[no match]" not in line
        for _, line in _verdicts(finished).values()
    )


def _settled(error: MirrorError) -> bool:
    return isinstance(error, Waiting)


def _conflict(tag: str, here: str = "", there: str = "") -> Waiting:
    places = f" at commit {here} at the target, at {there} at the source" if here else ""
    return Waiting(
        "tag-missing",
        f"the tag {tag} is{places or ' at another commit at the target'}; tags are never moved",
        hint="delete-tag",
    )

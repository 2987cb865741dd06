"""What must be true, told by someone who knows only name -> bytes, as a consumer reads them.

The oracle looks at the two simulated hosts and at the reports, and never at the ledger or at how
the program matches assets. Where it cannot be sure, it keeps silent: what it calls a violation is
one.
"""

from __future__ import annotations

from collections import defaultdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from lives.adapter import TEMPORARY
from lives.simulator import MIRROR, NAMINGS, PEOPLE, Asset, Change, Host, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lives.adapter import PassResult
    from lives.settings import Settings

KINDS = (
    "wrong bytes",
    "false unchanged",
    "missing",
    "others touched",
    "half visible",
    "not converged",
    "crashed",
)
"""The kinds of violations; ``missing`` is an asset that a successful pass left out."""


FIRST_IS_KEPT = "the first copy of an asset of this release is kept"
"""Then a name may hold what it held first, whatever that was."""

NO_TIME = 1.5
"""Seconds in which two requests follow one another."""


class Violation(NamedTuple):
    kind: str
    text: str


class Problem(NamedTuple):
    """How the target differs from what the source and the settings say.

    Attributes:
        what: missing release, missing, bytes, label, text or latest.
        shown: What the target has under the name.
        blocked: Why nobody can mend it: what stands in the way.
    """

    what: str
    tag: str
    name: str = ""
    wanted: Asset | None = None
    shown: Asset | None = None
    blocked: str = ""

    def __str__(self) -> str:
        holds = (
            f", shown is #{self.shown.id} by {self.shown.by} ({_short(self.shown)})"
            if self.shown
            else ""
        )
        wanted = f", wanted {_short(self.wanted)}" if self.wanted else ""
        blocked = f" [{self.blocked}]" if self.blocked else ""
        return f"{self.tag} {self.name}: {self.what}{wanted}{holds}{blocked}"


def _short(asset: Asset) -> str:
    label = f" labelled {asset.label!r}" if asset.label else ""
    return f"{asset.data[:8].decode()}x{len(asset.data) // 8}{label}"


class _Theirs(NamedTuple):
    """What others have at the target, as it was."""

    assets: dict[int, tuple[int, str, str, bytes, float]]
    releases: dict[int, tuple[str, str, str, bool, bool]]


class Oracle:
    """Watches one life.

    Args:
        settings: Those in force.
    """

    def __init__(self, source: Host, target: Host, settings: Callable[[], Settings]) -> None:
        self.violations: list[Violation] = []
        self.forgotten: set[int] = set()
        self.forgotten_releases: set[int] = set()
        self.forgotten_names: set[int] = set()
        self.forgetful = False
        self._source = source
        self._target = target
        self._settings = settings
        self._past: dict[str, dict[str, set[bytes]]] = defaultdict(lambda: defaultdict(set))
        self._originals: dict[int, tuple[str, set[str], bytes]] = {}
        self._theirs = _Theirs({}, {})
        self._touched: set[str] = set()
        self._touched_in_pass: set[str] = set()
        self._touched_ever: set[str] = set()
        self._meddled: set[int] = set()
        self._temporaries: set[int] = set()
        self._taken_over: set[int] = set()
        self._followed: set[int] = set()
        self._given: set[int] = set()
        self._adopted = False
        self._shown: dict[tuple[int, str], bytes] = {}
        source.watchers.append(self._on_source)
        target.watchers.append(self._on_target)

    # -- while it happens -------------------------------------------------------------------------

    def _on_source(self, change: Change) -> None:
        del change
        for release in self._source.releases.values():
            for asset in release.assets.values():
                self._past[release.tag][asset.name].add(asset.data)
                _, names, _ = self._originals.setdefault(asset.id, (release.tag, set(), asset.data))
                names.add(asset.name)

    def _on_target(self, change: Change) -> None:
        if change.by == PEOPLE:
            self._touched.add(change.release.tag)
            self._touched_in_pass.add(change.release.tag)
            self._touched_ever.add(change.release.tag)
            if change.asset:
                self._meddled.add(change.asset.id)
                # Where the ledger does not know it, its temporary name was all that told of us.
                if change.asset.id in self._temporaries and not _temporary(change.asset):
                    self._taken_over.add(change.asset.id)
            self._theirs = self._now_theirs()
        else:
            self._check_theirs(change)
            self._check_place(change)
            self._check_visible(change)
        self._note_shown()

    def _now_theirs(self) -> _Theirs:
        assets, releases = {}, {}
        for release in self._target.releases.values():
            if release.by == PEOPLE:
                releases[release.id] = (
                    release.tag, release.name, release.body, release.draft, release.prerelease,
                )  # fmt: skip
            ours = release.by == MIRROR and release.draft
            for asset in release.assets.values():
                if ours:
                    # What is in a draft of ours is ours: nobody could tell it from what a killed
                    # pass sent.
                    self._given.add(asset.id)
                if asset.by == PEOPLE and asset.id not in self._given:
                    assets[asset.id] = (
                        release.id, asset.name, asset.label, asset.data, asset.created,
                    )  # fmt: skip
        return _Theirs(assets, releases)

    def _check_theirs(self, change: Change) -> None:
        now = self._now_theirs()
        if now == self._theirs:
            return
        for number, before in self._theirs.releases.items():
            after = now.releases.get(number)
            if after == before:
                continue
            may_edit = self._adopted or number in self._followed
            if after and may_edit and not before[3] and not after[3] and after[0] == before[0]:
                continue
            self._say("others touched", f"their release {before[0]} #{number}: {before} -> {after}")
        for number, was in self._theirs.assets.items():
            if number not in now.assets and self._just_attached(change, was):
                continue
            if was[1].startswith(TEMPORARY):
                continue  # it stepped aside in a release that is followed
            if now.assets.get(number) != was and not self._may_be_taken(was):
                told = f"#{number} {was[1]} ({was[3][:8].decode()}) -> {now.assets.get(number)}"
                self._say("others touched", f"their asset {told}")
        self._theirs = now

    def _just_attached(self, change: Change, was: tuple[int, str, str, bytes, float]) -> bool:
        """Whether a file came to a release between the last look at it and its deletion.

        The API knows no conditions for a deletion: between a look and what follows at once nobody
        can help it.
        """
        return change.kind == "delete-release" and self._target.now() - was[4] < NO_TIME

    def _check_place(self, change: Change) -> None:
        """Nothing is put into a draft of others, nor into a release that is skipped."""
        release = change.release
        if release.by != PEOPLE or change.asset is None or change.asset.by == PEOPLE:
            return
        skipped = self._settings().existing == "skip" and not self._adopted
        if release.draft or (skipped and release.id not in self._followed):
            told = f"{change.kind} of {change.asset.name} in their {release.tag} #{release.id}"
            self._say("others touched", told)

    def _may_be_taken(self, was: tuple[int, str, str, bytes, float]) -> bool:
        """Whether an asset of others may be taken for a copy of ours.

        In a release of theirs that is followed or adopted an asset that was the source's, byte by
        byte, is kept equal to it from then on. After a ledger was lost, an asset of the right name
        and size cannot be told from a copy, unless digests tell.
        """
        number, name, label, data, _ = was
        release = self._target.releases.get(number)
        if release is None:
            return False
        past = self._past[release.tag]
        candidates = [
            d for original, ds in past.items() if self._may_be(original, name, label) for d in ds
        ]
        followed = self._adopted or number in self._followed
        if release.by == PEOPLE and followed and data in candidates:
            return True
        if not self.forgetful and not (release.by == PEOPLE and followed):
            return False
        digests = self._source.rules.digests and self._target.rules.digests
        return data in candidates or (not digests and len(data) in map(len, candidates))

    def _may_be(self, original: str, name: str, label: str = "") -> bool:
        return name in self._names(original) or label == original

    def _names(self, name: str) -> tuple[str, str, str]:
        """What the target may call an asset: as it is, as it was uploaded, as it was renamed."""
        rules = self._target.rules
        return name, NAMINGS[rules.naming](name), NAMINGS[rules.renaming](name)

    def _check_visible(self, change: Change) -> None:
        """What consumers may see right after the program changed something."""
        release, asset = change.release, change.asset
        if release.draft or release.id not in self._target.releases:
            return
        if change.kind == "publish":
            self._check_publication(release)
        elif asset and change.kind in {"upload", "asset"} and not _temporary(asset):
            self._check_name(release, asset)

    def _check_name(self, release: Release, asset: Asset) -> None:
        if asset.by == PEOPLE or asset.id in self._meddled or asset.id in self.forgotten:
            return
        if asset.state != "uploaded":
            self._say("half visible", f"{release.tag}: {asset.name} #{asset.id} is broken")
            return
        past = self._past[release.tag]
        right = {d for name, ds in past.items() if self._may_be(name, asset.name) for d in ds}
        if asset.data not in right:
            told = f"{release.tag}: {asset.name} #{asset.id} shows {_short(asset)}"
            self._say("half visible", f"{told}, which never had this name")
            return
        before = self._shown.get((release.id, asset.name))
        if before is None or before == asset.data or self._settings().on_change == "keep":
            return
        source = self._source.published(release.tag)
        wanted = (
            [a.data for a in source.assets.values() if self._may_be(a.name, asset.name)]
            if source
            else []
        )
        if before in wanted and asset.data not in wanted:
            told = f"{release.tag}: {asset.name} #{asset.id} shows {_short(asset)}"
            self._say("half visible", f"{told} after the right bytes")

    def _check_publication(self, release: Release) -> None:
        for asset in release.assets.values():
            if asset.by == MIRROR and asset.id not in self._meddled:
                if _temporary(asset):
                    self._say("half visible", f"{release.tag} is published with {asset.name}")
                else:
                    self._check_name(release, asset)
        if release.tag in self._touched_ever:
            return  # a name that was taken is tried again at an audit
        for problem in self.problems():
            wrong = problem.tag == release.tag and problem.what in {"missing", "bytes"}
            if wrong and not problem.blocked and not self._unknowable(problem):
                self._say("half visible", f"published with {problem}")

    def _note_shown(self) -> None:
        releases = self._target.releases.values()
        self._temporaries = {a.id for r in releases for a in r.assets.values() if _temporary(a)}
        self._shown = {
            (release.id, asset.name): asset.data
            for release in self._target.releases.values()
            for asset in release.assets.values()
            if not release.draft
        }

    # -- what should be there ---------------------------------------------------------------------

    def selected(self) -> list[Release]:
        """The source's releases that the settings select."""
        full = [r for r in self._source.releases.values() if not r.draft]
        # Dates are told in whole seconds; ties are broken by the id.
        full.sort(key=lambda r: (int(r.published or 0), r.id), reverse=True)
        return full[: self._settings().latest]

    def wanted(self, release: Release) -> list[Asset]:
        """The assets of a release that the settings select."""
        settings = self._settings()
        return [
            asset
            for asset in release.assets.values()
            if (
                not settings.asset_include
                or any(fnmatchcase(asset.name, glob) for glob in settings.asset_include)
            )
            and not any(fnmatchcase(asset.name, glob) for glob in settings.asset_exclude)
        ]

    def problems(self) -> Iterator[Problem]:
        """How the target differs now from what should be there."""
        for release in self.selected():
            copy = self._target.published(release.tag)
            if copy is None:
                yield Problem("missing release", release.tag)
            elif self._foreign(copy):
                yield from self._problems_of_theirs(release, copy)
            else:
                yield from self._problems_of(release, copy)
                yield from self._text_problems(release, copy)
        yield from self._latest_problems()

    def awaits_audit(self) -> bool:
        """Whether the target calls another release the latest than the source does.

        A pass may publish an older one after it looked; an audit sees a change of nothing but that.
        """
        return any(problem.what == "latest" for problem in self.problems())

    def _latest_problems(self) -> Iterator[Problem]:
        latest, here = self._source.latest(), self._target.latest()
        if latest is None or latest.id not in {release.id for release in self.selected()}:
            return
        copy = self._target.published(latest.tag)
        if copy and not self._foreign(copy) and (here is None or here.tag != latest.tag):
            yield Problem("latest", latest.tag, here.tag if here else "nothing")

    def _foreign(self, copy: Release) -> bool:
        """Whether a release is others', or can no longer be proven to be ours."""
        return copy.by == PEOPLE or copy.id in self.forgotten_releases

    def _problems_of(self, release: Release, copy: Release) -> Iterator[Problem]:
        for asset in self.wanted(release):
            shown = self._shown_for(copy, asset.name)
            blocked = self._blocked(release, copy, asset)
            told = (release.tag, asset.name, asset, shown, blocked)
            if shown is None:
                yield Problem("missing", *told)
            elif shown.state != "uploaded" or not self._right(release.tag, asset, shown):
                yield Problem("bytes", *told)
            elif shown.by == MIRROR and shown.data == asset.data and not _good_label(asset, shown):
                problem = Problem("label", *told)
                yield from () if self._first_is_kept(release.tag, asset) else (problem,)

    def _first_is_kept(self, tag: str, asset: Asset) -> bool:
        """Whether a name had another asset before, whose copy is left as it is.

        That the new one has the same bytes is not always known.
        """
        return self._settings().on_change == "keep" and any(
            t == tag and number != asset.id and asset.name in names
            for number, (t, names, _) in self._originals.items()
        )

    def _problems_of_theirs(self, release: Release, copy: Release) -> Iterator[Problem]:
        """In others' release what is there is left alone, and what is missing is added."""
        if self._settings().existing == "skip":
            return
        for asset in self.wanted(release):
            shown = self._shown_for(copy, asset.name)
            blocked = self._blocked(release, copy, asset)
            told = (release.tag, asset.name, asset, shown, blocked)
            if shown is None:
                yield Problem("missing", *told)
            elif (
                shown.by == MIRROR
                and shown.data not in self._past[release.tag][asset.name]
                and shown.id not in self.forgotten
                and not blocked
            ):
                yield Problem("bytes", *told)

    def _text_problems(self, release: Release, copy: Release) -> Iterator[Problem]:
        for field in ("name", "body", "prerelease"):
            here, there = getattr(release, field), getattr(copy, field)
            if here != there:
                yield Problem("text", release.tag, f"{field} {there!r} instead of {here!r}")

    def _shown_for(self, copy: Release, name: str) -> Asset | None:
        """What a consumer finds who looks for a name, or else for its label."""
        if exact := copy.named(name):
            return exact
        for other in copy.assets.values():
            if other.label == name and other.by == MIRROR and self._may_be(name, other.name):
                return other
        found = [asset for candidate in self._names(name) if (asset := copy.named(candidate))]
        return min(found, key=lambda asset: asset.by != MIRROR, default=None)

    def _right(self, tag: str, asset: Asset, shown: Asset) -> bool:
        if shown.data == asset.data:
            return True
        if self._settings().on_change != "keep":
            return False
        # The first copy is kept: whatever bytes the name had before.
        alive = {a.id for r in self._source.releases.values() for a in r.assets.values()}
        dead = {d for n, (t, _, d) in self._originals.items() if t == tag and n not in alive}
        return shown.data in self._past[tag][asset.name] | dead

    def _blocked(self, release: Release, copy: Release, asset: Asset) -> str:
        """What stands in the way of an asset: nobody could mend this without people."""
        if self._keeps_first(release, copy):
            return FIRST_IS_KEPT
        few, missing = self._target.rules.limit < 1000, not self._shown_for(copy, asset.name)
        if len(copy.assets) >= self._target.rules.limit or (few and missing):
            return "the release is full, or was when it was tried"
        return self._in_the_way(release, copy, asset, set())

    def _in_the_way(self, release: Release, copy: Release, asset: Asset, asked: set[int]) -> str:
        """Who has the name of an asset and cannot be moved."""
        asked.add(asset.id)
        names = {name.casefold() for name in self._names(asset.name)}
        for original in release.assets.values():
            theirs = {name.casefold() for name in self._names(original.name)}
            if original is not asset and names & theirs:
                return f"{original.name} has the same name at the target"
        for other in copy.assets.values():
            if other.name.casefold() not in names or other.data == asset.data:
                continue
            if other.by == PEOPLE or other.id in self._taken_over:
                return f"others' file #{other.id} has its name"
            # A copy of something that is gone, or not selected any more, and kept.
            if self._kept(release.tag, other, asset):
                return f"the kept copy #{other.id} has its name"
            for original in release.assets.values():
                if original.data == other.data and original.id not in asked:
                    return self._in_the_way(release, copy, original, asked)
        return ""

    def _keeps_first(self, release: Release, copy: Release) -> bool:
        """Whether ``on_change = "keep"`` holds on to other bytes than the source's."""
        if self._settings().on_change != "keep":
            return False
        shown = ((asset, self._shown_for(copy, asset.name)) for asset in release.assets.values())
        return any(found and found.data != asset.data for asset, found in shown)

    def _kept(self, tag: str, other: Asset, asset: Asset) -> bool:
        if other.data == asset.data:
            return False
        return any(
            t == tag and data == other.data and asset.name not in names
            for t, names, data in self._originals.values()
        )

    # -- what may not be known --------------------------------------------------------------------

    def _unknowable(self, problem: Problem) -> bool:
        """Whether the program has no means to know that a name holds other bytes.

        It can always see names and sizes, and ids of assets never get other bytes; so whatever it
        sent itself and recorded is known for good. It cannot know

        - the bytes of an asset in a published release whose record was lost with the ledger, or
          went with a newer state of it than the one that was put back (``forgotten``), where the
          size is the same and no digests of both sides tell them apart. A kill is no such loss:
          what a killed pass sent is in a draft, or has a name that tells what it is.
        - whose a file is that has the right name and size, after such a loss;
        - whether a file of the right size is a copy under a name that this host makes of its name,
          or one of another asset that had that very name, after such a loss or in a release of
          others.

        Anything else is knowable.
        """
        asset, shown = problem.wanted, problem.shown
        if problem.what == "missing" and asset is not None:
            return self._may_be_there(problem.tag, asset)
        if asset is None or shown is None:
            return False
        if problem.what == "label":
            return shown.id in self.forgotten  # it cannot be told to be ours
        digests = self._source.rules.digests and self._target.rules.digests
        if problem.what != "bytes" or len(asset.data) != len(shown.data) or digests:
            return False
        return self.forgetful if shown.by == PEOPLE else shown.id in self.forgotten

    def _may_be_there(self, tag: str, asset: Asset) -> bool:
        copy = self._target.published(tag)
        digests = self._source.rules.digests and self._target.rules.digests
        if copy is None or not (self.forgetful or copy.by == PEOPLE) or digests:
            return False
        guesses = {naming(asset.name) for naming in NAMINGS.values()}
        return any(
            len(other.data) == len(asset.data) and other.name in guesses
            for other in copy.assets.values()
        )

    def forget(self, since: float) -> None:
        """The ledger is as it was at a moment; what was made later in published releases is lost.

        The index is, too: what it calls unchanged is so again when the target was looked at.
        """
        self.forgetful = True
        self._touched |= {release.tag for release in self._source.releases.values()}
        for release in self._target.releases.values():
            if release.by != MIRROR or release.draft:
                continue
            if release.created > since - 3:
                self.forgotten_releases.add(release.id)
            for asset in release.assets.values():
                if asset.by == MIRROR and asset.created > since - 3:
                    self.forgotten.add(asset.id)
                # A copy that was renamed later is known, but perhaps not whose name it has.
                if asset.by == MIRROR and asset.updated > since - 3:
                    self.forgotten_names.add(asset.id)
        for release in self._target.releases.values():  # ours within theirs
            if release.by == PEOPLE:
                self.forgotten |= {a.id for a in release.assets.values() if a.created > since - 3}

    def killed(self, saved: float) -> None:
        """A process died that had saved its ledger at a moment.

        What it both created and published since is without a marker and without a record: nobody
        can tell whose it is. (What it sent into a draft, or under a temporary name, is another
        matter.)
        """
        for release in self._target.releases.values():
            if release.by == MIRROR and not release.draft and release.created > saved:
                self.forgotten_releases.add(release.id)

    # -- after a pass -----------------------------------------------------------------------------

    def before_pass(self) -> None:
        """A pass begins."""
        self._touched_in_pass = set()
        self._note_followed()

    def _note_followed(self) -> None:
        """Others' releases that equal their sources, as far as anybody can see."""
        self._adopted |= self._settings().existing == "adopt"
        for release in self._source.releases.values():
            copy = self._target.published(release.tag)
            if copy and copy.by == PEOPLE and not list(self._text_problems(release, copy)):
                shown = [(a, self._shown_for(copy, a.name)) for a in self.wanted(release)]
                if all(s and len(s.data) == len(a.data) for a, s in shown):
                    self._followed.add(copy.id)

    def after_pass(self, result: PassResult) -> None:
        """Hold a report against what is there."""
        self._note_followed()
        if result.status == "crashed":
            self._say("crashed", str(result.troubles))
        if result.claims_success:
            for problem in self.problems():
                self._check_claim(result, problem)
        if result.looked and result.command == "sync" and result.status != "killed":
            self._touched = set(self._touched_in_pass)

    def _check_claim(self, result: PassResult, problem: Problem) -> None:
        if problem.what not in {"missing release", "missing", "bytes"}:
            return
        untold = self._touched_in_pass if result.looked else self._touched | self._touched_in_pass
        if problem.tag in untold or self._unknowable(problem):
            return
        if problem.blocked == FIRST_IS_KEPT:
            return
        kind = "missing" if problem.what != "bytes" else "wrong bytes"
        if result.status == "unchanged" and not result.looked:
            kind = "false unchanged"
        self._say(kind, f"{result.command} says {result.status!r}: {problem}")

    # -- at the end -------------------------------------------------------------------------------

    def at_end(self, last: PassResult) -> None:
        """All has been quiet for four passes: what is there must be right, or told."""
        if last.done:
            self._say("not converged", f"still acts: {[tuple(t) for t in last.done[:4]]}")
        problems = list(self.problems())
        for problem in problems:
            if self._unknowable(problem):
                continue
            forgotten = self.forgotten | self.forgotten_names
            lost = problem.shown is not None and problem.shown.id in forgotten
            if not (problem.blocked or lost):
                told = f"{problem}; the report is {last.status!r}: {_told(last)}"
                self._say("not converged", told)
            elif not last.names(problem.tag, problem.name):
                self._say("not converged", f"{problem} is not told: {_told(last)}")
        stopped = any("max_deletes" in trouble.text for trouble in last.troubles)
        for text in self._leftovers() if not stopped else ():
            self._say("not converged", f"left: {text}")
        excused = stopped or self.forgetful or self._something_blocked()
        if not last.claims_success and not excused and not problems:
            self._say("not converged", f"says {last.status!r} for no reason: {_told(last)}")

    def _something_blocked(self) -> bool:
        """Whether there is anything that a report has to call a failure."""
        return any(
            self._blocked(release, copy, asset) or self._is_theirs(copy, asset)
            for release in self.selected()
            if (copy := self._target.published(release.tag))
            for asset in self.wanted(release)
        )

    def _is_theirs(self, copy: Release, asset: Asset) -> bool:
        """Whether a file of others has an asset's name: it proves nothing that it is as large."""
        names = {name.casefold() for name in self._names(asset.name)}
        return any(
            other.name.casefold() in names
            for other in copy.assets.values()
            if other.by == PEOPLE or other.id in self._taken_over
        )

    def _leftovers(self) -> Iterator[str]:
        """What nobody needs."""
        selected = {release.tag: release for release in self.selected()}
        for release in self._target.releases.values():
            if release.by != MIRROR:
                continue
            original = selected.get(release.tag)
            if release.draft:
                if self._stray(release):
                    yield f"draft {release.tag} #{release.id}"
            elif original is not None:
                yield from self._leftover_assets(release, original)
            elif self._should_be_gone(release):
                yield f"release {release.tag} #{release.id}, which was to be deleted"

    def _leftover_assets(self, release: Release, original: Release) -> Iterator[str]:
        for asset in release.assets.values():
            if asset.by != MIRROR or (asset.state != "uploaded" and asset.id in self._meddled):
                continue
            if self._foreign(release) and self._settings().existing == "skip":
                continue
            if _temporary(asset) or asset.state != "uploaded":
                yield f"{release.tag}: {asset.name} #{asset.id} ({asset.state})"
            elif not self._foreign(release) and self._needless(release, original, asset):
                yield f"{release.tag}: {asset.name} #{asset.id} ({_short(asset)}), which nobody has"

    def _should_be_gone(self, copy: Release) -> bool:
        """Whether a published copy of ours is to be deleted by the settings."""
        theirs = any(asset.by == PEOPLE for asset in copy.assets.values())
        meddled = any(number in self._meddled for number in copy.assets)
        if theirs or meddled or self.forgetful or copy.tag in self._unpublished():
            return False
        settings = self._settings()
        here = self._source.published(copy.tag) is not None
        return (settings.on_deselect if here else settings.on_delete) == "delete"

    def _unpublished(self) -> set[str]:
        return {r.tag for r in self._source.releases.values() if r.draft}

    def _stray(self, draft: Release) -> bool:
        """Whether a draft of ours is no use: its release is published, or gone from the source."""
        if self._settings().existing == "skip" and self._target.published(draft.tag):
            return False
        full = {r.tag for r in self._source.releases.values() if not r.draft}
        return draft.tag in {r.tag for r in self.selected()} or draft.tag not in full

    def _needless(self, copy: Release, original: Release, asset: Asset) -> bool:
        """Whether a copy is neither of an asset that is wanted nor of one whose copy is kept."""
        settings = self._settings()
        if asset.id in self._meddled or self.forgetful or self._keeps_first(original, copy):
            return False
        if any(self._may_be(a.name, asset.name) for a in self.wanted(original)):
            return False
        same = [a for a in self.wanted(original) if a.data == asset.data]
        if any(self._is_theirs(copy, a) or self._blocked(original, copy, a) for a in same):
            return False  # it waits for its name, as the report says
        # Its name is no wanted asset's. It may be kept as the copy of one that is gone, or that
        # is no longer selected.
        alive = original.assets.keys()
        if settings.on_deselect == "keep" and any(
            self._may_be(a.name, asset.name) or a.data == asset.data
            for a in original.assets.values()
        ):
            return False
        return settings.on_delete == "delete" or not any(
            tag == original.tag and data == asset.data and number not in alive
            for number, (tag, _, data) in self._originals.items()
        )

    def _say(self, kind: str, text: str) -> None:
        self.violations.append(Violation(kind, text))


def _temporary(asset: Asset) -> bool:
    return asset.name.startswith(TEMPORARY)


def _good_label(asset: Asset, shown: Asset) -> bool:
    if asset.label:
        return shown.label == asset.label
    return shown.label in ({"", asset.name} if shown.name == asset.name else {asset.name})


def _told(result: PassResult) -> str:
    troubles = [f"{t.what} {t.release} {t.asset}: {t.text}" for t in result.troubles[:4]]
    return "; ".join([*troubles, *result.warnings[:4]]) or "nothing"

"""Whom to tell what: once when it begins, once when it ends, and safely."""

from __future__ import annotations

import copy
import unicodedata
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import Index, IndexEntry, Told
from mirror.core.reporting.notices import (
    LONGEST_NAME,
    LONGEST_REASON,
    NAMED,
    as_known,
    find_news,
    forget,
    mark,
    without_entry,
)
from mirror.core.reporting.report import (
    Difference,
    RepositoryReport,
    Status,
    Verified,
)

if TYPE_CHECKING:
    from mirror.core.reporting.notices import Notice

SINCE = "2026-11-21T09:00:00Z"


def failed(name: str = "octo/tool", target: str | None = "mirrors/tool", **more: Any) -> Any:
    more.setdefault("failures", (Failure("rejected", "it broke"),))
    return RepositoryReport(f"github:{name}", target, "failed", **more)


def well(name: str = "octo/tool", target: str = "mirrors/tool") -> RepositoryReport:
    return RepositoryReport(f"github:{name}", target, "ok")


def index(*targets: str) -> Index:
    names = targets or ("mirrors/tool",)
    return Index(
        {name: IndexEntry(f"github:octo/{name.partition('/')[2]}", name) for name in names}
    )


def rule(source: str, target: str = "mirrors/{repo}", **more: Any) -> Rule:
    return Rule("github", source, target, Policy(), "", **more)


def tell(known: Index, *reports: RepositoryReport, **more: Any) -> list[Notice]:
    """One pass whose notices arrive."""
    news = find_news(known, reports, **more)
    for item in news:
        mark(known, item)
    return [item.notice for item in news]


def test_the_first_failure_and_the_recovery_are_told_and_no_repeats() -> None:
    """Failing, still failing, well, still well, failing: three notices, of which two are bad."""
    known = index()
    kinds = [
        [notice.kind for notice in tell(known, report)]
        for report in (failed(), failed(), well(), well(), failed())
    ]
    assert kinds == [["failure"], [], ["success"], [], ["failure"]]


def test_what_was_not_sent_is_told_again() -> None:
    """Nothing is remembered by looking; only what was marked is known."""
    known = index()
    before = copy.deepcopy(known)
    assert find_news(known, [failed()]) == find_news(known, [failed()])
    assert known == before


def test_a_notice_names_the_mirror_and_the_reason() -> None:
    """Source, target, what failed and why, in a line; how many more failures there are."""
    failures = (
        Failure("rejected", "0 bytes", "upload-asset", "v1", "empty"),
        Failure("rejected", "no"),
        Failure("rejected", "no"),
    )
    (notice,) = tell(index(), failed(failures=failures), place="ghe.example.com")
    assert notice.title == "release-mirror: 1 mirror failed (ghe.example.com)"
    assert notice.body.splitlines()[0] == (
        "github:octo/tool → mirrors/tool: v1 empty: 0 bytes (and 2 more)"
    )
    assert "ghe.example.com" in notice.body


def test_quarantine_is_trouble() -> None:
    """A mirror in which something is quarantined is not well, whatever else its report says."""
    item = Quarantined("too large", SINCE, "v1", "big")
    (notice,) = tell(index(), failed(failures=(), quarantined=(item,)))
    assert "v1 big: too large (quarantined)" in notice.body


def test_ten_are_named_and_the_rest_is_counted() -> None:
    """A host that is down makes one notice of a page, not thousands of lines."""
    names = [f"mirrors/m{number}" for number in range(25)]
    known = index(*names)
    reports = [failed(f"octo/m{number}", name) for number, name in enumerate(names)]
    (notice,) = tell(known, *reports)
    assert notice.title == "release-mirror: 25 mirrors failed"
    assert notice.body.count(" → ") == NAMED
    assert "\nand 15 more\n" in notice.body
    assert all(entry.told for entry in known.mirrors.values())
    (again,) = tell(known, *(well(f"octo/m{n}", name) for n, name in enumerate(names)))
    assert again.title == "release-mirror: 25 mirrors recovered"
    assert "\nand 15 more\n" in again.body


def test_why_a_host_was_given_up_is_told_before_what_was_not_tried() -> None:
    """The reason is among the ten that are named, however many mirrors were not tried."""
    names = [f"mirrors/m{number}" for number in range(25)]
    stopped = [
        failed(f"octo/m{n}", name, failures=(), stopped="github: 401")
        for n, name in enumerate(names)
    ]
    first = failed(
        "octo/last", "mirrors/last", failures=(Failure("rejected", "the token is refused"),)
    )
    (notice,) = tell(index(), *stopped, first)
    lines = notice.body.splitlines()
    assert "the token is refused" in lines[0]
    assert lines[1].endswith("not tried: github: 401")


def test_bad_and_good_news_are_told_apart() -> None:
    """One notice each, so that each can be sent, coloured and remembered by itself."""
    known = index("mirrors/a", "mirrors/b")
    tell(known, failed("octo/a", "mirrors/a"))
    notices = tell(known, well("octo/a", "mirrors/a"), failed("octo/b", "mirrors/b"))
    assert [notice.kind for notice in notices] == ["failure", "success"]


def test_what_was_interrupted_is_neither_well_nor_in_trouble() -> None:
    """A pass that was stopped tells nothing of what it did not finish."""
    known = index()
    stopped = RepositoryReport("github:octo/tool", "mirrors/tool", "interrupted")
    assert tell(known, stopped) == []
    tell(known, failed())
    assert tell(known, stopped) == []


def test_what_a_pass_was_not_about_is_not_spoken_of() -> None:
    """A pattern on the command line: what it left out stays as people know it."""
    known = index("mirrors/a", "mirrors/b")
    tell(known, failed("octo/a", "mirrors/a"))
    assert tell(known, well("octo/b", "mirrors/b")) == []
    assert known.mirrors["mirrors/a"].told


def test_a_wildcard_that_cannot_be_listed_is_told_and_its_recovery() -> None:
    """It has no entry and no target, and keeps all of its mirrors from being looked at."""
    known = Index()
    lost = failed("octo/*", None)
    listed = ["github:Octo/*"]
    assert [n.kind for n in tell(known, lost, listed=listed)] == ["failure"]
    assert tell(known, lost, listed=listed) == []
    assert tell(known) == [], "a pass that did not list it knows nothing of it"
    (notice,) = tell(known, listed=listed)
    assert (notice.kind, notice.body.splitlines()[0]) == ("success", "github:octo/*")
    assert known.told == ()


def test_a_mirror_without_an_entry_is_remembered_until_it_has_one() -> None:
    """It crashed before it began: told once; and its recovery, when there is an entry."""
    known = Index()
    assert len(tell(known, failed())) == 1
    assert tell(known, failed()) == []
    known.mirrors["mirrors/tool"] = IndexEntry("github:octo/tool", "mirrors/tool")
    assert tell(known, failed()) == []
    assert [n.kind for n in tell(known, well())] == ["success"]
    assert (known.told, known.mirrors["mirrors/tool"].told) == ((), False)


def test_what_a_repair_left_is_remembered_by_itself() -> None:
    """A pass does not see what a comparison of all bytes saw: it does not call it well."""
    known = index()
    found = Verified((Difference("v1", "a.bin", "differing"),), compared=1)
    broken = RepositoryReport("github:octo/tool", "mirrors/tool", "ok", verified=found)
    (notice,) = tell(known, broken, command="verify")
    assert "v1 a.bin: differing" in notice.body
    assert "verify --repair failed" in notice.title
    assert tell(known, well()) == []
    assert tell(known, broken, command="verify") == []
    assert [n.kind for n in tell(known, well(), command="verify")] == ["success"]


def test_what_is_no_longer_configured_is_forgotten_silently() -> None:
    """No recovery is told of a mirror that was removed, disabled or given another target."""
    known = index("mirrors/a", "mirrors/b", "mirrors/c")
    for name in "abc":
        tell(known, failed(f"octo/{name}", f"mirrors/{name}"))
    tell(known, failed("gone/*", None), failed("kept/*", None), failed("octo/x", "mirrors/x"))
    rules = [
        rule("octo/a", "mirrors/a"),
        rule("octo/b", "mirrors/b", enabled=False),
        rule("octo/c", "other/c"),
        rule("kept/*"),
    ]
    assert forget(known, rules)
    assert [name for name, entry in known.mirrors.items() if entry.told] == ["mirrors/a"]
    assert known.told == (Told("sync", "github:kept/*", None),)
    assert not forget(known, rules)


def test_the_service_speaks_of_what_the_index_knows() -> None:
    """Its mirrors have their sessions at any time; of wildcards the reports of a pass tell."""
    known = index("mirrors/a", "mirrors/b", "mirrors/c")
    known.mirrors["mirrors/a"].failure = Failure("unavailable", "down")
    known.mirrors["mirrors/b"].quarantined = (Quarantined("bad", SINCE),)
    known.mirrors["mirrors/c"].told = True
    rules = [rule("octo/a"), rule("octo/b"), rule("octo/c")]
    found = as_known(known, rules)
    assert [(item.source, item.status) for item in found] == [
        ("github:octo/a", "failed"),
        ("github:octo/b", "failed"),
        ("github:octo/c", "ok"),
    ]
    assert as_known(known, rules[1:2]) == found[1:2]
    lost = failed("octo/*", None)
    assert without_entry(known, [failed("octo/a", "mirrors/a"), lost]) == [lost]


TEXT = st.text(max_size=400)


@given(
    failures=st.lists(st.builds(Failure, TEXT, release=TEXT, asset=TEXT), max_size=3),
    quarantined=st.lists(st.builds(Quarantined, TEXT, TEXT, TEXT, TEXT), max_size=3),
    source=TEXT,
    target=st.none() | TEXT,
    warnings=st.lists(TEXT, max_size=1),
    place=TEXT,
)
def test_nothing_hostile_gets_into_a_notice(
    failures: list[Failure],
    quarantined: list[Quarantined],
    source: str,
    target: str | None,
    warnings: list[str],
    place: str,
) -> None:
    """No control characters, no line of others, nothing that calls people in a chat, no page."""
    report = RepositoryReport(
        source,
        target,
        "failed",
        failures=tuple(failures),
        quarantined=tuple(quarantined),
        warnings=tuple(warnings),
    )
    (notice,) = tell(Index(), report, place=place)
    assert len(notice.body.split("\n")) == 3
    assert "\n" not in notice.title
    for character in notice.title + notice.body:
        fine = character in "\n\u200b" or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}
        assert fine, repr(character)
    for call in ("@here", "<!channel", "<@U1"):
        assert call not in notice.body
    first = notice.body.split("\n")[0]
    assert len(first.replace("\u200b", "")) <= 2 * LONGEST_NAME + LONGEST_REASON + 40


def test_nobody_is_called_by_a_name() -> None:
    """An asset named `@everyone`, or an error with `<!channel>` in it, is a text like any other."""
    failures = (Failure("rejected", "<!channel> <@U024> see @everyone, a@b", release="@here"),)
    (notice,) = tell(index(), failed(failures=failures))
    for call in ("@everyone", "<!channel", "<@U", "@here"):
        assert call not in notice.body
    assert "everyone" in notice.body


STATES: st.SearchStrategy[Status | None] = st.sampled_from(["ok", "failed", "interrupted", None])


@given(passes=st.lists(st.tuples(*[STATES] * 3, st.booleans()), max_size=12), empty=st.booleans())
def test_bad_and_good_news_of_a_mirror_alternate(
    passes: list[tuple[Status | None, Status | None, Status | None, bool]], *, empty: bool
) -> None:
    """Never the same twice in a row, whatever happens and whatever arrives.

    What people were told last is true of the last pass whose notices arrived.
    """
    names = ["mirrors/a", "mirrors/b", "mirrors/c"]
    known = Index() if empty else index(*names)
    heard: dict[str, list[str]] = {name: [] for name in names}
    for *states, arrives in passes:
        reports = [
            RepositoryReport(f"github:octo/{name[-1]}", name, state)
            for name, state in zip(names, states, strict=True)
            if state is not None
        ]
        for news in find_news(known, reports):
            if arrives:
                mark(known, news)
                for told in news.about:
                    heard[told.target or ""].append(news.notice.kind)
        for name, state in zip(names, states, strict=True):
            if arrives and state in {"ok", "failed"}:
                last = heard[name][-1] if heard[name] else "success"
                assert last == ("failure" if state == "failed" else "success")
        known = Index.decode(known.encode())
    for kinds in heard.values():
        assert kinds == [("failure", "success")[n % 2] for n in range(len(kinds))]

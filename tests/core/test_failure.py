"""Failures as data: kinds, states, and the sentences that are made of them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import get_args

import pytest

import mirror
from mirror import errors
from mirror.core.failure import Failure, Quarantined
from mirror.core.hints import advice
from mirror.errors import FailureKind, GitHubError, Hint, MirrorError, NotFound, ValidationFailed

PACKAGE = Path(mirror.__file__).parent
CLASSIFIER = PACKAGE / "github" / "protocol" / "errors.py"

TRANSLATORS = {
    "config/load.py": "the TOML parser tells line and column in its text alone",
    "config/values.py": "so does the parser of cron expressions with the field",
    "core/json_types.py": "and msgspec with the path",
}
"""Files that put a library's message into other words; nothing else depends on it."""

TEXTS = {"args", "detail", "error", "message", "sentence"}
"""Attributes that hold the text of an exception or of a failure."""

LOOKS = {
    "count", "endswith", "find", "findall", "finditer", "fullmatch", "index", "match", "partition",
    "removeprefix", "removesuffix", "rfind", "rpartition", "search", "startswith",
}  # fmt: skip


class Reader(ast.NodeVisitor):
    """Finds what looks into the text of an error: a comparison, ``in``, a method, an expression."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self._texts: set[str] = set()
        self._errors: set[str] = set()

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._errors |= {node.name} if node.name else set()
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        before = self._texts, self._errors
        named = [
            argument.arg
            for argument in (*node.args.args, *node.args.kwonlyargs)
            if argument.annotation and _is_error(ast.unparse(argument.annotation))
        ]
        self._texts, self._errors = set(), {*self._errors, *named}
        self.generic_visit(node)
        self._texts, self._errors = before

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the name that `ast` calls

    def visit_Assign(self, node: ast.Assign) -> None:
        if self._is_text(node.value):
            self._texts |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        looks = any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops)
        if looks and any(map(self._is_text, (node.left, *node.comparators))):
            self.found.append(node.lineno)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(attr=name, value=value) if name in LOOKS:
                if any(map(self._is_text, (value, *node.args))):
                    self.found.append(node.lineno)
        self.generic_visit(node)

    def _is_text(self, node: ast.AST) -> bool:
        """Whether an expression holds the text of an error, be it changed a little."""
        match node:
            case ast.Name(id=name):
                found = name in self._texts
            case ast.Attribute(attr=attribute, value=value):
                found = attribute in TEXTS and not _is_self(value)
            case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]):
                found = name in self._errors
            case ast.Call(func=ast.Attribute(attr="join" | "sub"), args=arguments):
                found = any(map(self._is_text, arguments))
            case ast.Call(func=ast.Attribute(value=value)):
                found = self._is_text(value)
            case ast.Subscript(value=value):
                found = self._is_text(value)
            case ast.JoinedStr(values=values):
                names = {ast.unparse(v.value) for v in values if isinstance(v, ast.FormattedValue)}
                found = not names.isdisjoint(self._errors)
            case _:
                found = False
        return found


def _is_error(annotation: str) -> bool:
    return any(
        name in annotation
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, MirrorError)
    ) or annotation.endswith(("Exception", "Error"))


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def looks(code: str) -> list[int]:
    reader = Reader()
    reader.visit(ast.parse(code))
    return reader.found


def test_nothing_decides_by_a_sentence() -> None:
    """Only GitHub's answers are classified by text, in one place; all else has kind and reason."""
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        if path != CLASSIFIER and str(path.relative_to(PACKAGE)) not in TRANSLATORS
        for line in looks(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept E as error:\n  if 'x' in str(error): pass",
        "try: f()\nexcept E as error:\n  if 'x' in str(error).lower(): pass",
        "try: f()\nexcept E as error:\n  text = f'{error}'\n  if text.startswith('x'): pass",
        "try: f()\nexcept E as error:\n  if error.args[0] == 'x': pass",
        "def f(failure: Failure):\n  return failure.error.endswith('x')",
        "def f(error: GitHubError):\n  return re.search('x', str(error))",
        "def f(item):\n  return (item.release, item.detail) == other or item.detail in known",
    ],
)
def test_the_search_finds_such_code(code: str) -> None:
    """What the law above forbids is seen in all of these forms."""
    assert looks(code)


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept E as error:\n  log(str(error))\n  raise X(f'no: {error}')",
        "if result.error is not None: pass",
        "if failure.kind in KINDS and error.status == 404: pass",
    ],
)
def test_the_search_finds_no_other_code(code: str) -> None:
    """Texts may be shown."""
    assert not looks(code)


def test_every_kind_and_hint_has_its_advice() -> None:
    """One sentence each, without a full stop."""
    kinds: tuple[FailureKind, ...] = get_args(FailureKind)
    hints: tuple[Hint, ...] = get_args(Hint)
    texts = [*map(advice, kinds), *(advice("internal", hint) for hint in hints)]
    assert all(text and not text.endswith(".") for text in texts)


NOBODY_ACTS = {"rate-limit", "unavailable", "invalid-answer", "corrupt", "not-ready"}
"""Kinds of failure that pass by themselves; of every other, somebody has to mend something."""

ADVISED: dict[FailureKind, str] = {
    "credential": "token",
    "permission": "grant",
    "not-found": "spelling",
    "rejected": "correct",
    "too-large": "max_size",
    "text-too-long": "shorten",
    "empty": "assets.exclude",
    "too-many-assets": "assets.exclude",
    "name-taken": "rename",
    "tag-missing": "push the tag",
    "identity": "another target",
    "max-deletes": "max_deletes",
    "immutable": "exclude",
    "archived": "unarchive",
    "git": "git",
    "disk": "disk",
    "policy": "setting",
    "internal": "--log-level debug",
}
"""What the advice for each of these is about."""


@pytest.mark.parametrize("hint", [None, *get_args(Hint)])
@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_advice_fits_its_failure(kind: FailureKind, hint: Hint | None) -> None:
    """What somebody must mend is never called nothing to do, however the failure was stored.

    A hint stands for something to mend, whatever the kind; it goes along into quarantine, and is
    part of the text that a report holds.
    """
    failure = Failure(kind, "it failed", hint=hint, final=True)
    stored = Quarantined("it failed", "2026-01-01", kind=kind, hint=hint).failure
    assert failure.advice == stored.advice
    assert failure.advice.startswith("nothing to do") == (hint is None and kind in NOBODY_ACTS)
    if hint:
        assert failure.advice == advice("internal", hint)
        assert failure.error.endswith(failure.advice)
    elif kind not in NOBODY_ACTS:
        assert ADVISED[kind] in failure.advice
    assert "run it again" not in failure.advice


def test_delayed_work_is_tried_at_once_by_either_command() -> None:
    """``sync`` cannot run beside a daemon, and ``trigger`` not without one: both are named."""
    for kind in get_args(FailureKind):
        if "--full" in advice(kind):
            assert "release-mirror trigger" in advice(kind)


@pytest.mark.parametrize("hint", [None, *get_args(Hint)])
@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_what_is_blocked_or_of_unknown_reason_is_never_final(
    kind: FailureKind, hint: Hint | None
) -> None:
    """It is tried again in every pass, also where earlier code stored it as final."""
    blocked = kind in {"credential", "permission", "archived"} or hint in BLOCKING
    failure = Failure(kind, "it failed", hint=hint, final=True)
    assert failure.final == (not blocked and kind != "rejected")
    assert (failure.state == "blocked") == blocked
    assert MirrorError("it failed", kind=kind, hint=hint).blocked == blocked


BLOCKING = {"authorize-sso", "create-owner", "find-repository"}
"""Hints that ask for something to be mended at a server."""


def test_every_exception_has_a_kind_of_the_contract() -> None:
    """Also those of other files: what is raised on purpose can be reported."""
    classes = [MirrorError]
    for one in classes:
        classes += one.__subclasses__()
    assert len(classes) > 20
    assert {one.kind for one in classes} <= set(get_args(FailureKind))


@pytest.mark.parametrize(
    ("failure", "state", "sentence"),
    [
        (Failure("unavailable", "answered 502"), "failed", "answered 502"),
        (Failure("not-ready", "uploading"), "waiting", "waiting: uploading"),
        (Failure("credential", "answered 401"), "blocked", "blocked: answered 401"),
        (Failure("name-taken", "taken", final=True), "quarantined", "taken"),
        (Quarantined("0 bytes", "2026-01-01", kind="empty").failure, "quarantined", "0 bytes"),
    ],
)
def test_the_state_follows_from_kind_and_finality(
    failure: Failure, state: str, sentence: str
) -> None:
    """It is no prefix of a stored text: it is put before it where it is shown."""
    assert (failure.state, failure.sentence) == (state, sentence)


def test_a_failure_is_made_of_an_exception() -> None:
    """Kind, status, attempts and hint are the exception's; any that is not ours is internal."""
    error = GitHubError("no", status=409, kind="archived", hint="proxy-login")
    error.attempts = 3
    made = Failure.of(error, "upload-asset", release="v1", asset="a")
    assert made == Failure(
        "archived", "no", "upload-asset", "v1", "a", 409, attempts=3, hint="proxy-login"
    )
    assert made.error == f"blocked: no; {made.advice}"
    assert made.line == f"v1 a: {made.error}"
    assert Failure.of(ZeroDivisionError("by 0")).kind == "internal"
    assert Failure.of(NotFound("gone", status=404)).kind == "not-found"
    assert Failure.of(ValidationFailed("x", status=413, reason="too-large")).kind == "too-large"


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "failures.md"


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_the_page_explains_every_kind_with_its_advice(kind: FailureKind) -> None:
    """Each kind has a section, which ends with the advice that the program gives, word for word."""
    section = PAGE.read_text("utf-8").partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
    meaning, _, advised = section.partition("**What to do:** ")
    assert len(meaning.strip()) > 40
    assert advised.strip() == f"{advice(kind)}."


def test_the_page_lists_the_advice_of_every_hint() -> None:
    """Each hint's advice has a row with when it is given; a row without a hint is out of date."""
    table = PAGE.read_text("utf-8").partition("\n## Advice\n")[2]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    told = {text.removeprefix("| ") for text, when in rows if len(when) > 10}
    wanted = {advice("internal", hint) for hint in get_args(Hint)}
    assert told == {text[0].upper() + text[1:] for text in wanted}
    assert len(rows) == len(get_args(Hint))

"""Where a release's text holds mentions: everywhere but in code, comments and addresses.

GitHub notifies whoever is mentioned; a mirror must not. Every ``@name`` gets an invisible character,
but code stays as it is, because people copy it. That needs the structure of the text and no more:
:class:`_Blocks` reads it line by line, as CommonMark and GitHub's dialect of it prescribe, and
:func:`_spanned` finds the code in a paragraph. A general Markdown parser does more than that, and
takes seconds for a text that is written to slow it down; here each line and each mark is looked at
once, and there is a limit to both.

In doubt it is a mention: an invisible character too many does next to no harm. Doubtful are

- what the dialects of Markdown read differently (``<search>``, a table that goes on in odd ways);
- a backtick that may belong to a link's address, to a definition or to a tag;
- a text with more lines and marks, or more quotes and lists within one another, than people write.

Source: https://spec.commonmark.org/0.31.2/ and https://github.github.com/gfm/, both with the
appendix "A parsing strategy".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

ZERO_WIDTH = "&#8203;"
"""Between ``@`` and a name it makes no mention, and a reader of the rendered page sees nothing."""

_MOST = 16_000
"""Lines, containers and marks to look at: 125,000 characters written by people have fewer."""

_DEEPEST = 30
"""Quotes and lists within one another."""

Kind: TypeAlias = Literal["code", "text", "more", "raw"]
"""A line is code, the first or a further line of a paragraph, or HTML, where backticks mean nothing."""
Leaf: TypeAlias = Literal["", "text", "code", "raw"]
"""What is open in a container: a paragraph, a fence, HTML."""

_MENTION = re.compile(
    r"""
    (?:(?<=[a-z])|(?<=[a-z][0-9+.-]))://(?:(?!\)@)[^][\s<>`|])*+   # an address: https://host/@name
    | (?<![a-z0-9/@])@(?=[a-z0-9])                               # a mention begins,
      (?!(?<=[\w.+-]@)[\w-]{1,64}\.[\w-])                        # unless it is a.-@example.com
    """,
    re.VERBOSE | re.IGNORECASE,
)


def escape_mentions(text: str) -> str:
    """Take the effect from every ``@name`` outside of code, addresses and e-mail addresses."""
    return "".join([part for _, part in escaped_parts(text)])


def escaped_parts(text: str) -> list[tuple[Kind, str]]:
    """The same, in parts that are read each for itself: paragraphs, code, HTML.

    The time it takes grows with the length of the text alone, whatever is in it.
    """
    if "@" not in text:
        return [("code", text)]
    if not _MARKS.search(text):
        return [("text", _plain(text))]
    try:
        return [(kind, _escaped(kind, part)) for kind, part in _parts(text)]
    except _Doubt:
        return [("text", _plain(text))]


def shortened(parts: list[tuple[Kind, str]], room: int) -> str:
    """The beginning of a text, of at most so many characters.

    Where the cut opens code, its names are mentions again. They take room themselves, so that the
    cut moves and may open some more: of a text that is made for it, none stays as it is.
    """
    kept: list[str] = []
    for kind, part in parts:
        if len(part) > room:
            rest = part[:room]
            if (again := _escaped(kind, rest)) != rest:
                rest = again[:room]
                if _escaped(kind, rest) != rest:
                    rest = _ANY.sub(f"@{ZERO_WIDTH}", rest)[:room]
            kept.append(rest)
            break
        kept.append(part)
        room -= len(part)
    return "".join(kept)


class _Doubt(Exception):
    """Dialects differ here, or no person wrote this."""


_ANY = re.compile(r"@(?=[A-Za-z0-9])")
_MARKS = re.compile(r"[`~\t<]|    ")
"""A text without any of these has no code and no comment."""


def _plain(text: str) -> str:
    return _MENTION.sub(lambda found: f"@{ZERO_WIDTH}" if found[0] == "@" else found[0], text)


def _escaped(kind: Kind, part: str) -> str:
    if kind == "code" or "@" not in part:
        return part
    if kind == "raw":
        return "".join(
            piece if number % 2 else _plain(piece)
            for number, piece in enumerate(_COMMENT.split(part))
        )
    if "`" not in part and "<!--" not in part:
        return _plain(part)
    return _spanned(part)


# --- blocks -------------------------------------------------------------------------------------

_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]++")

_QUOTE: Final = 0
_QUOTED = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?= |$)( {1,4}(?! ))?")
_FOOTNOTE = re.compile(r"\[\^[^\]\s]++\]: *")
_BREAK = re.compile(r"(?:(?:\* *){3,}|(?:- *){3,}|(?:_ *){3,})$")
_HEADING = re.compile(r"#{1,6}(?: |$)")
_UNDERLINE = re.compile(r"(?:=+|-+)$")
_FENCE = re.compile(r"`{3,}(?=[^`]*+$)|~{3,}")
_TABLE_LINE = re.compile(r"[- ]*+[:|][-:| ]*+$")

_NAMES = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details"
    "|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header"
    "|hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param"
    "|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_HTML = re.compile(
    rf"<(?:((?:script|pre|style)(?=[\s>]|$))|(!--)|(\?)|(!(?-i:[A-Z]))|(!\[CDATA\[)"
    rf"|(/?(?:{_NAMES})(?=\s|/?>|$))|(/?(?:search|source|textarea)\b|![a-z]))",
    re.IGNORECASE | re.ASCII,
)
"""How HTML begins, of seven kinds; what the last kind is, the versions of CommonMark disagree on."""

_HTML_ENDS = (
    re.compile(r"</(?:script|pre|style)>", re.IGNORECASE),
    re.compile(r"-->"),
    re.compile(r"\?>"),
    re.compile(r">"),
    re.compile(r"\]\]>"),
    None,  # a blank line
)
_ATTRIBUTE = r""" ++[a-z_:][\w.:-]*+(?: *+= *+(?:[^\s"'=<>`]++|'[^']*+'|"[^"]*+"))?+"""
_TAG = re.compile(
    rf"<(?:[a-z][a-z0-9-]*+(?:{_ATTRIBUTE})*+ *+/?|/[a-z][a-z0-9-]*+ *+)>$",
    re.IGNORECASE | re.ASCII,
)
"""HTML, too, where it is all of a line and interrupts no paragraph."""


def _parts(text: str) -> Iterator[tuple[Kind, str]]:
    """The parts of a text that are read each for itself: a paragraph, code, HTML."""
    lines = _LINE.findall(text)
    blocks = _Blocks(steps=len(lines) + sum(map(text.count, "`<\\]")))
    # A tab reaches to the next multiple of four: expanded, a place in a line is its column.
    columns = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).split("\n")
    start, last = 0, blocks.kind_of(columns[0])
    for number in range(1, len(lines)):
        kind = blocks.kind_of(columns[number])
        if kind == "text" or kind not in {"more", last}:
            yield last, "".join(lines[start:number])
            start, last = number, kind
    yield last, "".join(lines[start:])


class _Blocks:
    """The structure of a text, line by line: which containers are open, and what in the last one.

    Attributes:
        _containers: The columns by which the text of an item or a footnote is indented;
            :data:`_QUOTE` for a quote.
        _leaf: What is open in the last of them.
        _fence: What opened that fence.
        _end: What ends that HTML; ``None`` for a blank line.
        _hollow: The last container is an item with nothing in it yet.
        _defines: That paragraph may be a definition: ``[name]: address``.
        _unsure: That paragraph may be a table, or be over.
    """

    def __init__(self, steps: int = 0) -> None:
        self._containers: list[int] = []
        self._leaf: Leaf = ""
        self._fence = ""
        self._end: re.Pattern[str] | None = None
        self._hollow = False
        self._defines = False
        self._unsure = False
        self._steps = steps

    def kind_of(self, line: str) -> Kind:
        """The kind of the next line.

        Args:
            line: Without its end, and with its tabs expanded.

        Raises:
            _Doubt: It cannot be told for certain.
        """
        spaces, line = line, line.rstrip(" ")
        place, matched = self._enter(line)
        if place >= len(line):
            if self._hollow and spaces:
                raise _Doubt
            return self._blank(matched)
        self._hollow = False
        if matched == len(self._containers) and self._leaf in {"code", "raw"}:
            return self._within(line, place)
        return self._begin(line, place, matched)

    def _enter(self, line: str) -> tuple[int, int]:
        """Where in a line the text of the open containers begins, and how many of them go on."""
        place = matched = 0
        for width in self._containers:
            if width == _QUOTE:
                quoted = _QUOTED.match(line, place)
                if quoted is None:
                    break
                place = quoted.end()
            elif line.startswith(" " * width, place):
                place += width
            elif place < len(line):
                break
            matched += 1
        self._steps += matched
        if self._steps > _MOST:
            raise _Doubt
        return place, matched

    def _blank(self, matched: int) -> Kind:
        if self._hollow and matched == len(self._containers):
            self._containers.pop()
        self._hollow = False
        self._close(matched)
        if self._leaf == "text" or (self._leaf == "raw" and self._end is None):
            self._leaf = ""
        return self._leaf or "text"

    def _close(self, matched: int) -> None:
        if matched < len(self._containers):
            del self._containers[matched:]
            self._leaf = ""

    def _within(self, line: str, place: int) -> Kind:
        """A line of a fence or of HTML that is open."""
        if self._leaf == "raw":
            if self._end and self._end.search(line, place):
                self._leaf = ""
            return "raw"
        at = _indented(line, place)
        rest = line[at:]
        if at - place < 4 and rest.startswith(self._fence) and not rest.strip(rest[0]):
            self._leaf = ""
        return "code"

    def _begin(self, line: str, place: int, matched: int) -> Kind:
        """A line that opens containers, begins a leaf in them, or goes on with a paragraph."""
        going = self._leaf == "text"
        whole = matched == len(self._containers)
        while (at := _indented(line, place)) - place < 4:
            if line[at] not in ">[-+*0123456789":
                break
            opened = self._container(line, place, at, interrupts=going and whole)
            if opened is None:
                break
            width, place = opened
            self._close(matched)
            self._containers.append(width)
            self._leaf, going, whole = "", False, True
            matched += 1
            self._steps += 1
            if matched > _DEEPEST:
                raise _Doubt
            if place >= len(line):
                self._hollow = line[at] not in ">["  # an item may begin on the next line
                return "text"
        deep = at - place >= 4
        found = None
        if not deep and line[at] in "<`~=-#*_":
            found = self._opener(line, at, going=going, whole=whole)
        if going and found is None:
            if self._unsure and (deep or not whole):
                raise _Doubt
            self._unsure |= _TABLE_LINE.match(line, at) is not None
            return "more"
        self._close(matched)
        if found is None and not deep:
            self._unsure, self._defines = False, line[at] == "["
            found = "text", "text"
        kind, self._leaf = found or ("code", "")
        return kind

    def _container(
        self, line: str, place: int, at: int, *, interrupts: bool
    ) -> tuple[int, int] | None:
        """A container that begins here: its width, and where its text begins.

        Args:
            line: The line.
            place: Where the text of the containers around it begins.
            at: The first character there that is no space.
            interrupts: A paragraph would end; not every item may do that.
        """
        first = line[at]
        if first == ">":
            return _QUOTE, at + 1 + line.startswith(" ", at + 1)
        if first == "[" and (note := _FOOTNOTE.match(line, at)):
            return 4, note.end()
        item = _ITEM.match(line, at)
        if item is None or (first == line[-1] and _BREAK.match(line, at)):
            return None
        empty = item.end() == len(line)
        if interrupts and (empty or int(item[1] or 1) != 1):
            if self._unsure:
                raise _Doubt
            return None
        end = item.end() if item[2] else item.end() + 1
        return end - place, end

    def _opener(self, line: str, at: int, *, going: bool, whole: bool) -> tuple[Kind, Leaf] | None:
        """What begins here and is no paragraph: the kind of the line, and what it leaves open."""
        first = line[at]
        if first == "<":
            return self._html(line, at, going=going, whole=whole)
        if first in "`~" and (fence := _FENCE.match(line, at)):
            self._fence = fence[0]
            return "code", "code"
        if going and whole and _UNDERLINE.match(line, at):
            if self._unsure and first == "=":  # a row of a table
                raise _Doubt
            if not self._defines:
                return "more", ""
            self._unsure = True  # of a definition the underline is none, but the next paragraph
            return "text", "text"
        if _HEADING.match(line, at) or _BREAK.match(line, at):
            return "text", ""
        return None

    def _html(self, line: str, at: int, *, going: bool, whole: bool) -> tuple[Kind, Leaf] | None:
        if found := _HTML.match(line, at):
            if not found.lastindex or found.lastindex > len(_HTML_ENDS):
                raise _Doubt
            self._end = _HTML_ENDS[found.lastindex - 1]
            return "raw", "" if self._end and self._end.search(line, at) else "raw"
        if not _TAG.match(line, at):
            return None
        if not going:
            self._end = None
            return "raw", "raw"
        if self._unsure or not whole:
            raise _Doubt
        return None


def _indented(line: str, place: int) -> int:
    """The first character from a place on that is no space, or the fifth one."""
    for at in range(place, place + 4):
        if line[at] != " ":
            return at
    return place + 4


# --- paragraphs ---------------------------------------------------------------------------------

_COMMENT = re.compile(r"(<!--(?=\s)(?:(?!--).)*+-->)", re.DOTALL)
"""As all versions of CommonMark and of HTML read one."""

_TABLE = re.compile(r"[\r\n][ \t>]*+[- \t]*+[:|][-:| \t]*+(?=[\r\n]|\Z)")
_CELL_ENDS = re.compile(r"[\r\n]|(?<!\\)(?:\\\\)*+\|")
_DEFINITION = re.compile(
    r"""
    (?:\A|[\r\n])(?:[ \t>*+\d.)-]|\[\^[^]\s]++\]:)*+\[(?:[^][\\]|\\.)*+\]:\s*+        # [name]: with a backtick in its
    (?:[^\s`]*+`|\S++\s++["'(])                                     # address, perhaps in its title
    """,
    re.VERBOSE | re.DOTALL,
)
_TICKS = re.compile(r"`+")
_TOKEN = re.compile(
    r"""
    (?=[\\`<:w\]])(?:                                                   # (for speed)
      (?:\\.)++                                                         # escaped characters
    | (?P<ticks>`+)
    | (?P<comment><!--(?=\s)(?:(?!--).)*+-->)
    | \]\((?:[^\s()<>`\\]|\([^\s()<>`\\]*+\))*+(?:\s++"[^"`\\]*+")?+\s*+\)   # the end of a plain link
    | </?[a-z](?:[^<>`"']|"[^"<>`]*+"|'[^'<>`]*+')*+>                   # a plain tag or address
    | (?:://|www\.)[^\s<`]*+(?!`)                                               # and another
    | (?P<doubt>                                                        # a backtick may hide there
        \]\( | :// | www\. | <[!?] | <[a-z/][^<>`"']*+["'] | <[a-z][a-z0-9+.-]{1,31}:
      )
    )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE | re.ASCII,
)


def _spanned(text: str) -> str:
    """Escape a paragraph, and leave its code and its comments as they are."""
    if _DEFINITION.search(text):
        return _plain(text)
    ends: dict[int, list[int]] = {}  # where as many backticks begin, the first place last
    for found in reversed([*_TICKS.finditer(text)]):
        ends.setdefault(len(found[0]), []).append(found.start())
    table = _TABLE.search(text) is not None
    result: list[str] = []
    done = place = 0
    while (token := _TOKEN.search(text, place)) and token.lastgroup != "doubt":
        place = token.end()
        if token.lastgroup == "ticks":
            length = len(token[0])
            same = ends.get(length, [])
            while same and same[-1] < place:
                same.pop()
            if not same:
                break
            place = same[-1] + length
            if table and _CELL_ENDS.search(text, token.end(), place):
                break  # it would reach from one cell into the next
        elif token.lastgroup != "comment":
            continue
        result += [_plain(text[done : token.start()]), text[token.start() : place]]
        done = place
    return "".join([*result, _plain(text[done:])])

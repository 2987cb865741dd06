"""The page's data → one HTML document that needs nothing else."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import age, count, duration, size
from mirror.page.activity import subject
from mirror.page.picture import picture, strip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LISTED = 20
"""Quarantined items and warnings of one mirror that are listed; the others are counted."""

_SILENT = 60.0
"""Seconds without a heartbeat after which the mirrors of a worker are taken over."""

_MOMENT = Markup('<time datetime="{}" title="{}">{}</time>')
_ICON = Markup('<svg class="icon" aria-hidden="true" focusable="false"><use href="#i-{}"/></svg>')

_ADDRESS = re.compile(r"https?://([^/\s'\"<>]+)(/[^\s'\"<>]*[^\s'\"<>.,:;)])")
"""A web address with a path, without the punctuation behind it."""

STATE_NAMES = {
    "ok": "Healthy",
    "failed": "Failed",
    "never": "Never synced",
    "running": "Running",
}
"""States of a mirror, for people."""


def render(data: Mapping[str, Any], *, tag: str = "") -> str:
    """Write the page.

    Args:
        data: Of :func:`~mirror.page.view.page_data`. Without a service the page holds no script
            and no form: nobody would answer.
        tag: Of the :class:`~mirror.page.document.Document`, for the script to ask with.
    """
    now = datetime.fromisoformat(data["generated_at"])
    return (
        _environment()
        .get_template("page.html")
        .render(
            **data,
            tag=tag,
            moment=_moments(now),
            silent={
                worker["name"]
                for worker in data["workers"]
                if (now - datetime.fromisoformat(worker["last_heartbeat"])).total_seconds()
                > _SILENT
            },
            absolute=_absolute,
            picture=picture(data["passes"]),
            link=_link_to(data["page"]),
            key=_key,
            state_names=STATE_NAMES,
            listed=LISTED,
            style=_text("style.css"),
            script=_text("page.js") if data["service"] else "",
            policy=policy("", within=True),
        )
    )


def policy(page: str, *, within: bool = False) -> str:
    """The ``Content-Security-Policy`` of a page: its own style and script, by their hashes.

    Args:
        page: The script is allowed where it is this program's own and the page holds it.
        within: For the page itself to hold, which cannot say who may frame it.
    """
    script = _text("page.js")
    scripted = script in page
    rules = {
        "default-src": "'none'",
        "style-src": _hash(_text("style.css")),
        "script-src": _hash(script) if scripted else "",
        "connect-src": "'self'" if scripted else "",
        "img-src": "data:",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "" if within else "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items() if value)


@cache
def _text(name: str) -> Markup:
    """A file of this package; it is ours, and stands in the page as it is."""
    file = resources.files(__package__) / name
    return Markup(file.read_text("utf-8"))  # noqa: S704 - no part of it comes from others


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"size": size, "duration": _short, "count": count, "shorten": shorten}
    made.filters |= {"differing": _differing, "proofs": _proofs, "strip": strip, "subject": subject}
    made.filters |= {"folded": _folded, "addresses": _addresses}
    made.globals["icon"] = _icon
    return made


def _visible(value: object) -> object:
    """Names of others turn no text around and hide none; what is markup has been through here."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _short(seconds: float) -> str:
    """A length of time in its largest unit."""
    return " ".join(duration(seconds).split()[:2])


def _differing(mirror: Mapping[str, Any]) -> int:
    """Assets of a mirror whose bytes are known not to be the source's."""
    proven: int = sum(mirror["proof"].values())
    assets: int = mirror["assets"]
    return max(0, assets - proven)


def _proofs(mirror: Mapping[str, Any]) -> str:
    """What is known of the bytes of a mirror's assets, in full."""
    proof, differing = mirror["proof"], _differing(mirror)
    text = (
        f"{count(mirror['assets'], 'asset')}: {proof['bytes']:,} verified by digest,"
        f" {proof['sent']:,} sent, {proof['assumed']:,} assumed"
    )
    return f"{text}, {differing:,} known to differ" if differing else text


def _folded(text: str) -> str:
    """A sentence whose addresses are cut to their hosts: ``GET api.github.com/… answered 502``."""
    return _ADDRESS.sub(r"\1/…", text)


def _addresses(text: str) -> list[str]:
    """The addresses that :func:`_folded` has cut, each once."""
    return list(dict.fromkeys(match[0] for match in _ADDRESS.finditer(text)))


def _moments(now: datetime) -> Callable[[str], Markup]:
    @cache
    def moment(text: str) -> Markup:
        """``3 min ago``, or ``in 3 min``; the exact time is its title."""
        try:
            at = datetime.fromisoformat(text)
        except ValueError:  # somebody edited the ledger
            return Markup("{}").format(clean(text))
        said = f"in {_short((at - now).total_seconds())}" if at > now else age(at, now)
        return _MOMENT.format(text, _absolute(text), said)

    return moment


@cache
def _icon(name: str) -> Markup:
    """One of the symbols of the page; the word beside it says the same."""
    return _ICON.format(name)


def _absolute(text: str) -> str:
    """A moment as logs have it, in UTC."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _link_to(page: Mapping[str, Any]) -> Callable[..., str]:
    def link(**wishes: object) -> str:
        """The address of the same page with other wishes: relative, for any path of a proxy."""
        kept = {name: page[name] for name in ("state", "search", "view")}
        asked = kept | wishes
        said = {k: v for k, v in asked.items() if v and (k, v) != ("page", 1)}
        return f"?{urlencode(said, errors='replace')}"

    return link


def _key(mirror: Mapping[str, Any]) -> str:
    """A name for a mirror's part of the page, by which the script finds it again."""
    names = f"{mirror['source']}\n{mirror['target']}".casefold()
    return hashlib.sha256(names.encode("utf-8", "replace")).hexdigest()[:16]

"""The wording of error messages: quoted values, types in words, and pydantic's errors."""

from __future__ import annotations

from datetime import date, datetime, time
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel, WithJsonSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_LONGEST_QUOTE = 60
_MOST_KEYS = 12
_TYPES: dict[type, str] = {
    bool: "a boolean",
    str: "a string",
    int: "an integer",
    float: "a floating-point number",
    list: "a list",
    dict: "a table",
    datetime: "a date with a time",
    date: "a date",
    time: "a time",
}


def kind(value: object) -> str:
    """The type of a TOML value in words."""
    found = (_TYPES[type_] for type_ in type(value).__mro__ if type_ in _TYPES)
    return next(found, "something else")


def quote(text: str) -> str:
    """Quote a text for a message: on one line, printable, shortened."""
    if len(text) > _LONGEST_QUOTE:
        text = text[:_LONGEST_QUOTE] + "…"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{"".join(shown)}"'


def alternatives(words: Sequence[str]) -> str:
    """Join words for a sentence: ``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def expected(words: str, given: object) -> ValueError:
    """An error such as ``must be a duration such as "90s", not an integer``."""
    shown = quote(given) if isinstance(given, str) else kind(given)
    return ValueError(f"must be {words}, not {shown}")


def text_of(value: object, words: str) -> str:
    """The value, if it is a string.

    Raises:
        ValueError: It is not; ``words`` say what it must be.
    """
    if not isinstance(value, str):
        raise expected(words, value)
    return value


def sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    """A validation error of pydantic in our words; it follows the key.

    Args:
        error: The error.
        model: The table that was validated.
    """
    code, given, context = error["type"], error["input"], error.get("ctx", {})
    if code == "value_error":
        return str(context["error"])
    *parents, key = map(str, error["loc"])
    for parent in parents:
        model = _tables(model).get(parent, model)
    if code == "extra_forbidden":
        return unknown_key(key, model)
    if code == "missing":
        return must_be_set(_fields(model)[key])
    if code == "literal_error":
        return _one_of(get_args(_fields(model)[key].annotation), given)
    if code in _LIMITS:
        words, limit = _LIMITS[code]
        small = isinstance(given, int) and abs(given) < 10**12
        shown = str(given) if small else "a number of this size"
        return f"must be {context[limit]} or {words}, not {shown}"
    return f"must be {_WANTED.get(code, 'something else')}, not {kind(given)}"


_LIMITS = {"greater_than_equal": ("more", "ge"), "less_than_equal": ("less", "le")}
_WANTED = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "string_type": "a string",
    "tuple_type": "a list",
    "model_type": "a table",
    "dict_type": "a table",
}


def unknown_key(key: str, model: type[BaseModel]) -> str:
    """Suggest what was probably meant by a key that does not exist."""
    names, tables = list(_fields(model)), _tables(model)
    inner = [f"{name}.{key}" for name, table in tables.items() if key in _fields(table)]
    close = inner or get_close_matches(key, names, n=1)
    close = close or get_close_matches(key.replace("-", "_").lower(), names, n=1)
    if not close and len(names) > _MOST_KEYS:
        deep = [f"{table}.{name}" for table in tables for name in _fields(tables[table])]
        close = get_close_matches(key, deep, n=1)
    if close:
        return f"unknown key; did you mean {alternatives([quote(name) for name in close])}?"
    return f"unknown key; allowed here: {', '.join(names)}"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a table by the name of their key."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _tables(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The keys of a table that are tables themselves."""
    found = {}
    for name, field in _fields(model).items():
        type_ = field.annotation
        members = get_args(type_) if get_origin(type_) is UnionType else (type_,)
        for member in members:
            if isinstance(member, type) and issubclass(member, BaseModel):
                found[name] = member
    return found


def must_be_set(field: FieldInfo) -> str:
    """The message for a required key that is missing; it follows the key."""
    for part in field.metadata:
        if isinstance(part, WithJsonSchema) and part.json_schema:
            return f"must be set, for example {quote(part.json_schema['examples'][0])}"
    return "must be set"


def _one_of(allowed: Sequence[str], given: object) -> str:
    wrong = str(expected(alternatives([quote(name) for name in allowed]), given))
    close = get_close_matches(given.lower(), allowed, n=1) if isinstance(given, str) else []
    return f'{wrong}; did you mean "{close[0]}"?' if close else wrong

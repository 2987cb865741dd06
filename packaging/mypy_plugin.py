"""For mypy: ``dataclasses.replace`` refuses a msgspec ``Struct`` when it runs; so do the types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy.plugin import FunctionContext, Plugin
from mypy.types import Instance, Type, get_proper_type

if TYPE_CHECKING:
    from collections.abc import Callable


class _Replace(Plugin):
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return _check if fullname == "dataclasses.replace" else None


def _check(call: FunctionContext) -> Type:
    given = get_proper_type(call.arg_types[0][0])
    if isinstance(given, Instance) and given.type.has_base("msgspec.Struct"):
        call.api.fail("A Struct needs msgspec.structs.replace", call.context)
    return call.default_return_type


def plugin(_: str) -> type[Plugin]:
    """What mypy asks for, with its version."""
    return _Replace

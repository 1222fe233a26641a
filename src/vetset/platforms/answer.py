"""Answers in JSON, read strictly: what is not exactly as documented is an error, and never "no match".

In it: the parser, and looks into what it parsed. Not in it: what the values mean (the adapters).
Rules: no key twice, no NaN, UTF-8 only; kinds are exact, so that true is no number; an error names no value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from vetset.errors import ServiceError

Kind = TypeVar("Kind")
BROKEN = "broken_answer"
_MOST_DIGITS = 30
_MOST_CHARACTERS = 200


def parsed(body: bytes, service: str) -> Any:
    """What a body of JSON says. Raises ServiceError for anything that is not whole, plain JSON."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused, parse_int=_number)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ServiceError(service, "not_json") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _refused(_constant: str) -> NoReturn:
    raise ValueError("no number")


def _number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("no number that a service would mean")
    return int(digits)


def exactly(value: Any, kind: type[Kind], service: str) -> Kind:
    """The value, if it is of this very kind. Raises ServiceError."""
    if type(value) is not kind:
        raise ServiceError(service, BROKEN)
    return value


def at(value: Any, name: str, kind: type[Kind], service: str) -> Kind:
    """What stands under a name that must be there. Raises ServiceError."""
    table = exactly(value, dict, service)
    if name not in table:
        raise ServiceError(service, BROKEN)
    return exactly(table[name], kind, service)


def items(value: Any, name: str, service: str) -> list[dict[str, Any]]:
    """A list of tables under a name; none where it is absent or null. Raises ServiceError for anything else."""
    listed = exactly(value, dict, service).get(name)
    return [] if listed is None else [exactly(item, dict, service) for item in exactly(listed, list, service)]


def word(value: Any, service: str) -> str:
    """A name or class of the service's own: a short line of printable ASCII, or a number. Raises ServiceError."""
    text = str(value) if type(value) is int else exactly(value, str, service)
    if len(text) > _MOST_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise ServiceError(service, BROKEN)
    return text

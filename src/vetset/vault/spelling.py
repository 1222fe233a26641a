"""Spelling: findings as lines of JSON, and lines as findings again, their values sealed.

In it: both directions, each other's inverse. Not in it: encryption.
Rules: the lines are for people with an identity and stock tools, so addresses stand as text where they are UTF-8 and
digests in hex; bytes that are no UTF-8 stand as base64; every byte string comes back as it was, and sealed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vetset import kernels
from vetset.cases import INITIAL
from vetset.records import (
    Address,
    Hit,
    ListEntry,
    Match,
    Nearness,
    ScreenOutcome,
    Sealed,
    Shard,
    Signal,
    UrlForm,
    View,
)

#: What a line of a hit holds besides what was noted of it.
FIELDS = frozenset({"case", "state", "step", "shard", "row", "outcome", "url", "digests", "computed", "matches"})
_TEXT, _BASE64 = "text", "base64"
_NESTED = (dict, list)
#: Enums by their spelling; a look into a mapping costs a tenth of the enum's own.
_SIGNALS = {signal.value: signal for signal in Signal}
_OUTCOMES = {outcome.value: outcome for outcome in ScreenOutcome}


def json_line(tree: Mapping[str, object]) -> bytes:
    """One line of UTF-8 with sorted keys."""
    try:
        return json.dumps(tree, sort_keys=True, ensure_ascii=False).encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # a file name that is no UTF-8 has lone surrogates, which only an escape can hold
        return json.dumps(tree, sort_keys=True).encode("ascii") + b"\n"


# --- values --------------------------------------------------------------------------------------------------------


def spelled(value: object) -> object:
    """A value for JSON. Byte strings, sealed or not, become `{"text": …}` or `{"base64": …}`. Raises TypeError."""
    if isinstance(value, Sealed):
        value = value.unseal()
    if isinstance(value, bytes):
        text = text_or_base64(value)
        return {_TEXT: text} if isinstance(text, str) else text
    if isinstance(value, Mapping):
        if _stands_for_bytes(value):
            raise TypeError("a mapping with this one key stands for bytes")
        return {str(name): spelled(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError("a value of this kind cannot be sealed")


def read(value: Any) -> Any:
    """The value that `spelled` wrote; byte strings come back as `Sealed`. Raises ValueError if they are damaged."""
    if isinstance(value, dict):
        if _stands_for_bytes(value):
            return Sealed(_bytes_of(value.get(_TEXT, value)))
        return {name: read(item) if isinstance(item, _NESTED) else item for name, item in value.items()}
    if isinstance(value, list):
        return [read(item) if isinstance(item, _NESTED) else item for item in value]
    return value


def _stands_for_bytes(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and (_TEXT in value or _BASE64 in value)


def text_or_base64(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(value).decode("ascii")}


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    return base64.b64decode(value[_BASE64], validate=True)


# --- hits ----------------------------------------------------------------------------------------------------------


def line_of(hit: Hit, step: str, shard: Shard, case_key: bytes) -> dict[str, object]:
    """A hit as a line. Raises TypeError if what was noted of it takes the name of a field."""
    if not FIELDS.isdisjoint(hit.noted):
        raise TypeError("something noted has the name of a field")
    address = hit.address.unseal()
    noted = {str(name): spelled(value) for name, value in hit.noted.items()}
    return noted | {
        "case": kernels.case_id_of(hit.shard_id, hit.row, case_key),
        "state": INITIAL.value,
        "step": step,
        "shard": shard.path,
        "row": hit.row,
        "outcome": hit.outcome.value,
        "url": None if address.url is None else text_or_base64(address.url),
        "digests": digest_lines(address.digests),
        **({"computed": digest_lines(address.computed)} if address.computed else {}),
        "matches": [match_line(match) for match in hit.matches],
    }


def digest_lines(digests: Mapping[Signal, bytes]) -> dict[str, str]:
    return {signal.value: digest.hex() for signal, digest in digests.items()}


def _digests_from(lines: Mapping[str, str]) -> dict[Signal, bytes]:
    return {_SIGNALS[name]: bytes.fromhex(digest) for name, digest in lines.items()}


def match_line(match: Match) -> dict[str, object]:
    near = match.near
    return {
        "list": match.list_name,
        "version": match.list_version,
        "signal": match.signal.value,
        "form": match.form.value if match.form else None,
        "key": match.key.unseal().hex(),
        "entry": match.entry.entry_id,
        "category": match.entry.category,
        "source": match.entry.source,
        **({} if near is None else {"near": asdict(near)}),
    }


def address_from(line: Mapping[str, Any]) -> tuple[int, Sealed[Address]]:
    """The row of a hit's line and its address. Raises as `hit_from` does."""
    url = None if line["url"] is None else _bytes_of(line["url"])
    digests, computed = _digests_from(line["digests"]), _digests_from(line.get("computed", {}))
    return int(line["row"]), Sealed(Address(url, digests, computed))


def hit_from(line: Mapping[str, Any], shard_id: str) -> Hit:
    """The hit of a line. Raises KeyError, TypeError, ValueError or AttributeError if the line is damaged."""
    row, address = address_from(line)
    return Hit(
        shard_id=shard_id,
        row=row,
        outcome=_OUTCOMES[line["outcome"]],
        address=address,
        matches=tuple(_match_from(match) for match in line["matches"]),
        noted={name: read(value) for name, value in line.items() if name not in FIELDS},
    )


def _match_from(line: Mapping[str, Any]) -> Match:
    return Match(
        list_name=line["list"],
        list_version=int(line["version"]),
        signal=_SIGNALS[line["signal"]],
        form=None if line["form"] is None else UrlForm(line["form"]),
        key=Sealed(bytes.fromhex(line["key"])),
        entry=ListEntry(line["entry"], line["category"], line["source"]),
        near=_nearness_from(line.get("near")),
    )


def _nearness_from(line: Mapping[str, Any] | None) -> Nearness | None:
    if line is None:
        return None
    return Nearness(int(line["distance"]), View(line["view"]), int(line["orientation"]), int(line["quality"]))

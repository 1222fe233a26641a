"""Sources in JSON: one document with a list of objects, or one object a line.

In it: where the objects stand, and which of their members hold what, by the same map as for CSV.
Not in it: what a value may look like (value), the map (csvfile).
Rules: a member is named by its path, as in "hashes.md5", case counts; a member may hold one value or a list of them; a
document that is not whole JSON stops the reading; nothing of it is shown; entries are counted from 1 in place of lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from vetset.errors import Stop
from vetset.hashlists.account import Account, Reason
from vetset.hashlists.csvfile import SAID, ColumnMap
from vetset.hashlists.gathering import Holder
from vetset.hashlists.value import value_of
from vetset.records import ListEntry, Signal

_BY_OWN_NAMES = ColumnMap({signal: signal.value for signal in Signal}, {name: name for name in SAID})


def read_json(stream: BinaryIO, account: Account, holder: Holder, columns: ColumnMap | None, items: str) -> None:
    """Reads a document. `items` is the path of the list of entries; empty: the document is the list, or lines."""
    chosen = columns or _BY_OWN_NAMES
    for number, item in enumerate(_items(stream.read(), items, account.source), 1):
        if not isinstance(item, dict):
            account.count(Reason.NO_VALUE, number)
            continue
        _read_item(item, number, chosen, account, holder)


def _read_item(item: dict[str, Any], number: int, columns: ColumnMap, account: Account, holder: Holder) -> None:
    said = ListEntry(**{name: _plain(_at(item, path)) for name, path in columns.said.items()})
    given = [(signal, text) for signal, path in columns.signals.items() for text in _texts(_at(item, path))]
    if not given:
        account.count(Reason.NO_VALUE, number)
    for signal, text in given:
        value = value_of(signal, text.encode("utf-8", "surrogatepass"))
        fault = value if isinstance(value, Reason) else holder.hold(signal, value, said)
        account.taken += fault is None
        if fault is not None:
            account.count(fault, number)


def _items(data: bytes, path: str, source: str) -> Iterator[Any]:
    tree = _tree(data)
    if tree is None and not path:
        yield from _lines(data, source)
        return
    found = _at(tree, path) if path else tree
    if isinstance(found, dict) and not path:  # JSON lines of one line
        found = [found]
    if not isinstance(found, list):
        raise Stop(
            f"{source} has no list of entries there",
            hint='say where it stands with items = "path.to.list"; is the document whole JSON?',
        )
    yield from found


def _lines(data: bytes, source: str) -> Iterator[Any]:
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            tree = _tree(line)
            if tree is None:
                raise Stop(
                    f"{source} is neither whole JSON nor JSON lines: trouble in line {number}", hint="get it again"
                )
            yield tree


def _tree(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _at(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _texts(found: Any) -> list[str]:
    members = found if isinstance(found, list) else [found]
    return [text.strip() for text in members if isinstance(text, str) and text.strip()]


def _plain(found: Any) -> str:
    """What is said of an entry is for reading only."""
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    return text.encode("utf-8", "replace").decode("utf-8")

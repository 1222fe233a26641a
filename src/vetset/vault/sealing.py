"""Sealing: lines padded and encrypted to everyone who may open them, and opened again.

In it: `Vault`, and how one name's lines are cut into parts. Not in it: keys, and how a line is spelled (`spelling`).
Rules: at most about `PART_BYTES` of plaintext are held at a time; the last lines and the head go into `<name>.age`,
which is written last and names its earlier parts `<name>.2.age`, … by digest, so that parts of two sealings never mix;
a head says which step and name it belongs to, so that a file moved to another place is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from vetset.errors import ShardError, Stop, Trouble
from vetset.ledger import Sink
from vetset.records import Address, Hit, ScreenOutcome, Sealed, Shard
from vetset.vault import age
from vetset.vault.keys import RunKeys, opens
from vetset.vault.ladder import PAD_OVERHEAD_BYTES, padded, unpadded
from vetset.vault.spelling import address_from, hit_from, json_line, line_of, read, spelled

PART_BYTES = 32 * 1024 * 1024
_SHARD_ID = "shard_id"
Answer = TypeVar("Answer")
#: What reading a damaged line raises.
_FLAWS = (KeyError, TypeError, ValueError, AttributeError)
#: A row's number as `json_line` writes it; text that looks like it only costs a look at one line more.
_ROW = re.compile(rb'"row": (\d{1,19})\b')
_MayBe = Callable[[bytes], bool]
_decoded = json.JSONDecoder().decode


class Vault:
    """Seals to the custodians and, while the run's identity is in hand, to the run; opens with the keys in hand."""

    def __init__(
        self,
        sink: Sink,
        keys: RunKeys,
        custodians: Sequence[str],
        identities: Sequence[str] = (),
        *,
        part_bytes: int = PART_BYTES,
        folder: str = "vault",
    ) -> None:
        self.custodians = tuple(custodians)
        self._sink = sink
        self._case_key = keys.case_key
        self._recipients = (*self.custodians, *keys.recipients)
        self._identities = tuple(dict.fromkeys((*keys.identities, *identities)))
        self._part_bytes = part_bytes
        self._folder = folder

    # --- lines -----------------------------------------------------------------------------------------------------

    def seal(self, step: str, name: str, lines: Iterable[Mapping[str, object]]) -> str:
        """Seals lines as `vault/<step>/<name>.age`, in place of what was there; answers that file's SHA-256.

        Bytes and `Sealed` bytes come back from `lines` as `Sealed`. Raises TypeError for what JSON lacks.
        """
        return self._seal(step, name, ({key: spelled(value) for key, value in line.items()} for line in lines), {})

    def lines(self, step: str, name: str) -> Iterator[dict[str, Any]]:
        """The lines sealed under the name, in order. Raises ShardError if damaged or missing, Stop without a key."""
        return (self._checked(partial(read, tree), step, name) for tree in self._trees(step, name))

    # --- findings --------------------------------------------------------------------------------------------------

    def seal_hits(
        self,
        step: str,
        shard: Shard,
        hits: Iterable[Hit],
        tally: Mapping[str, int],
        base: Mapping[str, int] | None = None,
    ) -> str:
        """Seals a shard's hits and its full tally, which may still grow while the hits come.

        `base` is the tally as if there were no hits, and grows in the same way.
        """
        lines = (line_of(hit, step, shard, self._case_key) for hit in hits)
        return self._seal(step, shard.id, lines, {"tally": tally, **({} if base is None else {"base": base})})

    def hits(self, step: str, shard: Shard) -> Iterator[Hit]:
        """The hits of a shard's step, in order, addresses and keys sealed. Raises as `lines` does."""
        for tree in self._trees(step, shard.id):
            try:
                hit = hit_from(tree, shard.id)
            except _FLAWS:
                raise _damaged(self._file_name(step, shard.id, 1)) from None
            yield hit

    def rows(self, step: str, shard: Shard, outcome: ScreenOutcome | None = None) -> Iterator[int]:
        """The rows of a shard that a step found, or those of one outcome. Raises as `lines` does."""
        for tree in self._trees(step, shard.id):
            try:
                row, found = int(tree["row"]), tree["outcome"]
            except _FLAWS:
                raise _damaged(self._file_name(step, shard.id, 1)) from None
            if outcome is None or found == outcome.value:
                yield row

    def addresses(self, step: str, shard: Shard, rows: Container[int]) -> dict[int, Sealed[Address]]:
        """What those of some rows record that a shard's step found. Raises as `lines` does."""
        trees = self._trees(step, shard.id, lambda line: any(int(row) in rows for row in _ROW.findall(line)))
        found = [tree for tree in trees if tree.get("row") in rows]
        return self._checked(lambda: dict(map(address_from, found)), step, shard.id)

    def finding_lines(self, step: str, shard_id: str) -> Iterator[dict[str, Any]]:
        """A shard's hits as plain JSON, for whoever holds an identity. Raises as `lines` does."""
        return self._trees(step, shard_id)

    def tally(self, step: str, shard: Shard) -> dict[str, int]:
        """The full tally of a shard's step. Raises as `lines` does."""
        return self.tally_of(step, shard.id)

    def base(self, step: str, shard: Shard) -> dict[str, int]:
        """The tally of a shard's step as if there were no hits. Raises as `lines` does."""
        return self._counts(step, shard.id, "base")

    def tally_of(self, step: str, shard_id: str) -> dict[str, int]:
        """The full tally of a step by the shard's id. Raises as `lines` does."""
        return self._counts(step, shard_id, "tally")

    def _counts(self, step: str, shard_id: str, which: str) -> dict[str, int]:
        head, _ = self._main(step, shard_id)
        return self._checked(lambda: {name: int(count) for name, count in head[which].items()}, step, shard_id)

    # --- observations ----------------------------------------------------------------------------------------------

    def seal_observed(
        self, step: str, name: str, lines: Iterable[Mapping[str, object]], found: Iterable[tuple[Shard, Hit]]
    ) -> str:
        """Seals lines of plain values, then findings, each with its shard; answers the file's SHA-256."""
        findings = (
            {**line_of(hit, step, shard, self._case_key), _SHARD_ID: hit.shard_id}  # the path alone names no shard
            for shard, hit in found
        )
        return self._seal(step, name, chain(lines, findings), {})

    def observed(self, step: str, name: str) -> tuple[list[dict[str, Any]], list[Hit]]:
        """What was sealed so: the lines, and the findings. Raises as `lines` does."""
        lines: list[dict[str, Any]] = []
        found: list[Hit] = []
        for tree in self._trees(step, name):
            if _SHARD_ID in tree:
                shard_id = str(tree.pop(_SHARD_ID))
                found.append(self._checked(partial(hit_from, tree, shard_id), step, name))
            else:
                lines.append(tree)
        return lines, found

    # --- writing ---------------------------------------------------------------------------------------------------

    def _seal(self, step: str, name: str, lines: Iterable[Mapping[str, object]], live: Mapping[str, Any]) -> str:
        """`live` holds mappings of counts for the head, read once the lines are through."""
        parts: list[str] = []
        body = bytearray()
        for line in lines:
            text = json_line(line)
            if body and len(body) + len(text) + PAD_OVERHEAD_BYTES > self._part_bytes:
                body = self._cut(step, name, parts, body)
            body += text
        counts = {key: {item: count for item, count in value.items() if count} for key, value in live.items()}
        head = json_line({"step": step, "name": name, "parts": parts, **counts})
        if body and len(head) + len(body) + PAD_OVERHEAD_BYTES > self._part_bytes:
            body = self._cut(step, name, parts, body)
            head = json_line({"step": step, "name": name, "parts": parts, **counts})
        digest = self._put(self._file_name(step, name, 1), bytearray(head) + body)
        self._forget_parts(step, name, len(parts) + 2)
        return digest

    def _cut(self, step: str, name: str, parts: list[str], body: bytearray) -> bytearray:
        parts.append(self._put(self._file_name(step, name, len(parts) + 2), body))
        return bytearray()

    def _put(self, file_name: str, body: bytearray) -> str:
        return self._sink.put(file_name, age.encrypt(padded(body), self._recipients)).sha256

    def _forget_parts(self, step: str, name: str, number: int) -> None:
        """Takes away parts of an earlier, longer sealing, which nothing names any more."""
        while (self._sink.root / self._file_name(step, name, number)).exists():
            self._sink.remove(self._file_name(step, name, number))
            number += 1

    # --- reading ---------------------------------------------------------------------------------------------------

    def _trees(self, step: str, name: str, may_be: _MayBe | None = None) -> Iterator[dict[str, Any]]:
        """The lines, or those that may be what is looked for, by a look at their bytes; the rest is not parsed."""
        head, last = self._main(step, name, may_be)
        for number, digest in enumerate(head["parts"], start=2):
            file_name = self._file_name(step, name, number)
            yield from self._parsed(unpadded(self._opened(file_name, digest)), file_name, may_be)
        yield from last

    def _main(
        self, step: str, name: str, may_be: _MayBe | None = None
    ) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
        file_name = self._file_name(step, name, 1)
        lines = unpadded(self._opened(file_name))
        head = next(self._parsed(lines, file_name), {})
        trees = self._parsed(lines, file_name, may_be)
        if (head.get("step"), head.get("name")) != (step, name) or not isinstance(head.get("parts"), list):
            raise _damaged(file_name)
        return head, trees

    def _opened(self, file_name: str, digest: str | None = None) -> bytes:
        try:
            sealed = (self._sink.root / file_name).read_bytes()
        except OSError:
            raise ShardError(Trouble.VAULT, f"{file_name} is missing or cannot be read") from None
        if digest is not None and hashlib.sha256(sealed).hexdigest() != digest:
            raise _damaged(file_name)
        try:
            return age.decrypt(sealed, self._identities)
        except age.Damaged:
            raise _damaged(file_name) from None
        except age.NoIdentityFits:
            raise self._does_not_open(file_name) from None

    def _does_not_open(self, file_name: str) -> Exception:
        """From the file alone a changed head looks like a key that does not fit; the run's own secrets tell which."""
        if opens(self._sink.root, self._identities):
            return _damaged(file_name)
        hint = "name the custodian's identity file with --identity FILE"
        return Stop("no key in hand opens the findings of this run", hint=hint)

    def _parsed(self, lines: Iterator[bytes], file_name: str, may_be: _MayBe | None = None) -> Iterator[dict[str, Any]]:
        try:
            for line in lines:
                if may_be is not None and not may_be(line):
                    continue
                tree = _decoded(str(line, "utf-8"))
                if not isinstance(tree, dict):
                    raise _damaged(file_name)
                yield tree
        except (ValueError, RecursionError):
            raise _damaged(file_name) from None

    def _file_name(self, step: str, name: str, number: int) -> str:
        return f"{self._folder}/{step}/{name}.age" if number == 1 else f"{self._folder}/{step}/{name}.{number}.age"

    def _checked(self, make: Callable[[], Answer], step: str, name: str) -> Answer:
        try:
            return make()
        except _FLAWS:
            raise _damaged(self._file_name(step, name, 1)) from None


def _damaged(file_name: str) -> ShardError:
    return ShardError(Trouble.VAULT, f"{file_name} is damaged")

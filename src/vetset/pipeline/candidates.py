"""Candidates: the fingerprints of all pictures of a run, kept for want of a list, and what a platform says of them.

In it: kept digests read back, the fingerprints to be asked about, the digests of the pictures that a platform met. Not
in it: asking (`stages.verify`), the list that is made of them (`wiring`).
Rules: each fingerprint is asked once, whatever number of pictures has it; a view that is too plain for PDQ is not asked
about; of what is met only digests of whole files go on, so that no picture is found by a likeness that nobody judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.ledger import Ledger
from vetset.records import ListEntry, Question, Ruling, Sealed, Signal
from vetset.stages.verify import WORD, Asked
from vetset.vault import Vault

#: The journal's step.
CANDIDATES = "candidates"
#: What a platform says of a picture that a run is to find.
FOUND = frozenset({Ruling.CSAM, Ruling.HARMFUL})
_MAIN = re.compile(r"(?!.*\.\d+\.age$)(.+)\.age")


@dataclass(slots=True, repr=False)
class Candidates:
    """All pictures with their fingerprints; `files` are SHA-256 of their bytes, by the fingerprint's name."""

    questions: dict[str, Question] = field(default_factory=dict)
    files: dict[str, set[bytes]] = field(default_factory=dict)
    pictures: int = 0

    def to_ask(self, kinds: Collection[str], answered: Collection[str]) -> list[Asked]:
        """The fingerprints of some kinds that are not answered yet."""
        return [
            Asked(name, question)
            for name, question in self.questions.items()
            if question.kind in kinds and name not in answered
        ]

    def found(self, words: list[dict[str, Any]]) -> Iterator[tuple[bytes, ListEntry]]:
        """The digests of what was met, and what a list may say of each."""
        said: dict[bytes, ListEntry] = {}
        for line in words:
            if line["what"] == WORD and Ruling(line["ruling"]) in FOUND:
                entry = ListEntry(next(iter(line["match_ids"]), ""), line["ruling"], line["body"])
                said.update((digest, entry) for digest in self.files.get(line["print"], ()) if digest not in said)
        yield from sorted(said.items())


def candidates_of(ledger: Ledger, digests: Vault, key: bytes, quality_floor: int) -> Candidates:
    """Everything that a run kept of its pictures. Raises ShardError for what is damaged."""
    found = Candidates()
    for step, name in _kept(ledger):
        for line in digests.lines(step, name):
            found.pictures += 1
            try:
                digest = bytes.fromhex(line[Signal.SHA256.value])
                for kind, value in _prints(line, quality_floor):
                    sealed = Sealed(value)
                    printed = kernels.print_name_of(kind, sealed, key)
                    found.questions.setdefault(printed, Question(kind, sealed))
                    found.files.setdefault(printed, set()).add(digest)
            except (KeyError, ValueError, TypeError):
                raise ShardError(Trouble.VAULT, f"digests/{step}/{name}.age is damaged") from None
    return found


def _kept(ledger: Ledger) -> Iterator[tuple[str, str]]:
    folder = ledger.root / "digests"
    for path in sorted(folder.glob("*/*.age")):
        if match := _MAIN.fullmatch(path.name):
            yield path.parent.name, match[1]


def _prints(line: Mapping[str, Any], quality_floor: int) -> Iterator[tuple[str, bytes]]:
    """Each view's PDQ as it stands, and fingerprints of other kinds."""
    for _, quality, orientations in line["pdq"]:
        if quality >= quality_floor:
            yield Signal.PDQ.value, bytes.fromhex(orientations)[: kernels.PDQ_BYTES]
    for other in line.get("other", ()):
        for kind, value in other.items():
            yield kind, bytes.fromhex(value)

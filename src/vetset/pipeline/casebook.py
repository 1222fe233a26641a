"""The casebook of a run: its cases as exhibits, and where each stands, replayed from the journal of what was said.

In it: findings gathered from the vault, the journal's lines and what each does to a case, counts by state. Not in it:
states (`cases`), asking (`stages.verify`), who is asked (`wiring`).
Rules: the journal is the truth and the standing is worked out anew each time; a word is of a fingerprint or of named
cases, and counts for every exhibit that holds one of them; rows that are held are no cases, since nothing accuses them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vetset import cases, kernels
from vetset.cases import CaseState, Standing, Word
from vetset.errors import ShardError, Trouble
from vetset.ledger import Ledger
from vetset.pipeline.room import held_rows
from vetset.records import Case, Exhibit, Hit, Question, Ruling, ScreenOutcome, Sealed, Shard
from vetset.stages.match import PRINTS
from vetset.stages.verify import WORD, Asked, exhibits, questions
from vetset.vault import RunKeys, Vault
from vetset.vault.journal import Journal

#: The journal's step: what was sent to bodies that judge, and what they said.
VERIFY = "verify"
#: Lines of the journal beside those of the stage.
BUNDLED, WITHDRAWN, REPORTED, POLICY = "bundled", "withdrawn", "reported", "policy"
_STEPS = ("screen", "match", "expand")
#: States in which a body's word may still change what a case is.
OPEN_STATES = frozenset({CaseState.UNVERIFIED, CaseState.SENT, CaseState.UNDECIDED, CaseState.UNREACHABLE})
#: States in which a body accuses, whatever a list does.
ACCUSED = frozenset({CaseState.CONFIRMED, CaseState.HARMFUL_NOT_ILLEGAL, CaseState.REPORTED, CaseState.TEST})


def was_verified(ledger: Ledger) -> bool:
    """Whether anything of a run was ever sent to a body, or said by one."""
    return (ledger.root / f"vault/{VERIFY}").is_dir()


@dataclass(slots=True, repr=False)
class Casebook:
    """The cases of a run, with what its journal says of them.

    `with_sandboxes`: whether what a sandbox said, and what one was told, counts. It does in a rehearsal only: no live
    body is spared a question, and no authority told anything, because of it.
    """

    ledger: Ledger
    vault: Vault
    keys: RunKeys
    shards: Sequence[Shard]
    with_sandboxes: bool = True
    exhibits: list[Exhibit] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)  # by exhibit
    journal: Journal = field(init=False)
    _words: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by exhibit

    def __post_init__(self) -> None:
        self.journal = Journal(self.vault, self.ledger.sink, VERIFY)
        self.exhibits = exhibits(self._cases(), self._name)
        self.replay()

    def state(self, exhibit: Exhibit) -> CaseState:
        return self.standings[exhibit.id].state

    def open_exhibits(self) -> list[Exhibit]:
        """Those that no body has settled."""
        return [exhibit for exhibit in self.exhibits if self.state(exhibit) in OPEN_STATES]

    def in_state(self, *states: CaseState) -> list[Exhibit]:
        return [exhibit for exhibit in self.exhibits if self.state(exhibit) in states]

    def to_ask(self, body: str, kinds: Iterable[str]) -> list[Asked]:
        """The fingerprints that a body is to be asked about: of open cases, and not answered by it yet."""
        words = (line for line in self.lines if line["what"] == WORD and line["body"] == body)
        answered = {line["print"] for line in words if "print" in line}
        return questions(self.open_exhibits(), frozenset(kinds), answered & self._prints())

    def counts(self) -> Counter[str]:
        """Cases by state."""
        return Counter(
            {
                state.value: sum(len(exhibit.cases) for exhibit in self.in_state(state))
                for state in CaseState
                if self.in_state(state)
            }
        )

    def words_about(self, exhibit: Exhibit) -> list[dict[str, Any]]:
        """The lines of the journal that are words about an exhibit, in order."""
        return self._words.get(exhibit.id, [])

    # --- findings ----------------------------------------------------------------------------------------------------

    def _name(self, case_id: str) -> str:
        return hmac.new(self.keys.case_key, b"exhibit\x00" + case_id.encode(), hashlib.sha256).hexdigest()[:32]

    def _cases(self) -> list[Case]:
        return [case for shard in self.shards for case in self._cases_of(shard)]

    def _cases_of(self, shard: Shard) -> Iterator[Case]:
        held = self._held(shard)
        found: dict[int, list[Hit]] = defaultdict(list)
        for step in _STEPS:
            if self.ledger.done(step, shard.id) is not None:
                for hit in self.vault.hits(step, shard):
                    if step == "screen" or hit.row not in held:
                        found[hit.row].append(hit)
        for row in sorted(found):
            yield self._case(shard, row, found[row])

    def _held(self, shard: Shard) -> frozenset[int]:
        settled = (self.ledger.root / f"vault/held/{shard.id}.age").is_file()
        return frozenset(held_rows(self.vault, shard).tolist()) if settled else frozenset()

    def _case(self, shard: Shard, row: int, hits: Sequence[Hit]) -> Case:
        """The findings about one row; the address of the last one that knows the bytes, which knows the columns too."""
        address = next((hit.address for hit in reversed(hits) if PRINTS in hit.noted), hits[-1].address)
        return Case(
            id=kernels.case_id_of(shard.id, row, self.keys.case_key),
            shard_id=shard.id,
            row=row,
            outcome=min((hit.outcome for hit in hits), key=list(ScreenOutcome).index),
            address=address,
            matches=tuple(match for hit in hits for match in hit.matches),
            prints=dict(self._prints_of(hits)),
            likenesses=kernels.likenesses(address, self.keys.case_key),
        )

    def _prints_of(self, hits: Iterable[Hit]) -> Iterator[tuple[str, Question]]:
        for hit in hits:
            for prints in hit.noted.get(PRINTS, ()):
                for kind, value in sorted(prints.items()):
                    if not isinstance(value, Sealed):
                        raise ShardError(Trouble.VAULT, "a fingerprint among the findings is damaged")
                    yield kernels.print_name_of(kind, value, self.keys.case_key), Question(kind, value)

    def _prints(self) -> set[str]:
        return {name for exhibit in self.exhibits for name in exhibit.prints}

    # --- the journal -------------------------------------------------------------------------------------------------

    def ask_of(self, parties: int) -> None:
        """So many independent parties are needed to confirm what is said from now on."""
        said = [line["parties"] for line in self.journal.lines if line["what"] == POLICY]
        if parties != (said[-1] if said else 1):
            self.append([{"what": POLICY, "parties": parties}])

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of the journal that count."""
        return [line for line in self.journal.lines if self.with_sandboxes or line.get("live", True)]

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Notes lines and replays."""
        self.journal.append(lines)
        self.replay()

    def replay(self) -> None:
        """Where every exhibit stands, from the first line to the last."""
        self.standings = {exhibit.id: Standing() for exhibit in self.exhibits}
        self._words = defaultdict(list)
        by_print, by_case = defaultdict(list), dict[str, str]()
        for exhibit in self.exhibits:
            by_case.update((case.id, exhibit.id) for case in exhibit.cases)
            for name in exhibit.prints:
                by_print[name].append(exhibit.id)
        parties = 1
        for line in self.lines:
            parties = int(line.get("parties", parties))
            prints = [line["print"]] if "print" in line else line.get("prints", ())
            about = {exhibit for name in prints for exhibit in by_print[name]}
            about |= {by_case[case] for case in line.get("cases", ()) if case in by_case}
            for exhibit_id in about:
                if line["what"] == WORD:
                    self._words[exhibit_id].append(line)
                self.standings[exhibit_id] = _after(self.standings[exhibit_id], line, parties)


def _after(standing: Standing, line: Mapping[str, Any], parties: int) -> Standing:
    """Where a case stands after a line about it."""
    if line["what"] == WORD:
        word = Word(line["party"], Ruling(line["ruling"]), by_people=bool(line["people"]))
        return cases.told(standing, word, parties)
    if line["what"] == REPORTED:
        return standing if standing.state is CaseState.REPORTED else cases.reported(standing)
    return cases.withdrawn(standing) if line["what"] == WITHDRAWN else cases.sent(standing)

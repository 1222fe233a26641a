"""What the sources of a list gave: keys by signal and form, what is said of some, and each source's account.

In it: `Gathered`, which the readers fill and `compiling` takes. Not in it: order and duplicates, settled there.
Rules: a URL leaves here as the digests of its forms, its text is not kept; 10 million bare digests stay one buffer.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vetset import kernels
from vetset.hashlists.account import Account, Reason
from vetset.records import URL_ALGORITHM, ListEntry, Signal, UrlForm

#: A table of the list: a signal, and for raw `url` entries the form its keys are digests of.
Slot = tuple[Signal, UrlForm | None]

BARE = ListEntry()


class Holder(Protocol):
    """What a reader of sources fills: `Gathered`, or `exchange.Collected`, which compares with what was known."""

    def hold(self, signal: Signal, value: bytes, entry: ListEntry = ..., /) -> Reason | None: ...
    def hold_bare(self, signal: Signal, joined: bytes, /) -> None: ...


@dataclass(slots=True, repr=False)
class Keys:
    """The keys of one slot in the order they came, joined, and the entries said of some of them, by place."""

    joined: bytearray = field(default_factory=bytearray)
    places: array[int] = field(default_factory=lambda: array("q"))
    entry_ids: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def append(self, key: bytes, entry: ListEntry) -> None:
        if entry != BARE:
            self.places.append(len(self.joined) // len(key))
            self.entry_ids.append(entry.entry_id)
            self.categories.append(entry.category)
            self.sources.append(entry.source)
        self.joined += key


@dataclass(slots=True, repr=False)
class Gathered:
    """Everything the sources gave. `url_forms` are the spellings under which addresses are to be compared."""

    url_forms: frozenset[UrlForm] = frozenset(UrlForm)
    keys: dict[Slot, Keys] = field(default_factory=dict)
    accounts: list[Account] = field(default_factory=list)

    def account(self, source: str) -> Account:
        """A new account, for a source about to be read."""
        self.accounts.append(Account(source))
        return self.accounts[-1]

    def hold(self, signal: Signal, value: bytes, entry: ListEntry = BARE) -> Reason | None:
        """Takes a value of `value.value_of`; answers the reason where no key can be made of it."""
        made = self._keys_of(signal, value)
        for slot, key in made.items():
            self.keys.setdefault(slot, Keys()).append(key, entry)
        return None if made else Reason.NO_URL_FORM

    def hold_bare(self, signal: Signal, joined: bytes) -> None:
        """Takes many digests of a signal at once, joined, of which nothing more is said."""
        self.keys.setdefault((signal, None), Keys()).joined += joined

    def _keys_of(self, signal: Signal, value: bytes) -> Mapping[Slot, bytes]:
        if signal is not Signal.URL:
            return {(signal, None): value}
        spelled = {form: kernels.FORM_OF[form](value) for form in self.url_forms}
        algorithm = URL_ALGORITHM[signal]
        return {(signal, form): kernels.digest_of(text, algorithm) for form, text in spelled.items() if text}

    def forms_of(self, slot: Slot) -> frozenset[UrlForm]:
        """The forms of an address that a slot's keys are compared with; none for signals of pictures."""
        signal, form = slot
        if form is not None:
            return frozenset({form})
        return self.url_forms if signal in URL_ALGORITHM else frozenset()

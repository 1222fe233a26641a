"""Screen: every row one outcome, every match of every list, every value compared counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import CANARY, EMPTY_MD5, batch
from vetset import kernels
from vetset.config import Rule
from vetset.records import (
    DIGEST_COLUMNS,
    URL_ALGORITHM,
    Column,
    ListEntry,
    Match,
    RowBatch,
    ScreenOutcome,
    SealedBatch,
    Signal,
    StageResult,
    UrlForm,
)
from vetset.stages.screen import (
    CODES,
    Comparison,
    Screened,
    ScreenSettings,
    columns_needed,
    screen,
    table_of,
)
from vetset.testing.lists import MemoryList

NO_POLICY = ScreenSettings()
PICTURE = b"picture"
MD5, SHA1, SHA256 = (hashlib.new(name, PICTURE, usedforsecurity=False).digest() for name in ("md5", "sha1", "sha256"))
URL = b"HTTPS://Example.org/a.jpg?"


def hexed(digest: bytes) -> bytes:
    return digest.hex().encode()


def listed(signal: Signal, *keys: bytes, name: str = "list", forms: Iterable[UrlForm] = UrlForm) -> MemoryList:
    return MemoryList(name, 1, {signal: {key: [] for key in keys}}, forms=forms)


def screened(rows: RowBatch, *lists: MemoryList, rules: Sequence[Rule] = ()) -> StageResult[Screened]:
    return screen(rows, lists, ScreenSettings(tuple(rules)), shard_id="part-0")


def outcomes(result: StageResult[Screened]) -> list[str]:
    """The outcome of each row, from its base and the hits."""
    found = [CODES[code].value for code in result.onward.base]
    for hit in result.onward.hits:
        found[hit.row] = hit.outcome.value
    return found


def keys_of(match: Match) -> tuple[str, Signal, UrlForm | None, str]:
    return match.list_name, match.signal, match.form, match.entry.entry_id


# --- outcomes and their precedence --------------------------------------------------------------------------------


def test_a_row_is_hit_clear_or_not_assessable() -> None:
    rows = batch(md5=[hexed(MD5), hexed(bytes(16)), None, b"", b"no digest", hexed(MD5).upper()])
    result = screened(rows, listed(Signal.MD5, MD5))
    assert outcomes(result) == ["hit", "clear", "not_assessable", "not_assessable", "not_assessable", "hit"]
    assert result.tally == {"hit": 2, "clear": 1, "not_assessable": 3}


def test_a_hit_outranks_policy_and_policy_outranks_the_rest() -> None:
    rows = batch(
        md5=[hexed(MD5), hexed(bytes(16)), None, hexed(MD5), hexed(bytes(16)), None],
        punsafe=[0.99, 0.99, 0.99, 0.1, 0.1, 0.1],
    )
    result = screened(rows, listed(Signal.MD5, MD5), rules=[Rule(punsafe_above=0.5)])
    assert outcomes(result) == ["hit", "policy", "policy", "hit", "clear", "not_assessable"]
    bases = [CODES[code] for code in result.onward.base]
    assert bases == ["policy", "policy", "policy", "clear", "clear", "not_assessable"]


def test_without_lists_nothing_can_be_assessed() -> None:
    result = screened(batch(md5=[hexed(MD5)], url=[URL]))
    assert outcomes(result) == ["not_assessable"]
    assert not result.onward.compared


def test_a_list_of_another_signal_does_not_make_a_row_assessable() -> None:
    rows = batch(md5=[hexed(MD5)], sha256=[None])
    assert outcomes(screened(rows, listed(Signal.SHA256, SHA256))) == ["not_assessable"]
    assert outcomes(screened(rows, listed(Signal.PDQ, bytes(32)))) == ["not_assessable"]


def test_one_value_that_can_be_compared_makes_a_row_assessable() -> None:
    rows = batch(md5=[None, b"bad", hexed(MD5)], url=[b"http://a/", None, b""])
    result = screened(rows, listed(Signal.MD5, bytes(16)), listed(Signal.URL_SHA1, bytes(20)))
    assert outcomes(result) == ["clear", "not_assessable", "clear"]


def test_an_empty_table_is_still_compared_with() -> None:
    result = screened(batch(md5=[hexed(MD5), None]), listed(Signal.MD5))
    assert outcomes(result) == ["clear", "not_assessable"]
    assert result.onward.compared == {Comparison("md5", "list", Signal.MD5): 1}


def test_the_digest_of_nothing_is_a_hit_where_a_list_holds_it() -> None:
    rows = batch(md5=[EMPTY_MD5])
    assert outcomes(screened(rows, listed(Signal.MD5, bytes.fromhex(EMPTY_MD5.decode())))) == ["hit"]


def test_a_batch_without_rows_gives_nothing() -> None:
    result = screened(batch(md5=[], url=[]), listed(Signal.MD5, MD5), listed(Signal.URL, URL))
    assert (result.onward.hits, result.tally.rows(), len(result.onward.base)) == ([], 0, 0)


# --- hits and their reasons ---------------------------------------------------------------------------------------


def test_a_hit_names_its_row_in_the_shard_and_keeps_its_address_sealed() -> None:
    rows = batch(first_row=100, md5=[None, hexed(MD5)], url=[None, URL])
    (hit,) = screened(rows, listed(Signal.MD5, MD5)).onward.hits
    assert (hit.shard_id, hit.row, hit.outcome) == ("part-0", 101, ScreenOutcome.HIT)
    assert hit.address.unseal().url == URL
    assert hit.address.unseal().digests == {Signal.MD5: MD5}


def test_every_match_of_every_list_is_kept() -> None:
    one = MemoryList(
        "one", 3, {Signal.MD5: {MD5: [ListEntry("a"), ListEntry("b")]}, Signal.SHA1: {SHA1: [ListEntry("c")]}}
    )
    two = MemoryList("two", 9, {Signal.MD5: {MD5: []}, Signal.URL: {URL: [ListEntry("u")]}}, forms=[UrlForm.RAW])
    rows = batch(url=[URL], md5=[hexed(MD5)], sha1=[hexed(SHA1)], sha256=[hexed(SHA256)])
    (hit,) = screened(rows, one, two).onward.hits
    assert [keys_of(match) for match in hit.matches] == [
        ("one", Signal.MD5, None, "a"),
        ("one", Signal.MD5, None, "b"),
        ("two", Signal.MD5, None, ""),
        ("one", Signal.SHA1, None, "c"),
        ("two", Signal.URL, UrlForm.RAW, "u"),
    ]
    assert {match.list_name: match.list_version for match in hit.matches} == {"one": 3, "two": 9}
    assert [match.key.unseal() for match in hit.matches[:1]] == [MD5]


class SilentList(MemoryList):
    """A list that holds keys and says nothing of them."""

    def entries(self, table: int, position: int) -> Sequence[ListEntry]:
        return super().entries(table, position)[:0]


def test_a_key_of_which_the_list_says_nothing_is_a_hit_all_the_same() -> None:
    (hit,) = screened(batch(md5=[hexed(MD5)]), SilentList("silent", 1, {Signal.MD5: {MD5: []}})).onward.hits
    assert [keys_of(match) for match in hit.matches] == [("silent", Signal.MD5, None, "")]


def test_one_entry_hits_every_row_that_bears_it() -> None:
    rows = batch(md5=[hexed(MD5)] * 3, url=[URL, None, b"http://b/"])
    result = screened(rows, MemoryList("list", 1, {Signal.MD5: {MD5: [ListEntry("a")]}}))
    assert [(hit.row, keys_of(hit.matches[0])[3]) for hit in result.onward.hits] == [(0, "a"), (1, "a"), (2, "a")]


@pytest.mark.parametrize(
    ("url", "forms"),
    [
        (URL, {"raw", "tx", "whatwg"}),
        (b"https://example.org/a.jpg?", {"tx", "whatwg"}),
        (b"http://example.org/A.JPG", {"tx"}),
        (b"https://EXAMPLE.ORG:443/a.jpg?", {"whatwg"}),
        (b"https://example.org/b.jpg", set()),
        (b"\xff", set()),
    ],
)
def test_a_hit_says_under_which_forms_the_address_met_the_entry(url: bytes, forms: set[str]) -> None:
    hits = screened(batch(url=[url]), listed(Signal.URL, URL)).onward.hits
    assert {match.form for hit in hits for match in hit.matches} == forms


@pytest.mark.parametrize("signal", [signal for signal in URL_ALGORITHM if signal is not Signal.URL])
@pytest.mark.parametrize("form", UrlForm)
def test_a_digest_of_a_form_is_found_under_that_form(signal: Signal, form: UrlForm) -> None:
    spelled = kernels.FORM_OF[form](URL)
    assert spelled is not None
    key = kernels.digest_of(spelled, URL_ALGORITHM[signal])
    (hit,) = screened(batch(url=[URL]), listed(signal, key)).onward.hits
    assert [(match.signal, match.form, match.key.unseal()) for match in hit.matches] == [(signal, form, key)]
    others = [other for other in UrlForm if other != form]
    assert not screened(batch(url=[URL]), listed(signal, key, forms=others)).onward.hits


def test_no_result_shows_a_value() -> None:
    text = CANARY.decode()
    rows = batch(url=[CANARY], md5=[hexed(MD5)])
    result = screened(rows, MemoryList("list", 1, {Signal.URL: {CANARY: [ListEntry(text)]}, Signal.MD5: {MD5: []}}))
    assert result.onward.hits
    for thing in (result, result.onward, result.onward.hits, table_of(result.onward)):
        assert text not in repr(thing) + str(thing)
        assert MD5.hex() not in repr(thing) + str(thing)


# --- what was compared, blank and malformed -----------------------------------------------------------------------


def test_values_are_counted_for_each_column_and_list() -> None:
    rows = batch(md5=[hexed(MD5), None, b"bad"], sha1=[hexed(SHA1)] * 3, url=[URL, b"", b"a"])
    one = listed(Signal.MD5, MD5, name="one")
    two = MemoryList(
        "two", 1, {Signal.MD5: {}, Signal.URL_MD5: {}, Signal.URL: {}}, forms=[UrlForm.WHATWG, UrlForm.RAW]
    )
    assert screened(rows, one, two).onward.compared == {
        Comparison("md5", "one", Signal.MD5): 1,
        Comparison("md5", "two", Signal.MD5): 1,
        Comparison("url (raw)", "two", Signal.URL): 2,
        Comparison("url (raw)", "two", Signal.URL_MD5): 2,
        Comparison("url (whatwg)", "two", Signal.URL): 1,
        Comparison("url (whatwg)", "two", Signal.URL_MD5): 1,
    }


def test_blank_and_malformed_are_two_things() -> None:
    rows = batch(md5=[None, b"", b"bad", hexed(MD5), b" "], url=[None, b"", b"\xff", b"no url", b"http://a/"])
    result = screened(rows, MemoryList("list", 1, {Signal.MD5: {}, Signal.URL_MD5: {}, Signal.URL: {}})).onward
    assert result.blank == {"md5": 2, "url (raw)": 2, "url (tx)": 2, "url (whatwg)": 2}
    assert result.malformed == {"md5": 2, "url (raw)": 0, "url (tx)": 1, "url (whatwg)": 2}


def test_the_small_table_says_all_of_it_in_order() -> None:
    rows = batch(md5=[None, b"bad", hexed(MD5)], sha1=[hexed(SHA1)] * 3)
    lists = [listed(signal, name=name) for name in ("b", "a") for signal in (Signal.SHA1, Signal.MD5)]
    result = screened(rows, *lists)
    lines = [tuple(line.values()) for line in table_of(result.onward).to_pylist()]
    assert lines == [
        ("md5", "a", "md5", 1, None, None),
        ("md5", "b", "md5", 1, None, None),
        ("sha1", "a", "sha1", 3, None, None),
        ("sha1", "b", "sha1", 3, None, None),
        ("md5", None, None, None, 1, 1),
        ("sha1", None, None, None, 0, 0),
    ]


# --- only what is needed ------------------------------------------------------------------------------------------


def test_only_columns_that_a_list_or_rule_can_use_are_needed() -> None:
    assert columns_needed([], NO_POLICY) == set()
    assert columns_needed([listed(Signal.PDQ, bytes(32))], NO_POLICY) == set()
    assert columns_needed([listed(Signal.SHA1), listed(Signal.URL_MD5)], NO_POLICY) == {Column.SHA1, Column.URL}
    rules = (Rule(punsafe_above=0.5, nsfw=("NSFW",)), Rule(hosts=("a.example",)), Rule(words_file="w", words=("w",)))
    assert columns_needed([], ScreenSettings(rules)) == {Column.PUNSAFE, Column.NSFW, Column.URL, Column.TEXT}


class Counting:
    """Counts the calls of a kernel by what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.asked: list[object] = []
        self._kernel = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, self)

    def __call__(self, values: SealedBatch, what: object, *rest: object) -> Any:
        self.asked.append(what)
        return self._kernel(values, what, *rest)


def test_only_needed_forms_and_columns_are_computed_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    forms, columns, algorithms = (
        Counting(monkeypatch, name) for name in ("url_values", "recorded_digests", "digests_of")
    )
    rows = batch(url=[URL], md5=[hexed(MD5)], sha1=[hexed(SHA1)], sha256=[hexed(SHA256)])
    lists = [
        MemoryList("one", 1, {Signal.URL: {}, Signal.URL_SHA256: {}, Signal.SHA1: {}}, forms=[UrlForm.TX]),
        MemoryList("two", 1, {Signal.URL_SHA256: {}, Signal.URL_MD5: {}, Signal.SHA1: {}}, forms=[UrlForm.TX]),
    ]
    screened(rows, *lists)
    assert forms.asked == [UrlForm.TX]
    assert columns.asked == [Column.SHA1]
    assert sorted(str(name) for name in algorithms.asked) == ["md5", "sha256"]


# --- policy -------------------------------------------------------------------------------------------------------


POLICY_ROWS: dict[str, Any] = {
    "punsafe": [0.99, 0.99, 0.5, 0.5, 0.45, 0.1, None, float("nan")],
    "text": [b"a ripe PLUM", b"a pear", b"plum", b"pear", b"plum", None, b"plum", b"plum"],
    "url": [b"http://a.example/"] * 8,
}


def test_a_rule_asks_for_all_its_conditions_and_a_policy_for_any_rule() -> None:
    words = Rule(punsafe_above=0.95, words_file="own.txt", words=("plum",))
    research = screened(batch(**POLICY_ROWS), rules=[words])
    assert [what == "policy" for what in outcomes(research)] == [True] + [False] * 7
    safe = screened(batch(**POLICY_ROWS), rules=[words, Rule(punsafe_above=0.45)])
    assert [what == "policy" for what in outcomes(safe)] == [True] * 4 + [False] * 4


def test_all_four_conditions_are_asked() -> None:
    rows = batch(
        punsafe=[0.9, 0.9, 0.9, 0.9, 0.1],
        nsfw=[b"nsfw", b"nsfw", b"nsfw", b"unlikely", b"nsfw"],
        url=[
            b"http://img.A.example/",
            b"http://a.example/",
            b"http://b.example/",
            b"http://a.example/",
            b"http://a.example/",
        ],
        text=[b"plum", b"pear", b"plum", b"plum", b"plum"],
    )
    rule = Rule(punsafe_above=0.5, nsfw=("NSFW",), hosts=("a.example",), words_file="own.txt", words=("plum",))
    assert outcomes(screened(rows, rules=[rule])) == ["policy"] + ["not_assessable"] * 4


@pytest.mark.parametrize("missing", ["punsafe", "text"])
def test_a_rule_whose_column_is_missing_is_never_met(missing: str) -> None:
    columns = {name: values for name, values in POLICY_ROWS.items() if name != missing}
    rows = batch(**columns)
    rule = Rule(punsafe_above=0.0, words_file="own.txt", words=("plum",))
    assert "policy" not in outcomes(screened(rows, rules=[rule]))


def test_another_rule_still_counts_where_the_first_lacks_its_column() -> None:
    rows = batch(url=[b"http://a.example/", b"http://b.example/"])
    rules = [Rule(punsafe_above=0.0), Rule(hosts=("A.example",))]
    assert outcomes(screened(rows, rules=rules)) == ["policy", "not_assessable"]


@pytest.mark.parametrize(
    "rule", [Rule(), Rule(words_file="never read.txt"), Rule(punsafe_above=0.0, words_file="never read")]
)
def test_a_rule_that_lacks_what_it_needs_never_takes_every_row(rule: Rule) -> None:
    assert "policy" not in outcomes(screened(batch(**POLICY_ROWS), rules=[rule]))


# --- the law of the books, and the definition ---------------------------------------------------------------------

KEYS = [hashlib.md5(bytes([n]), usedforsecurity=False).digest() for n in range(4)]
URLS = [b"http://a.example/1", b"HTTP://A.example/1", b"https://b.example/?", b"//c", b"\xff"]
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*map(hexed, KEYS), hexed(KEYS[0]).upper(), b"", b"bad", None]),
        st.sampled_from([*URLS, b"", None]),
        st.sampled_from([0.1, 0.9, None, float("nan")]),
    ),
    max_size=12,
)
LISTS = st.lists(st.tuples(st.sets(st.sampled_from(KEYS)), st.sets(st.sampled_from(URLS))), max_size=3)


def spelled(url: bytes | None) -> list[bytes]:
    made = [kernels.FORM_OF[form](url) for form in UrlForm if url is not None]
    return [text for text in made if text is not None]


def defined(row: tuple[Any, Any, Any], lists: Sequence[tuple[set[bytes], set[bytes]]]) -> str:
    """Slow and obvious: the outcome of a row from the lists as sets; every list here has both signals."""
    digest = kernels.hex_digest_of(row[0], 16)
    for keys, urls in lists:
        if digest in keys or set(spelled(row[1])) & {text for url in urls for text in spelled(url)}:
            return "hit"
    if row[2] == 0.9:
        return "policy"
    return "clear" if lists and (digest is not None or spelled(row[1])) else "not_assessable"


@given(ROWS, LISTS)
def test_every_row_has_the_one_outcome_that_the_sets_say(
    rows: list[tuple[Any, Any, Any]], lists: list[tuple[set[bytes], set[bytes]]]
) -> None:
    columns: dict[str, Any] = {
        name: [row[place] for row in rows] for place, name in enumerate(("md5", "url", "punsafe"))
    }
    held = [
        MemoryList(f"list {number}", 1, {Signal.MD5: dict.fromkeys(keys, ()), Signal.URL: dict.fromkeys(urls, ())})
        for number, (keys, urls) in enumerate(lists)
    ]
    result = screened(batch(**columns), *held, rules=[Rule(punsafe_above=0.5)])
    assert outcomes(result) == [defined(row, lists) for row in rows]
    assert result.tally.rows() == len(rows)
    assert dict(result.tally) == Counter(outcomes(result))


def test_every_digest_column_is_compared_as_its_own_signal() -> None:
    rows = batch(md5=[hexed(MD5)], sha1=[hexed(SHA1)], sha256=[hexed(SHA256)])
    for key, signal in zip((MD5, SHA1, SHA256), DIGEST_COLUMNS.values(), strict=True):
        (hit,) = screened(rows, listed(signal, key)).onward.hits
        assert [match.signal for match in hit.matches] == [signal]

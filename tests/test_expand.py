"""Expand: the joins of a shard, the bearers found in them, their confirmation, and the end for a shard."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import CANARY, EMPTY_MD5, EMPTY_SHA256
from tests.searching import CODES, KEY, Row, batch_of, borne_of, joins_of, looked_up, part_of
from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.records import Borne, Column, Hit, ScreenOutcome, Sealed
from vetset.stages import expand

URL_AND_MD5 = (Column.URL, Column.MD5)
BASES = (ScreenOutcome.POLICY, ScreenOutcome.NOT_ASSESSABLE, ScreenOutcome.CLEAR)


def url_row(url: bytes | None, base: ScreenOutcome = ScreenOutcome.CLEAR) -> Row:
    return Row({"url": url}, base=base)


def urls(*values: bytes | None) -> list[Row]:
    return [url_row(value) for value in values]


def borne(url: bytes) -> Borne:
    return Borne(Column.URL, Sealed(url))


def numbers(*rows: int) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64)


def trouble_of(buffer: bytes, rows: int) -> Trouble:
    with pytest.raises(ShardError) as error:
        expand.Joins(buffer, rows)
    return error.value.trouble


# --- joins --------------------------------------------------------------------------------------------------------

MANY_ROWS = st.lists(
    st.builds(
        lambda url, md5, base: Row({"url": url, "md5": md5}, base=base),
        st.sampled_from([None, b"", b"a", b"b"]),
        st.sampled_from([None, b"", b"0" * 32, EMPTY_MD5, b"bad"]),
        st.sampled_from(BASES),
    ),
    max_size=12,
)


@given(MANY_ROWS, st.sets(st.sampled_from(expand.SPREADING)), st.integers(1, 5))
def test_joins_give_back_what_was_written(rows: list[Row], columns: set[Column], chunk_rows: int) -> None:
    ordered = [column for column in Column if column in columns]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expand, "_CHUNK_ROWS", chunk_rows)
        joins = joins_of(rows, ordered or [Column.TEXT]) if columns else joins_of(rows, [Column.TEXT])
        chunks = list(joins.chunks())
        counts = joins.base_counts()
    assert joins.columns == columns
    assert [first for first, _ in chunks] == list(range(0, len(rows), chunk_rows))
    assert sum(len(chunk) for _, chunk in chunks) == len(rows)
    for column in columns:
        hashes = [int(value) for _, chunk in chunks for value in chunk[column.value]]
        assert hashes == kernels.keyed_hashes(batch_of(rows, ordered).values, column, KEY).tolist()
    assert counts == [sum(row.base == code for row in rows) for code in CODES]


def test_joins_of_many_batches_are_those_of_one() -> None:
    rows = urls(b"a", b"b", None, b"a", b"c")
    bases = np.full(5, CODES.index(ScreenOutcome.CLEAR), np.uint8)
    columns = frozenset({Column.URL})
    whole = expand.join_rows(batch_of(rows, [Column.URL]), bases, columns, KEY)
    pieces = [expand.join_rows(batch_of(rows[:2], [Column.URL]), bases[:2], columns, KEY)]
    pieces.append(expand.join_rows(batch_of(rows[2:], [Column.URL]), bases[2:], columns, KEY))
    assert b"".join(pieces) == whole


@pytest.mark.parametrize("place", range(len(expand.SPREADING)))
def test_the_header_has_one_bit_for_each_column(place: int) -> None:
    header = expand.join_header(frozenset({expand.SPREADING[place]}))
    assert len(header) == 16
    assert int.from_bytes(header[8:], "little") == 1 << place


def joins_bytes(rows: list[Row]) -> bytes:
    bases = np.full(len(rows), CODES.index(ScreenOutcome.CLEAR), np.uint8)
    columns = frozenset(URL_AND_MD5)
    return expand.join_header(columns) + expand.join_rows(batch_of(rows, URL_AND_MD5), bases, columns, KEY)


def test_joins_hold_no_value_of_a_row() -> None:
    written = joins_bytes([Row({"url": CANARY, "md5": b"00" * 16})])
    assert CANARY not in written
    assert hashlib.blake2b(CANARY, digest_size=8).digest() not in written


@given(st.data())
def test_joins_cut_short_or_drawn_out_are_refused(data: st.DataObject) -> None:
    written = joins_bytes(urls(b"a", b"b", b"c"))
    cut = data.draw(st.integers(0, len(written) - 1))
    assert trouble_of(written[:cut], 3) in {Trouble.COUNTS_DISAGREE, Trouble.UNREADABLE}
    assert trouble_of(written + bytes(data.draw(st.integers(1, 40))), 3) == Trouble.COUNTS_DISAGREE


@pytest.mark.parametrize("rows", [0, 2, 4, 10**9])
def test_joins_for_another_number_of_rows_are_refused(rows: int) -> None:
    assert trouble_of(joins_bytes(urls(b"a", b"b", b"c")), rows) == Trouble.COUNTS_DISAGREE


@pytest.mark.parametrize("place", range(16))
def test_a_damaged_header_is_refused(place: int) -> None:
    damaged = bytearray(joins_bytes(urls(b"a", b"b")))
    damaged[place] ^= 0x88
    assert trouble_of(bytes(damaged), 2) in {Trouble.UNREADABLE, Trouble.COUNTS_DISAGREE}


def test_an_outcome_that_does_not_exist_is_damage() -> None:
    damaged = bytearray(joins_bytes(urls(b"a", b"b")))
    damaged[-1] = 200
    with pytest.raises(ShardError) as error:
        expand.Joins(bytes(damaged), 2).base_counts()
    assert error.value.trouble == Trouble.UNREADABLE


def test_a_shard_without_rows_has_joins_too() -> None:
    joins = expand.Joins(joins_bytes([]), 0)
    assert list(joins.chunks()) == []
    assert joins.base_counts() == [0] * len(CODES)


# --- bearers ------------------------------------------------------------------------------------------------------


def test_bearers_are_counted_and_named_by_row() -> None:
    joins = joins_of(urls(b"a", b"b", b"a", None, b"", b"a"), [Column.URL])
    found = expand.find_bearers(joins, [borne(b"a"), borne(b"b"), borne(b"z")], KEY, limit=10)
    assert found.counts == [3, 1, 0]
    assert found.rows == [[0, 2, 5], [1], []]
    assert expand.candidates(found, 10).tolist() == [0, 1, 2, 5]


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_beyond_the_limit_only_the_count_goes_on(monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    monkeypatch.setattr(expand, "_CHUNK_ROWS", chunk_rows)
    joins = joins_of(urls(*[b"a"] * 9, b"b"), [Column.URL])
    found = expand.find_bearers(joins, [borne(b"a"), borne(b"b")], KEY, limit=3)
    assert found.counts == [9, 1]
    assert found.rows[0] == [0, 1, 2, 3]
    assert expand.candidates(found, 3).tolist() == [9]


def test_a_value_is_looked_for_in_its_own_column_alone() -> None:
    digest = b"0" * 32
    joins = joins_of([Row({"url": digest, "md5": None}), Row({"url": None, "md5": digest})], URL_AND_MD5)
    asked = [borne(digest), Borne(Column.MD5, Sealed(bytes(16))), Borne(Column.SHA1, Sealed(bytes(20)))]
    assert expand.find_bearers(joins, asked, KEY, limit=5).rows == [[0], [1], []]


def test_digests_meet_whatever_their_spelling_in_the_column() -> None:
    digest = hashlib.md5(b"picture", usedforsecurity=False).digest()
    spellings = [digest.hex().encode(), digest.hex().upper().encode(), b" " + digest.hex().encode() + b"\n", b"bad"]
    joins = joins_of([Row({"md5": spelling}) for spelling in spellings], [Column.MD5])
    assert expand.find_bearers(joins, [Borne(Column.MD5, Sealed(digest))], KEY, limit=5).rows == [[0, 1, 2]]


def test_nothing_asked_finds_nothing() -> None:
    found = expand.find_bearers(joins_of(urls(b"a"), [Column.URL]), [], KEY, limit=5)
    assert (found.counts, found.rows, expand.candidates(found, 5).tolist()) == ([], [], [])


def test_under_another_key_nothing_meets() -> None:
    joins = joins_of(urls(b"a"), [Column.URL], key=b"another key")
    assert expand.find_bearers(joins, [borne(b"a")], KEY, limit=5).counts == [0]


# --- confirmation -------------------------------------------------------------------------------------------------


def same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """All values share one keyed hash; only absence is told apart."""
    hashes = kernels.keyed_hashes
    monkeypatch.setattr(kernels, "keyed_hash", lambda _value, _key: 1)
    monkeypatch.setattr(kernels, "keyed_hashes", lambda *given: (hashes(*given) != 0).astype(np.uint64))


def test_a_row_that_only_shares_a_keyed_hash_is_no_bearer(monkeypatch: pytest.MonkeyPatch) -> None:
    same_hash(monkeypatch)
    part = part_of("part-0", urls(b"a", b"b", None, b"a", b"c"), [Column.URL])
    asked = [borne(b"a"), borne(b"c"), borne(b"z")]
    found = expand.find_bearers(part.joins, asked, KEY, limit=10)
    assert found.counts == [4, 4, 4]
    rows = expand.candidates(found, 10)
    hits = expand.confirm(
        expand.looked_up(looked_up(part.values, rows), rows), asked, found, shard_id="part-0", limit=10
    )
    assert [(hit.row, hit.noted["because"]) for hit in hits] == [(0, [0]), (3, [0]), (4, [1])]
    assert found.counts == [2, 1, 0]


def test_a_confirmed_bearer_carries_its_address_and_all_its_reasons() -> None:
    digest = bytes(range(16))
    part = part_of("part-3", [Row({"url": b"a", "md5": digest.hex().encode()})], URL_AND_MD5)
    asked = [Borne(Column.MD5, Sealed(digest)), borne(b"b"), borne(b"a")]
    found = expand.find_bearers(part.joins, asked, KEY, limit=1)
    addresses = expand.looked_up(looked_up(part.values, numbers(0)), numbers(0))
    (hit,) = expand.confirm(addresses, asked, found, shard_id="part-3", limit=1)
    assert (hit.shard_id, hit.row, hit.outcome, hit.noted["because"]) == ("part-3", 0, ScreenOutcome.EXPANDED, [0, 2])
    assert hit.address.unseal().url == b"a"


@pytest.mark.parametrize("given", [(), (0,), (0, 1, 2)])
def test_a_lookup_that_gives_other_rows_than_asked_is_an_error_and_not_a_miss(given: tuple[int, ...]) -> None:
    part = part_of("part-0", urls(b"a", b"a", b"b"), [Column.URL])
    asked = [borne(b"a")]
    found = expand.find_bearers(part.joins, asked, KEY, limit=5)
    batches = looked_up(part.values, numbers(*given))
    with pytest.raises(ShardError) as error:
        expand.looked_up(batches, expand.candidates(found, 5))
    assert error.value.trouble == Trouble.COUNTS_DISAGREE


# --- the end for one shard ----------------------------------------------------------------------------------------


def bearer(row: int) -> Hit:
    (address,) = kernels.addresses(batch_of(urls(b"a"), [Column.URL]).values, [0])
    return Hit("part-0", row, ScreenOutcome.EXPANDED, address, noted={"because": [0]})


def test_hit_outranks_expanded_expanded_outranks_held_and_held_outranks_policy() -> None:
    policy, unknown = ScreenOutcome.POLICY, ScreenOutcome.NOT_ASSESSABLE
    rows = [
        url_row(b"h", policy),
        url_row(b"h", policy),
        url_row(b"h", policy),
        url_row(b"x", policy),
        url_row(None, unknown),
    ]
    joins = joins_of(rows, [Column.URL])
    bearers = [bearer(0), bearer(1), bearer(1)]
    result = expand.expand(joins, hit_rows=numbers(0), bearers=bearers, held=[borne(b"h")], key=KEY)
    assert [hit.row for hit in result.onward.expanded] == [1]
    assert result.onward.held.tolist() == [2]
    assert result.tally == {"hit": 1, "expanded": 1, "held": 1, "policy": 1, "not_assessable": 1}


def test_the_final_hits_note_no_reason_that_another_round_would_not_know() -> None:
    result = expand.expand(
        joins_of(urls(b"a"), [Column.URL]), hit_rows=numbers(), bearers=[bearer(0)], held=[], key=KEY
    )
    (hit,) = result.onward.expanded
    assert (hit.outcome, dict(hit.noted), hit.matches) == (ScreenOutcome.EXPANDED, {}, ())


def test_a_row_is_held_once_however_many_held_values_it_bears() -> None:
    digest = bytes(range(16))
    rows = [Row({"url": b"h", "md5": digest.hex().encode()}), Row({"url": b"h"}), Row({"url": b"x"})]
    held = [borne(b"h"), Borne(Column.MD5, Sealed(digest)), borne(b"h")]
    result = expand.expand(joins_of(rows, URL_AND_MD5), hit_rows=numbers(), bearers=[], held=held, key=KEY)
    assert result.onward.held.tolist() == [0, 1]
    assert result.tally == {"held": 2, "clear": 1}


def test_without_finds_a_shard_ends_as_it_was() -> None:
    rows = [url_row(b"a"), url_row(b"a", ScreenOutcome.POLICY), url_row(None, ScreenOutcome.NOT_ASSESSABLE)]
    result = expand.expand(joins_of(rows, [Column.URL]), hit_rows=numbers(), bearers=[], held=[], key=KEY)
    assert (result.onward.expanded, result.onward.held.tolist()) == ([], [])
    assert result.tally == {"clear": 1, "policy": 1, "not_assessable": 1}


def test_nothing_shown_of_a_search_holds_a_value() -> None:
    part = part_of("part-0", [Row({"url": CANARY}, hit=True), Row({"url": CANARY})], [Column.URL])
    closure = expand.Closure(KEY, 5)
    closure.seed(part.hits)
    asked = [borne for _, borne in closure.ordered()]
    found = expand.find_bearers(part.joins, asked, KEY, limit=5)
    rows = expand.candidates(found, 5)
    hits = expand.confirm(
        expand.looked_up(looked_up(part.values, rows), rows), asked, found, shard_id="part-0", limit=5
    )
    final = expand.expand(part.joins, hit_rows=numbers(0), bearers=hits, held=asked, key=KEY)
    for thing in (closure, asked, found, hits, expand.ShardBearers(found.counts, hits), final, part.joins):
        assert CANARY.decode() not in repr(thing) + str(thing)
    assert not any(CANARY.decode() in name for name in closure.frontier)


def test_what_fails_or_is_absent_bears_nothing_in_the_oracle_either() -> None:
    assert borne_of(Row({"url": b"", "md5": EMPTY_MD5, "sha1": b"bad", "sha256": EMPTY_SHA256.upper()})) == set()

"""Known plants: every recipe does what it is for, and the expectation is what slow oracles and the kernels say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import oracle
from vetset import kernels
from vetset.records import ScreenOutcome, UrlForm
from vetset.testing.expectation import NOTHING, Entry, Rows, digest_of, expected_outcomes, forms_of
from vetset.testing.plants import ADDRESSES, DIGESTS, SECOND, Plants, plant
from vetset.testing.rows import SPELLINGS, laion_rows, write_shards

WITH_SHA256 = {"URL": "url", "md5": "md5", "sha256": "sha256"}
EMPTY_MD5 = NOTHING["md5"]
A, B, C, D, E = (f"https://www.site.example/{name}.jpg" for name in "abcde")
CANARY = "canary-7f3a"


def tables_of(count: int, shards: int, seed: int, columns: Mapping[str, str] | None = None) -> dict[str, pa.Table]:
    whole = laion_rows(count, seed, columns=columns or SPELLINGS["en-md5"])
    cuts = [count * number // shards for number in range(shards + 1)]
    return {f"part-{n}": whole.slice(cuts[n], cuts[n + 1] - cuts[n]) for n in range(shards)}


@pytest.fixture(scope="module")
def dataset() -> dict[str, pa.Table]:
    return tables_of(24_000, 6, 21)


@pytest.fixture(scope="module")
def planted(dataset: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Plants:
    return plant(dataset, tmp_path_factory.mktemp("lists"), seed=4)


def value(dataset: dict[str, pa.Table], place: tuple[str, int], column: str) -> str:
    found: str = dataset[place[0]][column][place[1]].as_py()
    return found


def entries_of(plants: Plants) -> list[Entry]:
    found = []
    for name, path in plants.lists.items():
        for line in path.read_text("utf-8").splitlines():
            if not line.startswith("#"):
                signal, text = line.split(" ", 1)
                found.append(Entry(name, signal, text))
    return found


def rows_and_lists(dataset: dict[str, pa.Table], plants: Plants) -> tuple[list[oracle.Row], list[dict[str, set]]]:
    rows = []
    for shard in sorted(dataset):
        for line in dataset[shard].to_pylist():
            rows.append({"shard": shard, **{name.lower(): line.get(name) for name in ("URL", "md5", "sha1", "sha256")}})
    lists: dict[str, dict[str, set]] = {}
    for entry in entries_of(plants):
        made = entry.value if entry.signal == "url" else bytes.fromhex(entry.value)
        lists.setdefault(entry.list_name, {}).setdefault(entry.signal, set()).add(made)
    return rows, list(lists.values())


# --- against two independent definitions ----------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 260),
    shards=st.integers(1, 4),
    limit=st.one_of(st.none(), st.integers(1, 6)),
    columns=st.sampled_from([None, WITH_SHA256, SPELLINGS["img2dataset"], SPELLINGS["joined-en"]]),
)
def test_the_expectation_is_the_slow_oracle_s(
    tmp_path: Path, seed: int, count: int, shards: int, limit: int | None, columns: dict | None
) -> None:
    dataset = tables_of(count, shards, seed, columns)
    plants = plant(dataset, tmp_path / "lists", seed=seed, spread_limit=limit, rows_each=3, decoys=2)
    named = {
        shard: table.rename_columns(["URL" if n == "url" else n for n in table.column_names])
        for shard, table in dataset.items()
    }
    rows, lists = rows_and_lists(named, plants)
    assert [str(outcome) for outcome in plants.expected.values()] == oracle.outcomes(
        rows, lists, plants.spread_limit, set()
    )


def test_the_expectation_of_many_rows_is_the_kernels(dataset: dict[str, pa.Table], planted: Plants) -> None:
    keys: set[tuple[str, bytes]] = set()
    for entry in entries_of(planted):
        if entry.signal == "url":
            keys |= {(f"url {form}", make(entry.value.encode()) or b"") for form, make in kernels.FORM_OF.items()}
        else:
            keys.add((entry.signal, bytes.fromhex(entry.value)))
    hits = set()
    for shard, table in dataset.items():
        for number, row in enumerate(table.select(["URL", "md5"]).to_pylist()):
            found = {("md5", kernels.hex_digest_of((row["md5"] or "").encode(), 16) or b"")}
            for form, make in kernels.FORM_OF.items():
                spelled = make((row["URL"] or "").encode())
                if spelled:
                    found.add((f"url {form}", spelled))
                    found |= {(f"url_{name}", kernels.digest_of(spelled, name)) for name in ("md5", "sha1", "sha256")}
            if found & keys:
                hits.add((shard, number))
    assert hits == {place for place, outcome in planted.expected.items() if outcome is ScreenOutcome.HIT}


@given(
    st.from_regex(
        r"\A(?:HTTPS?|https?|Http)://[A-Za-z0-9][A-Za-z0-9-]{0,8}\.(?:example|TEST)/[\w/.-]{0,20}(?:\?[\w=&+-]{1,9})?\Z"
    )
)
def test_forms_are_the_kernels_or_refused(url: str) -> None:
    try:
        forms = forms_of(url)
    except ValueError:
        return
    assert {UrlForm(name): text.encode() for name, text in forms.items()} == {
        form: make(url.encode()) for form, make in kernels.FORM_OF.items()
    }


@pytest.mark.parametrize(
    "tail",
    ["a b.jpg", "a/../b", ".hidden/../x", "%41.jpg", "é.jpg", "a?", "a#top", "a?q#f", "a\tb", "a'b"],
)
def test_addresses_that_are_not_plain_are_refused_without_being_shown(tail: str) -> None:
    with pytest.raises(ValueError, match="spelled in a way") as caught:
        forms_of(f"https://{CANARY}.example/{tail}")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "//host.example/a", "ftp://host.example/a", "http://host.example:80/a", "http://user@host.example/a", "http://127.0.0.1/",
     "http://host.example", "http://xn--a.example/", "http://a.XN--b.example/", "http://bücher.example/", " http://host.example/"],
)  # fmt: skip
def test_hosts_that_are_not_plain_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="spelled in a way"):
        forms_of(url)


# --- the closure and its breaker, on rows made by hand --------------------------------------------------------------


def digest(name: str) -> str:
    return digest_of(name, "md5")


def by_hand(shards: list[list[tuple[str | None, str | None]]], entries: list[Entry], limit: int) -> list[str]:
    tables = {
        f"s{number}": pa.table({"url": pa.array([url for url, _ in rows], pa.string()), "MD5": pa.array([md5 for _, md5 in rows], pa.string())})
        for number, rows in enumerate(shards)
    }  # fmt: skip
    return [str(outcome) for outcome in expected_outcomes(Rows(tables), entries, limit).outcomes]


def test_a_chain_over_three_shards_is_followed() -> None:
    shards: list = [[(A, digest("1"))], [(A, digest("2"))], [(B, digest("2")), (C, digest("3"))]]
    found = by_hand(shards, [Entry("l", "md5", digest("1").upper())], 10)
    assert found == ["hit", "expanded", "expanded", "clear"]


def test_a_value_borne_by_more_rows_than_the_limit_holds_them() -> None:
    shards: list = [[(A, digest("p")), (B, digest("p"))], [(C, digest("p")), (D, digest("1")), (C, digest("2"))]]
    entries = [Entry("l", "url", A)]
    assert by_hand(shards, entries, 2) == ["hit", "held", "held", "clear", "clear"]
    assert by_hand(shards, entries, 3) == ["hit", "expanded", "expanded", "clear", "expanded"]


def test_a_direct_hit_is_a_hit_however_many_there_are() -> None:
    shards: list = [[(url, digest("p")) for url in (A, B, C, D)]]
    assert by_hand(shards, [Entry("l", "md5", digest("p"))], 1) == ["hit"] * 4


def test_nothing_spreads_by_null_empty_or_the_digest_of_nothing() -> None:
    shards: list = [
        [(A, EMPTY_MD5), (B, EMPTY_MD5), ("", digest("1")), ("", digest("2")), (None, None), (C, None), (D, "no hex")]
    ]
    found = by_hand(shards, [Entry("l", "url", A), Entry("l", "md5", digest("1"))], 10)
    assert found == ["hit", "clear", "hit", "clear", "not_assessable", "clear", "clear"]


def test_what_no_list_can_be_compared_with_is_not_assessable() -> None:
    shards: list = [[(A, None), (None, digest("1")), (B, digest("2"))]]
    assert by_hand(shards, [Entry("l", "md5", digest("9"))], 10) == ["not_assessable", "clear", "clear"]
    assert by_hand(shards, [Entry("l", "url", E)], 10) == ["clear", "not_assessable", "clear"]


def test_hits_are_counted_for_each_list_and_noisy_entries_once() -> None:
    rows: list = [(A, digest("1")), (B, digest("1")), (C, digest("2"))]
    tables = {"s": pa.table({"url": [url for url, _ in rows], "md5": [md5 for _, md5 in rows]})}
    entries = [Entry("one", "md5", digest("1")), Entry("one", "md5", digest("1").upper()), Entry("one", "url", A), Entry("two", "md5", digest("2")),
               Entry("three", "url_md5", digest_of(E, "md5"))]  # fmt: skip
    found = expected_outcomes(Rows(tables), entries, 1)
    assert found.hit_rows == {"one": 2, "two": 1, "three": 0}
    assert found.noisy_entries == 1


# --- recipes --------------------------------------------------------------------------------------------------------


def test_every_recipe_found_its_rows(planted: Plants) -> None:
    often = {name: len(chosen) for name, chosen in planted.recipes.items()}
    assert often.pop("held") == often.pop("noisy") == 1
    assert set(often) == {
        "chain-md5", "same-url-md5", "same-md5", "url_sha1-whatwg", "url_sha256-whatwg", "url_md5-tx", "url", "md5", "two-lists-md5",
    }  # fmt: skip
    assert set(often.values()) == {12}


def test_the_first_row_of_each_is_hit_and_the_others_follow(planted: Plants) -> None:
    for name, chosen in planted.recipes.items():
        for places in chosen:
            outcomes = [planted.expected[place] for place in places]
            assert outcomes == [ScreenOutcome.HIT] + [ScreenOutcome.EXPANDED] * (len(places) - 1), name


def test_chains_run_over_three_shards(dataset: dict[str, pa.Table], planted: Plants) -> None:
    for one, two, three in planted.recipes["chain-md5"]:
        assert len({one[0], two[0], three[0]}) == 3
        assert value(dataset, one, "URL") == value(dataset, two, "URL") != value(dataset, three, "URL")
        assert value(dataset, one, "md5") != value(dataset, two, "md5") == value(dataset, three, "md5")


def test_entries_of_hashed_addresses_need_the_right_form(dataset: dict[str, pa.Table], planted: Plants) -> None:
    written = {(entry.signal, entry.value) for entry in entries_of(planted)}
    for recipe, make in (
        ("url_sha1-whatwg", kernels.whatwg_of),
        ("url_sha256-whatwg", kernels.whatwg_of),
        ("url_md5-tx", kernels.tx_of),
    ):
        signal = recipe.partition("-")[0]
        name = signal.removeprefix("url_")
        for (place,) in planted.recipes[recipe]:
            raw = value(dataset, place, "URL").encode()
            assert (signal, hashlib.new(name, make(raw) or b"").hexdigest()) in written
            assert (signal, hashlib.new(name, raw).hexdigest()) not in written


def test_the_placeholder_s_bearers_are_held(dataset: dict[str, pa.Table], planted: Plants) -> None:
    ((place,),) = planted.recipes["held"]
    placeholder = value(dataset, place, "md5")
    bearers = [
        (shard, n)
        for shard, table in dataset.items()
        for n, md5 in enumerate(table["md5"].to_pylist())
        if md5 == placeholder
    ]
    outcomes = Counter(planted.expected[bearer] for bearer in bearers)
    assert len(bearers) > planted.spread_limit
    assert outcomes[ScreenOutcome.HELD] > 0.9 * len(bearers)
    assert ScreenOutcome.CLEAR not in outcomes


def test_the_noisy_entry_hits_more_rows_than_the_limit(dataset: dict[str, pa.Table], planted: Plants) -> None:
    ((place,),) = planted.recipes["noisy"]
    banner = value(dataset, place, "md5")
    bearers = sum(table["md5"].to_pylist().count(banner) for table in dataset.values())
    assert planted.noisy_entries == 1
    assert planted.hit_rows[SECOND] > bearers > planted.spread_limit


def test_two_lists_share_entries(dataset: dict[str, pa.Table], planted: Plants) -> None:
    held = {name: {e.value.lower() for e in entries_of(planted) if e.list_name == name} for name in planted.lists}
    for (place,) in planted.recipes["two-lists-md5"]:
        assert value(dataset, place, "md5") in held[DIGESTS] & held[SECOND]
    assert sum(planted.hit_rows.values()) > planted.tally()[ScreenOutcome.HIT]


def test_decoys_hit_nothing(dataset: dict[str, pa.Table], planted: Plants, tmp_path: Path) -> None:
    bare = plant(dataset, tmp_path, seed=4, decoys=0)
    assert bare.expected == planted.expected
    assert bare.hit_rows == planted.hit_rows
    more = Counter(e.list_name for e in entries_of(planted)) - Counter(e.list_name for e in entries_of(bare))
    assert more == {DIGESTS: 500, SECOND: 500, ADDRESSES: 1000}


def test_lists_hold_digests_in_both_cases_and_reserved_names_only(planted: Plants) -> None:
    entries = entries_of(planted)
    digests = [entry.value for entry in entries if entry.signal == "md5"]
    assert any(text != text.lower() for text in digests)
    assert any(text != text.upper() for text in digests)
    for entry in entries:
        if entry.signal == "url":
            assert (
                entry.value.lower()
                .split("/")[2]
                .endswith((".example", ".test", ".invalid", ".example.com", ".example.org", ".example.net"))
            )


# --- the books, the folder, the seed --------------------------------------------------------------------------------


def test_every_row_has_one_outcome(dataset: dict[str, pa.Table], planted: Plants) -> None:
    assert set(planted.expected) == {(shard, row) for shard, table in dataset.items() for row in range(table.num_rows)}
    assert planted.tally().rows() == 24_000
    assert set(planted.tally()) == {"hit", "expanded", "held", "clear", "not_assessable"}


def test_a_folder_of_shards_gives_what_its_tables_give(tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "data" / "en", 3_000, 3, seed=2)
    folder = plant(tmp_path / "data", tmp_path / "one", seed=1)
    whole = laion_rows(3_000, 2)
    tables = {f"en/{path.name}": whole.slice(1_000 * n, 1_000) for n, path in enumerate(paths)}
    memory = plant(tables, tmp_path / "two", seed=1)
    assert folder.expected == memory.expected
    assert {name: path.read_bytes() for name, path in folder.lists.items()} == {
        name: path.read_bytes() for name, path in memory.lists.items()
    }


def test_another_seed_chooses_other_rows(dataset: dict[str, pa.Table], planted: Plants, tmp_path: Path) -> None:
    other = plant(dataset, tmp_path / "other", seed=5)
    again = plant(dataset, tmp_path / "again", seed=4)
    assert again.recipes == planted.recipes
    assert not set(other.recipes["md5"]) & set(planted.recipes["md5"])


def test_the_limit_fits_small_data_sets(tmp_path: Path) -> None:
    small = plant(tables_of(2_000, 8, 7), tmp_path, seed=3)
    assert 1 < small.spread_limit < 40
    assert small.tally()[ScreenOutcome.HELD] > small.spread_limit // 2
    assert small.noisy_entries >= 1


def test_a_limit_beyond_all_values_holds_nothing(dataset: dict[str, pa.Table], tmp_path: Path) -> None:
    plants = plant(dataset, tmp_path, seed=4, spread_limit=24_000)
    assert "held" not in plants.recipes
    assert plants.noisy_entries == 0
    assert plants.tally()[ScreenOutcome.HELD] == 0


def test_rows_without_digests_are_planted_by_address_alone(tmp_path: Path) -> None:
    plants = plant(tables_of(3_000, 3, 8, SPELLINGS["laion400m"]), tmp_path, seed=1)
    assert set(plants.lists) == {ADDRESSES}
    assert all(plants.recipes[name] for name in ("url", "url_md5-tx", "url_sha1-whatwg"))
    assert plants.spread_limit == 1000


def test_no_rows_need_no_plants(tmp_path: Path) -> None:
    plants = plant({"empty": laion_rows(0, 1)}, tmp_path, seed=1, decoys=1)
    assert plants.expected == {}
    assert not any(plants.recipes.values())
    assert plants.hit_rows == {ADDRESSES: 0}


def test_strange_addresses_stop_the_planting_without_being_shown(tmp_path: Path) -> None:
    table = pa.table({"URL": [f"https://{CANARY}.example/a b"]})
    with pytest.raises(ValueError, match="spelled in a way") as caught:
        plant({"s": table}, tmp_path / "lists", seed=1)
    assert CANARY not in repr(caught.value)
    assert not (tmp_path / "lists").exists()


def test_nothing_of_a_list_is_printed_by_accident(planted: Plants) -> None:
    shown = repr(planted) + repr(entries_of(planted))
    assert not any(entry.value in shown for entry in entries_of(planted))

"""The vault: damage and wrong keys first, then that what was sealed comes back, in order, in any number of parts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import Fault, FaultyDisk, Killed
from tests.tools import needed
from tests.vaults import SHARD, Opened, custodian_identity, hit, made_run, plain_of, recipient, unsealed
from vetset.errors import ShardError, SinkError, Stop, Trouble
from vetset.ledger import Ledger
from vetset.records import Hit, ScreenOutcome, Sealed, Shard, Tally
from vetset.vault import RunKeys, Vault, age, new_keys, open_keys
from vetset.vault.ladder import LEAST_BYTES

SMALL_PART_BYTES = LEAST_BYTES
_SAME_RUN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def run(tmp_path: Path) -> Opened:
    return made_run(tmp_path / "run", part_bytes=SMALL_PART_BYTES)


def plaintext(path: Path) -> bytes:
    return age.decrypt(path.read_bytes(), [custodian_identity()])


def lines_of(run: Opened, step: str = "held", name: str = "x") -> list[Any]:
    return [unsealed(line) for line in run.vault.lines(step, name)]


def is_vault_trouble(run: Opened, name: str = "x") -> bool:
    with pytest.raises(ShardError) as caught:
        lines_of(run, name=name)
    return caught.value.trouble is Trouble.VAULT


# --- damage and wrong keys -----------------------------------------------------------------------------------------


def test_every_kind_of_damage_is_trouble_with_the_shard(run: Opened) -> None:
    run.vault.seal("held", "x", [{"rows": [1, 2]}])
    path = run.root / "vault" / "held" / "x.age"
    whole = path.read_bytes()
    head_bytes = whole.index(b"\n---") + 50
    places = [*range(0, head_bytes, 3), *range(head_bytes, len(whole), 9973), len(whole) - 1]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert is_vault_trouble(run), f"byte {place}"
    for size_bytes in (0, 1, 20, head_bytes, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size_bytes])
        assert is_vault_trouble(run), f"cut to {size_bytes}"
    path.unlink()
    assert is_vault_trouble(run)


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"not json\n",
        b"{}\n",
        b"[]\n",
        b'{"step":"held","name":"x"}\n',
        b'{"step":"held","name":"x","parts":3}\n',
        b'{"step":"held","name":"x","parts":[]}\n5\n',
        b'{"step":"held","name":"x","parts":[]}\n{"a":{"base64":"!"}}\n',
        b'{"step":"held","name":"x","parts":["00"]}\n',
        b"[" * 100_000 + b"\n",
    ],
)
@pytest.mark.parametrize("pad", [b'{"pad":"000"}\n', b""])
def test_forged_contents_are_trouble_with_the_shard(run: Opened, forged: bytes, pad: bytes) -> None:
    """Anyone can encrypt to a public recipient, so what opens is not therefore ours."""
    run.ledger.sink.put("vault/held/x.age", age.encrypt(forged + pad, [recipient()]))
    reader = Vault(run.ledger.sink, run.keys, [recipient()], [custodian_identity()])
    assert is_vault_trouble(Opened(run.ledger, run.keys, reader))


def test_a_forged_hit_or_tally_is_trouble_with_the_shard(run: Opened) -> None:
    head = {"step": "screen", "name": SHARD.id, "parts": [], "tally": {"hit": "many"}}
    forged = json.dumps(head).encode() + b'\n{"row":1}\n{"pad":""}\n'
    run.ledger.sink.put(f"vault/screen/{SHARD.id}.age", age.encrypt(forged, run.keys.recipients))
    for act in (lambda: list(run.vault.hits("screen", SHARD)), lambda: run.vault.tally("screen", SHARD)):
        with pytest.raises(ShardError, match="damaged"):
            act()
    run.vault.seal("screen", SHARD.id, [])
    with pytest.raises(ShardError, match="damaged"):
        run.vault.tally("screen", SHARD)


def test_a_file_in_anothers_place_is_trouble_with_the_shard(run: Opened) -> None:
    run.vault.seal("held", "x", [{"rows": [1]}])
    folder = run.root / "vault" / "held"
    shutil.copy(folder / "x.age", folder / "y.age")
    assert is_vault_trouble(run, "y")
    (run.root / "vault" / "other").mkdir()
    shutil.copy(folder / "x.age", run.root / "vault" / "other" / "x.age")
    with pytest.raises(ShardError):
        list(run.vault.lines("other", "x"))


@pytest.mark.parametrize("identities", [[], ["stranger"]])
def test_a_wrong_key_or_none_stops_with_what_to_do(run: Opened, identities: list[str]) -> None:
    run.vault.seal("held", "x", [{"rows": [1]}])
    keys = RunKeys(None, run.keys.case_key)
    stranger = Vault(run.ledger.sink, keys, [recipient()], [age.new_identity() for _ in identities])
    with pytest.raises(Stop, match="no key in hand opens the findings") as caught:
        list(stranger.lines("held", "x"))
    assert "--identity" in caught.value.hint


def test_the_keys_of_another_run_open_nothing(run: Opened, tmp_path: Path) -> None:
    run.vault.seal("held", "x", [{"rows": [1]}])
    with pytest.raises(Stop):
        list(Vault(run.ledger.sink, new_keys(), [recipient()]).lines("held", "x"))


def test_any_custodian_opens_alone(run: Opened) -> None:
    second = age.new_identity()
    Vault(run.ledger.sink, run.keys, [recipient(), age.recipient_of(second)]).seal("held", "x", [{"rows": [1]}])
    for identity in (custodian_identity(), second):
        alone = Vault(run.ledger.sink, RunKeys(None, bytes(32)), [], [identity])
        assert [line["rows"] for line in alone.lines("held", "x")] == [[1]]


# --- lines and parts -----------------------------------------------------------------------------------------------

VALUES = st.binary(max_size=30) | st.text(max_size=30) | st.integers() | st.lists(st.integers(), max_size=4)


@_SAME_RUN
@given(lines=st.lists(st.dictionaries(st.sampled_from(["value", "rows", "column"]), VALUES), max_size=20))
def test_lines_come_back_in_order_with_bytes_sealed(run: Opened, lines: list[dict[str, Any]]) -> None:
    run.vault.seal("held", "x", lines)
    expected = [
        {name: ("sealed", value) if isinstance(value, bytes) else value for name, value in line.items()}
        for line in lines
    ]
    assert lines_of(run) == expected


@_SAME_RUN
@given(sizes=st.lists(st.integers(0, 70_000), max_size=8))
def test_any_number_of_parts_is_one_row_of_lines(run: Opened, sizes: list[int]) -> None:
    lines: list[dict[str, object]] = [{"number": number, "filling": "x" * size} for number, size in enumerate(sizes)]
    run.vault.seal("held", "x", iter(lines))
    assert lines_of(run) == lines
    total_bytes = 0
    files = sorted((run.root / "vault" / "held").glob("x*.age"))
    for path in files:
        size_bytes = len(plaintext(path))
        assert size_bytes & (size_bytes - 1) == 0
        assert size_bytes >= LEAST_BYTES
        assert size_bytes <= max(SMALL_PART_BYTES, 2 * (max(sizes, default=0) + 300))
        total_bytes += size_bytes
    assert total_bytes >= sum(sizes)


def test_a_shorter_sealing_leaves_no_part_of_a_longer_one(run: Opened) -> None:
    folder = run.root / "vault" / "held"
    run.vault.seal("held", "x", [{"filling": "x" * 60_000}] * 5)
    assert len(list(folder.iterdir())) > 3
    run.vault.seal("held", "x", [{"a": 1}])
    assert [path.name for path in folder.iterdir()] == ["x.age"]
    assert lines_of(run) == [{"a": 1}]


def test_a_part_of_another_sealing_is_noticed(run: Opened) -> None:
    run.vault.seal("held", "x", [{"filling": "x" * 60_000}] * 3)
    part = run.root / "vault" / "held" / "x.2.age"
    kept = part.read_bytes()
    run.vault.seal("held", "x", [{"filling": "x" * 60_000}] * 3)
    part.write_bytes(kept)
    assert is_vault_trouble(run)
    part.unlink()
    assert is_vault_trouble(run)


@pytest.mark.parametrize("kind", ["kill", "power", "ENOSPC", "EIO"])
def test_wherever_a_sealing_fails_it_is_the_old_one_the_new_one_or_trouble(tmp_path: Path, kind: str) -> None:
    old: list[dict[str, object]] = [{"old": "x" * 60_000}] * 2
    new: list[dict[str, object]] = [{"new": "y" * 60_000}] * 3
    for at in range(0, 60, 3 if kind in {"power", "EIO"} else 1):
        run = made_run(tmp_path / f"{at}", part_bytes=SMALL_PART_BYTES)
        run.vault.seal("held", "x", old)
        disk = FaultyDisk(fault=Fault(at, kind, torn=100))
        ledger = Ledger(run.root, disk)
        try:
            Vault(ledger.sink, run.keys, [recipient()], part_bytes=SMALL_PART_BYTES).seal("held", "x", new)
        except (Killed, SinkError):
            assert outcome(run) in [old, new, None]
        else:
            break
        run.vault.seal("held", "x", new)
        assert lines_of(run) == new
    else:
        raise AssertionError(f"{at} operations were not all")


def outcome(run: Opened) -> list[Any] | None:
    try:
        return lines_of(run)
    except ShardError:
        return None


def test_a_sealing_whose_lines_fail_leaves_the_old_one(run: Opened) -> None:
    def failing() -> Iterator[dict[str, object]]:
        yield {"new": 1}
        raise ZeroDivisionError

    run.vault.seal("held", "x", [{"old": 1}])
    with pytest.raises(ZeroDivisionError):
        run.vault.seal("held", "x", failing())
    assert lines_of(run) == [{"old": 1}]


def test_the_digest_answered_is_of_the_file(run: Opened) -> None:
    import hashlib

    digest = run.vault.seal("held", "x", [{"filling": "x" * 60_000}] * 3)
    assert digest == hashlib.sha256((run.root / "vault" / "held" / "x.age").read_bytes()).hexdigest()


# --- findings ------------------------------------------------------------------------------------------------------


@_SAME_RUN
@given(urls=st.lists(st.none() | st.binary(max_size=40), max_size=12))
def test_hits_and_the_tally_come_back(run: Opened, urls: list[bytes | None]) -> None:
    found = [hit(row, url) for row, url in enumerate(urls)]
    run.vault.seal_hits("screen", SHARD, found, {"hit": len(found), "clear": 7})
    assert [plain_of(again) for again in run.vault.hits("screen", SHARD)] == [plain_of(one) for one in found]
    assert run.vault.tally("screen", SHARD) == {"clear": 7, **({"hit": len(found)} if found else {})}
    lines = list(run.vault.finding_lines("screen", SHARD.id))
    assert [line["row"] for line in lines] == list(range(len(urls)))
    assert json.loads(json.dumps(lines)) == lines
    assert all("pad" not in line and "tally" not in line for line in lines)


def test_the_rows_that_are_looked_for_are_found_whatever_the_lines_hold(run: Opened) -> None:
    """Lines are told apart by their bytes first: nothing that stands in them may hide a row, or make one."""
    urls = [
        b'"row": 7',
        b'{"row": 7}',
        b'\\"row": 7',
        b"",
        b'"row": 70',
        '"row": \u0667'.encode(),
        b'\xff"row": 7',
        None,
    ]
    found = [hit(row, url, noted={"inner": {"row": 7}, "row ": 7}) for row, url in enumerate(urls, start=1)]
    run.vault.seal_hits("screen", SHARD, found, {})
    for row, one in enumerate(found, start=1):
        answer = run.vault.addresses("screen", SHARD, {row, 99})
        assert {number: address.unseal() for number, address in answer.items()} == {row: one.address.unseal()}
    assert run.vault.addresses("screen", SHARD, {70, 0}) == {}


def test_rows_and_addresses_are_read_without_the_rest(run: Opened) -> None:
    outcomes = [ScreenOutcome.HIT, ScreenOutcome.NEAR_HIT, ScreenOutcome.HIT]
    found = [hit(row, b"http://a.example/%d" % row, outcome=outcome) for row, outcome in enumerate(outcomes)]
    run.vault.seal_hits("screen", SHARD, found, {})
    assert list(run.vault.rows("screen", SHARD)) == [0, 1, 2]
    assert list(run.vault.rows("screen", SHARD, ScreenOutcome.HIT)) == [0, 2]
    addresses = run.vault.addresses("screen", SHARD, {1, 2, 9})
    assert {row: address.unseal() for row, address in addresses.items()} == {
        row: found[row].address.unseal() for row in (1, 2)
    }


@pytest.mark.parametrize("line", [{"row": "x"}, {"row": 1}, {}, {"row": 1, "outcome": "hit", "url": 5, "digests": {}}])
def test_rows_and_addresses_of_a_damaged_line_are_trouble(run: Opened, line: dict[str, Any]) -> None:
    run.vault.seal("screen", SHARD.id, [{"row": 1, "digests": {"md5": "zz"}, "url": None, **line}])
    looks: list[Callable[[], object]] = [lambda: list(run.vault.hits("screen", SHARD))]
    if line.get("row", 1) == 1:  # what bears no number is no row that was asked for
        looks.append(lambda: run.vault.addresses("screen", SHARD, {1}))
    for look in looks:
        with pytest.raises(ShardError) as caught:
            look()
        assert caught.value.trouble is Trouble.VAULT
    if "outcome" not in line:
        with pytest.raises(ShardError):
            list(run.vault.rows("screen", SHARD))


def test_a_tally_that_grows_while_hits_come_is_sealed_as_it_ended(run: Opened) -> None:
    tally = Tally()

    def coming() -> Iterator[Hit]:
        for row in range(3):
            tally["hit"] += 1
            yield hit(row)
        tally["clear"] += 5

    run.vault.seal_hits("screen", SHARD, coming(), tally)
    assert run.vault.tally("screen", SHARD) == run.vault.tally_of("screen", SHARD.id) == {"hit": 3, "clear": 5}


def test_what_was_noted_of_a_hit_comes_back(run: Opened) -> None:
    run.vault.seal_hits("expand-1", SHARD, [hit(noted={"because": [0, 2], "by": Sealed(b"\xff")})], {})
    (again,) = run.vault.hits("expand-1", SHARD)
    assert again.noted["because"] == [0, 2]
    assert again.noted["by"].unseal() == b"\xff"


def test_hits_sealed_to_one_shard_are_not_anothers(run: Opened) -> None:
    run.vault.seal_hits("screen", SHARD, [hit()], {"hit": 1})
    other = Shard("part-1.parquet", "part-1.parquet", 1, "")
    with pytest.raises(ShardError):
        list(run.vault.hits("screen", other))


def test_files_of_0_1_and_50_hits_are_of_one_size(run: Opened) -> None:
    """age adds a stanza of random length ("grease"), so the sizes compared are those of the encrypted body."""
    sizes = set()
    for count in (0, 1, 50):
        run.vault.seal_hits("screen", SHARD, [hit(row) for row in range(count)], {"hit": count, "clear": 50 - count})
        path = run.root / "vault" / "screen" / f"{SHARD.id}.age"
        sealed = path.read_bytes()
        body_bytes = len(sealed) - sealed.index(b"\n", sealed.index(b"\n--- ") + 1)
        sizes.add((len(plaintext(path)), body_bytes, len(list(path.parent.iterdir()))))
    assert len(sizes) == 1
    assert sizes.pop()[0] == LEAST_BYTES


# --- stock age -----------------------------------------------------------------------------------------------------


def test_stock_age_opens_every_file(run: Opened, tmp_path: Path) -> None:
    binary = needed("age")
    run.vault.seal_hits("screen", SHARD, [hit(0, b"http://a.example/?q=\xff"), hit(1)], {"hit": 2})
    identity = tmp_path / "identity"
    identity.write_text(f"# made for a test\n{custodian_identity()}\n", "ascii")
    path = run.root / "vault" / "screen" / f"{SHARD.id}.age"
    for key in (identity, run.root / "run.key"):
        done = subprocess.run([binary, "-d", "-i", key, path], capture_output=True, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(done.stdout) == LEAST_BYTES
        assert lines[0]["tally"] == {"hit": 2}
        assert [line["url"] for line in lines[1:-1]] == [
            {"base64": "aHR0cDovL2EuZXhhbXBsZS8/cT3/"},
            "http://a.example/1",
        ]
        assert list(lines[-1]) == ["pad"]


def test_what_stock_age_sealed_we_open(run: Opened) -> None:
    binary = needed("age")
    text = b'{"name":"x","parts":[],"step":"held"}\n{"rows":[4]}\n{"pad":"0"}\n'
    done = subprocess.run([binary, "-r", recipient()], input=text, capture_output=True, check=True)
    run.ledger.sink.put("vault/held/x.age", done.stdout)
    reader = Vault(run.ledger.sink, open_keys(run.ledger), [recipient()], [custodian_identity()])
    assert list(reader.lines("held", "x")) == [{"rows": [4]}]

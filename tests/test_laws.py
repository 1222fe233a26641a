"""Laws over whole runs: what holds of every audit, whatever the rows, the formats, the lists and the settings.

Each is looked for in what lies on disk afterwards, and in the vault once it is opened; none is asked of the code.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.commanding import MEMORY, at_work, files_of
from tests.driving import Place
from vetset.config import PolicySettings, Rule, RunSettings
from vetset.ledger import open_run
from vetset.pipeline import shard as work
from vetset.records import CleanOutcome
from vetset.vault import age, read_identities
from vetset.vault.ladder import LEAST_BYTES

URLS = [f"https://law{number}.example/{number}.jpg" for number in range(6)]
MD5S = [hashlib.md5(bytes([number])).hexdigest() for number in range(5)]
SCREENED = {"hit", "expanded", "held", "policy", "not_assessable", "clear"}
REMOVED, HELD = ("hit", "expanded"), "held"
THRESHOLD = 0.9

Row = dict[str, Any]
ROW = st.fixed_dictionaries(
    {
        "url": st.sampled_from([*URLS, "", None]),
        "md5": st.sampled_from([*MD5S, "no digest", None]),
        "punsafe": st.sampled_from([0.1, 0.95]),
    }
)
#: Shards by format, rows in each; the order of the text formats' lines is the order of rows.
SHARDS = st.lists(
    st.tuples(st.sampled_from(["parquet", "csv", "jsonl"]), st.lists(ROW, max_size=9)), min_size=1, max_size=4
)


@dataclass
class Drawn:
    """A dataset as drawn: the rows of each shard, each with a number of its own, and the settings of the run."""

    rows: dict[str, list[Row]]
    spread_limit: int
    remove_held: bool
    policy: bool
    lists: list[dict[str, list[str]]]

    def audit(self, place: Place) -> None:
        rules = (Rule(punsafe_above=THRESHOLD),) if self.policy else ()
        result = place.audit(
            spread_limit=self.spread_limit,
            remove_held=self.remove_held,
            allow_nothing_comparable=True,
            policy=PolicySettings(rules=rules),
            run_settings=RunSettings(runner="serial", batch_rows=4),
        )
        assert result.complete

    def is_removed(self, row: Row, outcome: str | None) -> bool:
        by_policy = self.policy and row["punsafe"] > THRESHOLD
        return outcome in REMOVED or by_policy or (self.remove_held and outcome == HELD)


@st.composite
def datasets(draw: st.DrawFn) -> Drawn:
    shards, numbers = draw(SHARDS), iter(range(1000))
    rows = {
        f"part-{number}.{kind}": [{**row, "id": next(numbers)} for row in own]
        for number, (kind, own) in enumerate(shards)
    }
    held = [
        {
            "url": draw(st.lists(st.sampled_from(URLS), max_size=2)),
            "md5": [*draw(st.lists(st.sampled_from(MD5S), max_size=1)), "0" * 32],
        }
        for _ in range(draw(st.integers(1, 2)))
    ]
    has_columns = any(own or kind != "jsonl" for kind, own in shards)  # a policy without its column is refused
    return Drawn(rows, draw(st.integers(0, 4)), draw(st.booleans()), has_columns and draw(st.booleans()), held)


def written(place: Place, drawn: Drawn) -> None:
    place.dataset.mkdir()
    for name, rows in drawn.rows.items():
        write = {"parquet": write_parquet, "csv": write_csv, "jsonl": write_jsonl}[name.rpartition(".")[2]]
        write(place.dataset / name, rows)
    for number, held in enumerate(drawn.lists):
        place.list_of(f"list{number}", held)


NAMES = ("url", "md5", "punsafe", "id")


def write_parquet(path: Path, rows: list[Row]) -> None:
    kinds = (pa.string(), pa.string(), pa.float64(), pa.int64())
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in zip(NAMES, kinds, strict=True)}
    pq.write_table(pa.table(columns), path, row_group_size=3)


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as stream:
        lines = csv.DictWriter(stream, NAMES)
        lines.writeheader()
        lines.writerows(rows)


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def numbers_in(path: Path) -> list[int]:
    """The numbers of the rows in a file, in its order."""
    if path.suffix == ".parquet":
        found: list[int] = pq.read_table(path, partitioning=None).column("id").to_pylist()
        return found
    if path.suffix == ".csv":
        return [int(row["id"]) for row in csv.DictReader(io.StringIO(path.read_text()))]
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def manifests(place: Place) -> dict[str, dict[str, Any]]:
    """All manifests by their names, as plain JSON."""
    paths = sorted((place.run / "manifests").glob("*/*.json"))
    return {path.relative_to(place.run / "manifests").as_posix(): json.loads(path.read_bytes()) for path in paths}


audited = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@audited
@given(drawn=datasets())
def test_the_laws_of_every_run(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        place = Place(Path(folder))
        written(place, drawn)
        before = files_of(place.dataset)
        drawn.audit(place)
        assert files_of(place.dataset) == before
        the_books_balance(place, drawn)
        what_is_removed_is_gone_and_the_rest_is_as_it_was(place, drawn)
        clear_manifests_tell_no_outcome(place, drawn)
        manifests_chain_and_verify(place)
        twice_is_once(place, drawn)


# --- the books --------------------------------------------------------------------------------------------------------


def the_books_balance(place: Place, drawn: Drawn) -> None:
    """In each step every row of each shard has one outcome, and over the run nothing is gained or lost."""
    vault, known = place.vault()
    kept, final = Counter[str](), place.tallies()
    for shard in known["inputs"]:
        rows = drawn.rows[shard["path"]]
        screened = vault.tally_of("screen", shard["id"])
        cleaned = vault.tally_of("clean", shard["id"])
        for tally, names in ((screened, SCREENED), (final[shard["path"]], SCREENED), (cleaned, set(CleanOutcome))):
            assert sum(tally.values()) == len(rows)
            assert set(tally) <= names
        assert cleaned.get("kept", 0) == len(numbers_in(place.cleaned / shard["path"]))
        kept.update(cleaned)
    assert sum(kept.values()) == sum(map(len, drawn.rows.values())) == place.summary()["rows"]["total"]


# --- cleaning ---------------------------------------------------------------------------------------------------------


def what_is_removed_is_gone_and_the_rest_is_as_it_was(place: Place, drawn: Drawn) -> None:
    outcomes = place.outcomes()
    assert sorted(place.cleaned_bytes()) == sorted(drawn.rows)
    for name, rows in drawn.rows.items():
        stay = [row["id"] for at, row in enumerate(rows) if not drawn.is_removed(row, outcomes.get((name, at)))]
        source, cleaned = place.dataset / name, place.cleaned / name
        assert numbers_in(cleaned) == stay
        if len(stay) == len(rows):
            assert cleaned.read_bytes() == source.read_bytes()
        elif name.endswith(".parquet"):
            whole = pq.read_table(source, partitioning=None)
            places = [at for at, row in enumerate(rows) if row["id"] in stay]
            assert pq.read_table(cleaned, partitioning=None).equals(whole.take(pa.array(places, pa.int64())))
        else:
            rest = iter(source.read_bytes().splitlines(keepends=True))
            assert all(line in rest for line in cleaned.read_bytes().splitlines(keepends=True))


# --- the ledger -------------------------------------------------------------------------------------------------------

#: What the tally of a step's manifest may name in clear.
CLEAR = {"index": {"indexed"}, "screen": {"assessed", "not_assessable"}, "clean": {"cleaned"}}


def clear_manifests_tell_no_outcome(place: Place, drawn: Drawn) -> None:
    rows_of = {name: len(rows) for name, rows in drawn.rows.items()}
    tallies = place.tallies()
    for name, manifest in manifests(place).items():
        step = name.partition("/")[0]
        allowed = set() if step.startswith("expand-") else CLEAR["screen" if step == "expand" else step]
        assert set(manifest["tally"]) <= allowed
        if step in {"screen", "expand", "clean"}:
            assert sum(manifest["tally"].values()) == manifest["rows"] == rows_of[manifest["path"]]
        if step in {"screen", "expand"}:
            unread = tallies[manifest["path"]].get("not_assessable", 0)
            assert manifest["tally"].get("not_assessable", 0) >= unread  # of which some may be found by what they share
            assert manifest["tally"] == manifests(place)[f"screen/{manifest['shard']}.json"]["tally"]


def canonical(tree: dict[str, Any]) -> bytes:
    """What a record's digest is over: itself without the digest, keys sorted, compact, a newline at the end."""
    rest = {name: value for name, value in tree.items() if name != "digest"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def manifests_chain_and_verify(place: Place) -> None:
    ledger, _ = open_run(place.run)
    assert ledger.verify(place.cleaned) == []
    run_digest = hashlib.sha256((place.run / "run.toml").read_bytes()).hexdigest()
    found = manifests(place)
    digests = {hashlib.sha256(canonical(manifest)).hexdigest() for manifest in found.values()}
    assert digests == {manifest["digest"] for manifest in found.values()}
    for name, manifest in found.items():
        assert manifest["run"] == run_digest
        assert manifest["previous"] in (digests if not name.startswith("index/") else {run_digest})
        for product in manifest["products"].values():
            data = ((place.run if product["in_run"] else place.cleaned) / product["name"]).read_bytes()
            assert (product["bytes"], product["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    for path in (place.run / "manifests").glob("*.root.json"):
        root = json.loads(path.read_bytes())
        wanted = {m["shard"]: m["digest"] for m in found.values() if m["step"] == root["step"]}
        assert root["shards"] == sorted(map(list, wanted.items()))


# --- twice is once ----------------------------------------------------------------------------------------------------

SAME = ("run.toml", "manifests", "results", "joins", "run.key", "vault/screen", "vault/held", "vault/clean")


def twice_is_once(place: Place, drawn: Drawn) -> None:
    """Resuming a run that is done does no task and changes no byte of what the design calls *same*."""
    before, cleaned, found = files_of(place.run), files_of(place.cleaned), place.sameness()
    result = None
    with mock.patch.object(work, "do", side_effect=AssertionError("a task was run")) as done:
        rules = (Rule(punsafe_above=THRESHOLD),) if drawn.policy else ()
        result = place.audit(
            spread_limit=drawn.spread_limit,
            remove_held=drawn.remove_held,
            allow_nothing_comparable=True,
            policy=PolicySettings(rules=rules),
            run_settings=RunSettings(runner="serial", batch_rows=7),
            resume=True,
        )
    assert done.call_count == 0
    assert result.complete
    after = files_of(place.run)
    assert after.keys() == before.keys()
    assert [name for name in before if name.startswith(SAME) and before[name] != after[name]] == []
    assert files_of(place.cleaned) == cleaned
    assert place.sameness() == found


# --- sizes ------------------------------------------------------------------------------------------------------------


def shard_with(hits: int, listed: str) -> pa.Table:
    """50 rows, so many of them hits."""
    rest = [hashlib.md5(f"row {number}".encode()).hexdigest() for number in range(50 - hits)]
    return pa.table({"md5": [listed] * hits + rest, "url": [f"https://size{hits}.example/{n}" for n in range(50)]})


_MAX_GREASE_BYTES = 400


def test_sizes_of_sealed_files_do_not_tell_how_many_were_found() -> None:
    with at_work() as user:
        place = Place(user.root / "sizes")
        place.root.mkdir()
        listed = MD5S[0]
        place.write({f"with-{hits}.parquet": shard_with(hits, listed) for hits in (0, 1, 50)})
        place.list_of("digests", {"md5": [listed]})
        assert place.audit().complete
        assert Counter(name for name, _ in place.outcomes()) == {"with-1.parquet": 1, "with-50.parquet": 50}
        identities = read_identities([place.run / "run.key"])
        plain: dict[str, set[int]] = {}
        sealed: dict[str, set[int]] = {}
        for path in (place.run / "vault").glob("*/with-*.age"):
            plain.setdefault(path.parent.name, set()).add(len(age.decrypt(path.read_bytes(), identities)))
            sealed.setdefault(path.parent.name, set()).add(path.stat().st_size)
        assert plain == {key: {LEAST_BYTES} for key in ("screen", "expand", "held", "clean", "expand-1")}
        # The library adds a stanza of random length to each head (age-encryption.org/v1, "grease"), whatever is inside.
        assert all(max(found) - min(found) <= _MAX_GREASE_BYTES for found in sealed.values()), sealed
        counts = {step: len(list((place.run / "vault" / step).glob("*.age"))) for step in ("screen", "expand", "clean")}
        assert counts == {"screen": 3, "expand": 4, "clean": 3}  # expand has what was decided as well

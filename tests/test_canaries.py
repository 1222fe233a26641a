"""No address, caption or digest of a hit stands anywhere but in the vault: planted canaries are searched in every byte.

The command line is run as users run it; every error path that can be forced is forced. Parquet results are searched as
they are and as their decoded values.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.canaries import SHORTEST_BYTES, files_below, leaks, spellings_of_text
from tests.driving import Place

HOSTS = ["canary-alpha.example", "canäry-beta.example", "CANARY-Gamma.example"]
CAPTIONS = ["caption \x1b]8;;canary-delta\x07 =cmd|canary", "canary 𝄞 epsilon\nnewline caption"]
DIGESTS = [hashlib.md5(f"canary {number}".encode()).hexdigest() for number in range(3)]
URLS = [f"https://{host}/path-{number}/Ärger%20x.jpg?token=c4n4ry{number}" for number, host in enumerate(HOSTS)]
CANARIES = [*URLS, *HOSTS, *DIGESTS, *CAPTIONS, *(f"c4n4ry{number}" for number in range(3))]


@dataclass
class Ran:
    status: int
    output: bytes


@dataclass
class Scene:
    """A dataset with three kinds of hit: by digest, by URL, and by sharing a value with them."""

    place: Place
    temporary: Path

    def vetset(self, *arguments: object, environment: dict[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [Path(sys.executable).parent / "vetset", *map(str, arguments)],
            env={
                **os.environ,
                "XDG_CONFIG_HOME": str(self.place.root / "home"),
                "TMPDIR": str(self.temporary),
                **(environment or {}),
            },
            capture_output=True,
            check=False,
            cwd=self.temporary,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout + b"\n" + done.stderr)

    def audit(self, *more: object) -> Ran:
        lists = [word for path in self.place.lists for word in ("--lists", path)]
        out = ("--out", self.place.run, "--clean", self.place.cleaned, "--workers", 2)
        return self.vetset("audit", self.place.dataset, *lists, *out, *more)

    def all_but_the_vault(self) -> Iterator[tuple[str, bytes]]:
        roots = [self.place.run, self.place.cleaned, self.temporary, self.place.root / "home"]
        for name, data in files_below(*roots):
            if "/vault/" not in name:
                yield name, data
                if name.endswith(".parquet") and str(self.place.run) in name:
                    yield f"{name} (values)", repr(pq.read_table(name, partitioning=None).to_pydict()).encode()

    def check(self, *runs: Ran) -> None:
        outputs = [(f"output {number}", ran.output) for number, ran in enumerate(runs)]
        assert leaks([*outputs, *self.all_but_the_vault()], CANARIES) == []


def rows(number: int) -> pa.Table:
    """Harmless rows, and one canary of each kind."""
    harmless = [f"https://harmless.example/{number}/{row}.jpg" for row in range(40)]
    plain = [hashlib.md5(url.encode()).hexdigest() for url in harmless]
    urls = [*harmless, URLS[0], URLS[1], URLS[2], f"https://{HOSTS[0]}/twin-c4n4ry0-{number}.jpg"]
    digests = [*plain, DIGESTS[0], DIGESTS[1], None, DIGESTS[0]]
    texts = [*(["a red bicycle"] * 40), CAPTIONS[0], CAPTIONS[1], CAPTIONS[0], CAPTIONS[1]]
    return pa.table({"URL": urls, "TEXT": texts, "md5": digests})


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    place = Place(tmp_path)
    place.write({"a.parquet": rows(0), "sub/b.parquet": rows(1)}, row_group_size=7)
    place.list_of("digests", {"md5": [DIGESTS[0]]})
    place.list_of("addresses", {"url": [URLS[1], URLS[2]]})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return Scene(place, temporary)


def test_the_search_finds_what_it_should() -> None:
    for canary in CANARIES:
        for spelling in filter(lambda spelling: len(spelling) >= SHORTEST_BYTES, spellings_of_text(canary).values()):
            assert leaks([("here", b"before " + spelling + b" after")], [canary]) == ["here"]
    split = CANARIES[0][:9].encode() + b"\r\n" + CANARIES[0][9:].encode()
    assert leaks([("split", split)], CANARIES) == ["split"]
    assert leaks([("other", b"nothing to see")], CANARIES) == []


def test_a_whole_audit_leaks_nothing(scene: Scene) -> None:
    ran = scene.audit("--json")
    assert ran.status == 0
    assert len(scene.place.findings()) == 8
    scene.check(ran, scene.vetset("status", scene.place.run, "--verify"), scene.vetset("close", scene.place.run))
    closed = scene.vetset("vault", "open", scene.place.run, "--identity", scene.place.root / "no-such-file")
    assert closed.status == 1
    scene.check(closed)


def test_the_vault_opens_with_an_identity_only(scene: Scene) -> None:
    scene.audit()
    key = scene.place.root / "home" / "vetset" / "custodian.key"
    assert leaks(files_below(scene.place.run), CANARIES) == []  # the vault's files too, as they lie
    scene.vetset("close", scene.place.run)
    opened = scene.vetset("vault", "open", scene.place.run, "--identity", key)
    assert opened.status == 0
    assert all(leaks([("findings", opened.output)], [url]) for url in URLS)
    other = scene.place.root / "other.key"
    scene.vetset("keys", "new", "--out", other)
    refused = scene.vetset("vault", "open", scene.place.run, "--identity", other)
    assert refused.status == 1
    scene.check(refused)


def test_after_close_nothing_in_the_run_opens_it(scene: Scene) -> None:
    scene.audit()
    scene.vetset("close", scene.place.run)
    assert not (scene.place.run / "run.key").exists()
    assert not (scene.place.run / "joins").exists()
    texts = [data for _, data in files_below(scene.place.run)]
    assert not any(b"AGE-SECRET-KEY" in text for text in texts)


def wrong_type(table: pa.Table) -> pa.Table:
    return table.set_column(0, "URL", pa.array([[url] for url in table["URL"].to_pylist()]))


def test_errors_with_a_shard_leak_nothing(scene: Scene) -> None:
    folder = scene.place.dataset
    whole = (folder / "a.parquet").read_bytes()
    (folder / "truncated.parquet").write_bytes(whole[:-40])
    (folder / "scrambled.parquet").write_bytes(scrambled(whole))
    pq.write_table(wrong_type(rows(3)), folder / "types.parquet")
    (folder / "odd.jsonl").write_text(f'{{"url": "{URLS[0]}", "md5": ["{DIGESTS[0]}"]}}\n{{"url": "https://harmless')
    (folder / "bad.csv").write_text(f'url,md5\n"{URLS[0]},{DIGESTS[0]}\n{URLS[1]},x\n')
    (folder / "headless.csv").write_text(f"{URLS[0]},{DIGESTS[0]}\n{URLS[1]},{DIGESTS[1]}\n")
    (folder / "undecodable.csv").write_bytes(b"url,md5\n\xff\xfe," + DIGESTS[0].encode() + b"\n")
    ran = scene.audit("--json")
    assert ran.status == 3
    assert ran.output.count(b": failed in ") == 5
    scene.check(
        ran, scene.vetset("status", scene.place.run), scene.vetset("retry", scene.place.run, "--only", "failed")
    )


def scrambled(whole: bytes) -> bytes:
    """The same length and footer, with pages overwritten by canaries."""
    middle = bytearray(whole)
    text = (URLS[0] + DIGESTS[0]).encode()
    for start in range(64, min(len(whole) - 4000, 3000), len(text)):
        middle[start : start + len(text)] = text
    return bytes(middle)


@pytest.mark.parametrize("what", ["list", "vault", "manifest", "results", "joins"])
def test_errors_with_damaged_files_leak_nothing(scene: Scene, what: str) -> None:
    first = scene.audit()
    assert first.status == 0
    folders = {"vault": "vault/screen", "manifest": "manifests/screen", "results": "results/screen", "joins": "joins"}
    if what == "list":
        victims = [scene.place.lists[0]]
    else:
        victims = sorted(path for path in (scene.place.run / folders[what]).iterdir() if path.is_file())
    for victim in victims:
        data = bytearray(victim.read_bytes())
        data[len(data) // 2 :] = (URLS[0] + CAPTIONS[0]).encode()
        victim.write_bytes(bytes(data))
    second = scene.audit("--resume")
    verified = scene.vetset("status", scene.place.run, "--verify")
    outputs = [("again", second.output), ("verified", verified.output)]
    assert leaks(outputs, CANARIES) == []
    assert second.status in {0, 1, 3}
    assert b"Traceback" not in second.output + verified.output


def test_a_list_that_will_not_compile_leaks_nothing(scene: Scene) -> None:
    source = scene.place.root / "tmp" / "bad.txt"
    lines = [f"md5 {DIGESTS[0]}zz", URLS[0], f"sha1 {DIGESTS[1]}", f"nosuch {URLS[1]}", f"md5 {DIGESTS[2]}"]
    source.write_text("\n".join(lines) + "\n", "utf-8")
    compiled = scene.vetset(
        "lists", "compile", scene.place.root / "home" / "l.vsl", source, "--name", "l", "--version", 1
    )
    shown = scene.vetset("lists", "show", scene.place.root / "home" / "l.vsl")
    source.unlink()
    assert compiled.status == 0
    assert shown.status == 0
    scene.check(compiled, shown)


def test_killed_workers_leave_nothing(scene: Scene) -> None:
    ran = scene.audit("--workers", 1, "--strict")
    assert ran.status == 0
    assert not (scene.place.run / "run.key").exists()
    scene.check(ran)

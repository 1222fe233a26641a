"""Fetching beside img2dataset: the same pictures from the same server, by both in turn, in a network of its own.

    python bench/fetching.py [--requests 22000] [--rounds 3]     `--rounds 0`: how memory grows with requests

nginx (Debian: nginx-light) serves synthetic photos under 64 host names, keep-alive, from the page cache. Each
contender runs in processes of its own, 64 at once, no rate limit on either side; CPU seconds are of all of them. Each
run is done twice, with few and with many requests, and what is shown is the difference: neither start-up nor robots.txt
counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

HOSTS = 64
PICTURES = 400
AT_ONCE = 64
BATCH = 64
FEW = 2_000
NAMES = {f"host{number}.pictures.test": f"11.0.0.{number + 1}" for number in range(HOSTS)}

_NGINX = """
user root; worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600;
  open_file_cache max=10000 inactive=1h; types {{ image/jpeg jpg; }} client_body_temp_path {folder}/body;
  server {{
    listen 80; listen 443 ssl; root {folder}/pictures;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
  }}
}}
"""


# --- the contenders ---------------------------------------------------------------------------------------------------


def urls(count: int, scheme: str) -> Iterator[str]:
    names = list(NAMES)
    for number in range(count):
        yield f"{scheme}://{names[number % HOSTS]}/{number % PICTURES}.jpg"


def fetched(addresses: Iterable[str], folder: Path, **changes: object) -> Iterator[bytes]:
    from vetset.config import FetchSettings
    from vetset.fetcher.web import WebFetcher
    from vetset.records import Request, Sealed

    given = {
        "contact": "bench@vetset.example",
        "connections": AT_ONCE,
        "milliseconds_between_requests": 0,
        "certificates_file": str(folder / "authority.pem"),
    }
    with WebFetcher(FetchSettings(**{**given, **changes})) as asking:  # type: ignore[arg-type]
        for answer in asking.fetch(Request(number, Sealed(url)) for number, url in enumerate(addresses)):
            if answer.body is None:
                raise SystemExit(f"a picture did not come: {answer.outcome}")
            yield answer.body.unseal()


def batches(bodies: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for body in bodies:
        batch.append(body)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def vetset_md5(addresses: Iterable[str], folder: Path, **changes: object) -> int:
    from vetset.kernels import native

    done = 0
    for batch in batches(fetched(addresses, folder, **changes)):
        digests = np.empty((len(batch), 16), np.uint8)
        if native.LIB is None:
            raise SystemExit("the native kernels were not built")
        native.LIB.body_digests("md5", batch, digests)
        done += len(digests)
    return done


def vetset_polite(addresses: Iterable[str], folder: Path) -> int:
    return vetset_md5(addresses, folder, milliseconds_between_requests=500)


def vetset_all(addresses: Iterable[str], folder: Path) -> int:
    """md5, sha1, sha256, and PDQ in eight orientations of every view, decoded in the sandbox."""
    from vetset.config import FingerprintSettings, SandboxSettings
    from vetset.records import Picture, Sealed
    from vetset.sandbox.room import Sandbox
    from vetset.stages.fingerprint import fingerprint

    done = 0
    with Sandbox(FingerprintSettings(), SandboxSettings()) as sandbox:
        for batch in batches(fetched(addresses, folder)):
            pictures = [Picture(row, Sealed(body)) for row, body in enumerate(batch)]
            result = fingerprint(pictures, sandbox)
            done += result.tally["fingerprinted"]
    return done


def img2dataset_with(addresses: Iterable[str], folder: Path, **changes: object) -> int:
    from img2dataset import download

    listed, out = folder / f"urls-{os.getpid()}.txt", folder / f"out-{os.getpid()}"
    listed.write_text("\n".join(addresses), "ascii")
    given = {"processes_count": 1, "thread_count": AT_ONCE, "number_sample_per_shard": 10_000, "output_format": "dummy"}
    download(
        url_list=str(listed), input_format="txt", output_folder=str(out), enable_wandb=False, **{**given, **changes}
    )
    stats = [json.loads(path.read_text()) for path in out.glob("*_stats.json")]
    shutil.rmtree(out)
    return sum(one["successes"] for one in stats)


def img2dataset_md5(addresses: Iterable[str], folder: Path) -> int:
    return img2dataset_with(addresses, folder, disable_all_reencoding=True, compute_hash="md5")


def img2dataset_default(addresses: Iterable[str], folder: Path) -> int:
    """Decoded, resized to 256 with a border, encoded again; its sha256."""
    return img2dataset_with(addresses, folder)


def img2dataset_no_resize(addresses: Iterable[str], folder: Path) -> int:
    """Decoded and encoded again at its own size."""
    return img2dataset_with(addresses, folder, resize_mode="no")


CONTENDERS: dict[str, tuple[Callable[[Iterable[str], Path], int], str, int]] = {
    # name: what it does, scheme, how many requests of the many
    "vetset, md5": (vetset_md5, "http", 1),
    "img2dataset, md5, re-encoding disabled": (img2dataset_md5, "http", 1),
    "vetset, all fingerprints": (vetset_all, "http", 1),
    "img2dataset, default": (img2dataset_default, "http", 1),
    "img2dataset, `resize_mode=no`": (img2dataset_no_resize, "http", 1),
    "vetset, md5, TLS": (vetset_md5, "https", 1),
    "img2dataset, md5, re-encoding disabled, TLS": (img2dataset_md5, "https", 2),
    "vetset, md5, polite defaults": (vetset_polite, "http", 10),
}
#: Who is measured against whom, with bar and goal.
PAIRS = (
    ("vetset, md5", "img2dataset, md5, re-encoding disabled", "3.5", "5"),
    ("vetset, all fingerprints", "img2dataset, default", "2.5", "4"),
    ("vetset, all fingerprints", "img2dataset, `resize_mode=no`", "", ""),
    ("vetset, md5, TLS", "img2dataset, md5, re-encoding disabled, TLS", "", ""),
)


# --- measuring --------------------------------------------------------------------------------------------------------


def spent(name: str, count: int, folder: Path) -> tuple[float, float, int]:
    """CPU and wall seconds of a contender's processes, and the most memory that one of them had."""
    words = [sys.executable, __file__, "--contender", name, str(count), str(folder)]
    environment = {**os.environ, "SSL_CERT_FILE": str(folder / "authority.pem"), "NO_ALBUMENTATIONS_UPDATE": "1"}
    started = time.monotonic()
    with (folder / "printed").open("w") as printed:
        process = subprocess.Popen(words, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name}: {(folder / 'printed').read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - started, usage.ru_maxrss * 1024


def grown(folder: Path, requests: int) -> None:
    """Memory after a tenth of the requests and after all of them."""
    for count in (requests // 10, requests):
        _, seconds, memory = spent("vetset, md5", count, folder)
        print(f"{count:,} requests: {memory / 1e6:,.0f} MB at most, {seconds:,.0f} s", flush=True)


def inside(folder: Path, requests: int, rounds: int, only: list[str]) -> None:
    """Serves, and lets the contenders take turns; the table goes to stdout."""
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    server = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")])
    time.sleep(1)
    names = [name for name in CONTENDERS if not only or any(part in name for part in only)]
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in names}
    try:
        if not rounds:
            grown(folder, requests)
        for number in range(rounds):
            for name in names:
                many = max(requests // CONTENDERS[name][2], FEW)
                few = FEW if many > FEW else many // 4
                small, large = spent(name, few, folder), spent(name, many, folder)
                rate, wall = (many - few) / (large[0] - small[0]), (many - few) / (large[1] - small[1])
                found[name].append((rate, wall, large[2]))
                print(f"round {number + 1}, {name}: {rate:,.0f}/CPU s, {wall:,.0f}/s", file=sys.stderr, flush=True)
    finally:
        server.terminate()
        server.wait()
    if rounds:
        show(found)


def show(found: dict[str, list[tuple[float, float, int]]]) -> None:
    """Medians of the rounds; of a pair the median of its ratios, since what disturbs a round disturbs both."""
    print("| contender | pictures / CPU s | µs a picture | pictures / s of the clock | most memory of a process, MB |")
    print("|---|--:|--:|--:|--:|")
    for name, rounds in found.items():
        rate, wall, memory = (median(one[column] for one in rounds) for column in range(3))
        print(f"| {name} | {rate:,.0f} | {1e6 / rate:,.0f} | {wall:,.0f} | {memory / 1e6:,.0f} |")
    print("\n| work | against | measured | bar | goal |\n|---|---|--:|--:|--:|")
    for ours, theirs, bar, goal in PAIRS:
        if ours in found and theirs in found:
            ratios = [one[0] / other[0] for one, other in zip(found[ours], found[theirs], strict=True)]
            measured = f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
            print(f"| {ours} | {theirs} | {measured} | {bar} | {goal} |")


def prepared(folder: Path) -> None:
    """Pictures, and certificates for their hosts."""
    from vetset.testing.certificates import authority
    from vetset.testing.pictures import jpeg, picture

    (folder / "pictures").mkdir()
    sizes = []
    for number in range(PICTURES):
        body = jpeg(picture(number, width=360, height=270), quality=88)
        (folder / "pictures" / f"{number}.jpg").write_bytes(body)
        sizes.append(len(body))
    own = authority(folder)
    own.server("any.pictures.test", "*.pictures.test")
    shutil.copy(folder / "any.pictures.test-0-0.pem", folder / "server.pem")
    shutil.copy(folder / "any.pictures.test-0-0.key", folder / "server.key")
    print(f"{PICTURES} pictures of 360 by 270, {sum(sizes) / len(sizes) / 1000:.1f} kB on average", file=sys.stderr)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=22_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", nargs="*", default=[], help="parts of contenders' names")
    options.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--contender", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.contender:
        name, count, folder = chosen.contender
        work, scheme, _ = CONTENDERS[name]
        done = work(urls(int(count), scheme), Path(folder))
        if done != int(count):
            raise SystemExit(f"{done} of {count} pictures")
        return
    if chosen.inside:
        inside(chosen.inside, chosen.requests, chosen.rounds, chosen.only)
        return
    if shutil.which("nginx") is None:
        raise SystemExit("this benchmark needs nginx: install Debian's nginx-light")
    from vetset.testing.network import in_own_network

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder)
        words = [sys.executable, __file__, "--inside", str(folder), "--requests", str(chosen.requests)]
        words += ["--rounds", str(chosen.rounds), "--only", *chosen.only]
        print(f"img2dataset {version('img2dataset')}, pycurl {version('pycurl')}\n", file=sys.stderr)
        sys.exit(subprocess.run(in_own_network(words, folder / "network", NAMES), check=False).returncode)


if __name__ == "__main__":
    main()

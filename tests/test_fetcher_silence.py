"""Nothing that is fetched touches the disk, and no address is said to anybody but the host: strace over a whole fetch."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.tools import needed
from tests.webs import PICTURE, fetched, requests, small_web
from vetset.records import Answer, FetchOutcome, Sealed
from vetset.testing.certificates import Authority, authority
from vetset.testing.web import NOT_FOUND, Page, Seen

pytestmark = pytest.mark.own_network

CANARY = b"c4n4ry-of-a-body-"
PATH_CANARY = "c4n4ry-of-a-link"
BODY = b"\xff\xd8\xff" + CANARY * 30_000

#: The fetch as a program of its own, so that strace sees it and nothing of the servers.
WATCHED = """
import json
import sys
from collections import Counter
from tests.webs import fetched
urls = [f"{scheme}://h{number % 5}.test/{kind}/c4n4ry-of-a-link-{number}.jpg"
        for number in range(20) for scheme in ("http", "https") for kind in ("whole", "cut", "html", "gone", "moved", "large")]
urls += ["http://nowhere.test/c4n4ry-of-a-link", "http://127.0.0.1/c4n4ry-of-a-link", "file:///c4n4ry-of-a-link", "c4n4ry-of-a-link"]
answers = fetched(urls, robots=True, certificates_file=sys.argv[1], max_bytes=600_000, timeout_seconds=60)
print(json.dumps(Counter(answer.outcome.value for answer in answers)))
"""


def pages(seen: Seen) -> Page:
    kind = seen.path.split("/")[1]
    return {
        "whole": Page(BODY),
        "cut": Page(BODY, said_bytes=len(BODY) + 9, close=True),
        "html": Page(b"<html>" + CANARY),
        "gone": Page(CANARY, 404),
        "moved": Page(CANARY, 302, (("Location", seen.path.replace("moved", "whole")),)),
        "large": Page(BODY * 2),
    }.get(kind, NOT_FOUND)


@pytest.mark.parametrize("calls", ["files", "bytes"])
def test_no_body_is_written_and_no_file_is_made(calls: str, tmp_path: Path) -> None:
    own, trace = authority(tmp_path / "keys"), tmp_path / "trace"
    opening = "trace=openat,open,creat,rename,renameat2,mkdir,mkdirat,link,linkat,symlink,memfd_create,mknod,ftruncate"
    writing = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,copy_file_range,splice"
    strace = [needed("strace"), "-f", "-qq", "-yy", "-s", "1000000", "-e", opening if calls == "files" else writing]
    done = _served(own, [*strace, "-o", str(trace), sys.executable, "-B", "-c", WATCHED, str(own.file)])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "fetched": 80, "server_error": 40, "not_an_image": 40, "gone": 40, "too_large": 40, "dns": 1, "blocked_address": 3,
    }  # fmt: skip
    assert done.stderr == ""
    lines = trace.read_text("latin-1").splitlines()
    assert len(lines) > 50
    if calls == "files":
        made = [
            line
            for line in lines
            if re.search(r"O_(WRONLY|RDWR|CREAT|TMPFILE)|creat\(|memfd_create|rename|mkdir", line)
        ]
        assert [line for line in made if '"/dev/null"' not in line and "ENOENT" not in line] == []
        return
    assert [line[:200] for line in lines if CANARY.decode() in line] == []
    said = [line for line in lines if PATH_CANARY in line]
    assert len(said) >= 120  # the requests by http, in clear
    assert [line[:200] for line in said if not re.search(r"(sendto|write|sendmsg)\(\d+<TCP:", line)] == []


def _served(own: Authority, words: list[str]) -> subprocess.CompletedProcess[str]:
    tls = own.server(*(f"h{number}.test" for number in range(5)))
    with small_web(pages, places=[("11.0.0.1", 80), ("11.0.0.1", 443)], tls=tls):
        return subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)


def test_an_answer_does_not_show_what_it_holds() -> None:
    with small_web(lambda _: PICTURE):
        answer = fetched(["http://a.test/c4n4ry-of-a-link.jpg"])[0]
    assert PATH_CANARY not in repr(answer)
    assert isinstance(answer, Answer)
    assert isinstance(answer.body, Sealed)
    with pytest.raises(TypeError):
        pickle.dumps(answer)
    assert PATH_CANARY not in repr(requests(["http://a.test/c4n4ry-of-a-link.jpg"])[0])


def test_trouble_is_told_without_its_address(capfd: pytest.CaptureFixture[str]) -> None:
    """libcurl's own messages name hosts; none of them is passed on."""
    with small_web(lambda _: Page(b"x", 302, (("Location", "http://c4n4ry-of-a-link.test:22/"),))):
        answers = fetched(
            [f"http://{PATH_CANARY}.test/", "http://c4n4ry-of-a-link.nowhere.test/", f"http://[{PATH_CANARY}"]
        )
    assert Counter(answer.outcome for answer in answers) == {FetchOutcome.BLOCKED_ADDRESS: 2, FetchOutcome.DNS: 1}
    assert PATH_CANARY not in "".join(capfd.readouterr())

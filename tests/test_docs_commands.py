"""Every command line in a document is one that the command line takes; the first session of the README runs."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest

from tests.documents import ROOT, blocks, commands_in_blocks, commands_in_prose, documents, name_of, section
from vetset.cli import vetset
from vetset.records import ScreenOutcome
from vetset.testing.plants import Plants, plant
from vetset.testing.rows import write_shards

every_document = pytest.mark.parametrize("path", documents(), ids=name_of)


# --- command lines --------------------------------------------------------------------------------------------------


def command_of(words: Sequence[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that the words name, and the words left for it. Raises click.UsageError if there is none."""
    command: click.Command = vetset
    context = click.Context(vetset, info_name="vetset")
    rest = list(words)
    while isinstance(command, click.Group) and rest:
        name, *rest = rest
        inner = command.get_command(context, name)
        if inner is None:
            raise click.UsageError(f"no command {name}")
        command = inner
        context = click.Context(command, info_name=name, parent=context)
    return command, context, rest


def parse(line: str) -> None:
    """Lets click read a command line, without running it. Raises click.UsageError for what it does not take."""
    words = shlex.split(line, comments=True)[1:]
    command, context, rest = command_of(words)
    if isinstance(command, click.Group):
        raise click.UsageError("a group, and no command of it")
    command.make_context(str(context.info_name), rest, parent=context.parent)


def parse_in_passing(code: str) -> None:
    """A command named in a sentence: its name and options must exist; arguments and values may be left out."""
    words = [word for word in shlex.split(code)[1:] if word not in {"...", "…"}]
    command, _, rest = command_of(words)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("-") and word not in known]
    if unknown:
        raise click.UsageError(f"no option {unknown[0]}")


@every_document
def test_command_lines_are_taken(path: Path) -> None:
    text = path.read_text("utf-8")
    for line in commands_in_blocks(text):
        try:
            parse(line)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@every_document
def test_commands_named_in_passing_exist(path: Path) -> None:
    for code in commands_in_prose(path.read_text("utf-8")):
        try:
            parse_in_passing(code)
        except click.UsageError as error:
            pytest.fail(f"{code}: {error.format_message()}")


def test_the_documents_show_commands() -> None:
    text = "".join(path.read_text("utf-8") for path in documents())
    shown = {tuple(shlex.split(line, comments=True)[1:2]) for line in commands_in_blocks(text)}
    assert {("audit",), ("lists",), ("close",), ("vault",), ("keys",), ("status",), ("retry",), ("clean",)} <= shown


@pytest.mark.parametrize(
    "line",
    [
        "vetset audit laion/ --lists a.vsl",
        "vetset audit laion/ --lists a.vsl --out run1 --fetch",
        "vetset audit laion/ more/ --lists a.vsl --out run1",
        "vetset audit laion/ --lists a.vsl --out run1 --workers many",
        "vetset audit laion/ --lists a.vsl --out run1 --reach everything",
        "vetset show run1",
        "vetset lists",
        "vetset lists fetch ncmec",
        "vetset lists compile a.vsl a.txt --name a --version 0",
        "vetset vault open run1",
    ],
)
def test_a_line_that_is_not_taken_would_be_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


@pytest.mark.parametrize("code", ["vetset view RUN", "vetset status RUN --pictures", "vetset lists export"])
def test_a_command_that_does_not_exist_would_be_noticed(code: str) -> None:
    with pytest.raises(click.UsageError):
        parse_in_passing(code)


# --- the first session ----------------------------------------------------------------------------------------------


def session_lines() -> list[str]:
    """The README's first session, but for what opens a window."""
    (block,) = blocks(section((ROOT / "README.md").read_text("utf-8"), "A first session"))
    return [line for line in block.text.splitlines() if not line.startswith("xdg-open ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="module")
def plants(place: Path) -> Plants:
    """A folder with what the session takes for granted: `laion/` and `hashes.txt`."""
    write_shards(place / "laion", 2_000, 2, seed=7)
    planted = plant(place / "laion", place / "sources", seed=7)
    (place / "hashes.txt").write_bytes(b"".join(path.read_bytes() for path in planted.lists.values()))
    return planted


@pytest.fixture(scope="module")
def session(place: Path, plants: Plants) -> subprocess.CompletedProcess[str]:
    environment = {
        "HOME": str(place),
        "XDG_CONFIG_HOME": str(place / ".config"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LANG": "C.UTF-8",
    }
    script = "set -eu\n" + "\n".join(session_lines())
    return subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def rows_in(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def test_the_first_session_runs(session: subprocess.CompletedProcess[str]) -> None:
    assert session.returncode == 0, session.stderr
    assert session.stdout == ""


def test_it_leaves_what_the_readme_says(session: subprocess.CompletedProcess[str], place: Path) -> None:
    summary = json.loads((place / "run1" / "summary.json").read_bytes())
    assert summary["complete"]
    assert summary["rows"]["total"] == 2_000
    assert (place / "run1" / "summary.html").is_file()
    assert not (place / "run1" / "run.key").exists()
    assert not (place / "run1" / "joins").exists()
    assert sorted(path.name for path in (place / "laion-cleaned").iterdir()) == sorted(
        path.name for path in (place / "laion").iterdir()
    )


def test_its_findings_are_the_rows_that_were_left_out(
    session: subprocess.CompletedProcess[str], place: Path, plants: Plants
) -> None:
    findings = [json.loads(line) for line in (place / "findings.jsonl").read_text("utf-8").splitlines()]
    found = {(finding["shard"], finding["row"]) for finding in findings}
    assert len(found) == len(findings) == rows_in(place / "laion") - rows_in(place / "laion-cleaned")
    assert {place for place, outcome in plants.expected.items() if outcome is ScreenOutcome.HIT} <= found
    assert stat.S_IMODE((place / "findings.jsonl").stat().st_mode) == 0o600


def test_it_shows_no_address(session: subprocess.CompletedProcess[str], place: Path) -> None:
    addresses = {json.loads(line)["url"] for line in (place / "findings.jsonl").read_text("utf-8").splitlines()}
    assert addresses
    assert not [address for address in addresses if address and address in session.stderr]


def test_what_the_session_leaves_out_is_only_a_window() -> None:
    (block,) = blocks(section((ROOT / "README.md").read_text("utf-8"), "A first session"))
    assert set(block.text.splitlines()) - set(session_lines()) == {"xdg-open run1/summary.html"}

"""The documents as tests see them: which there are, their prose, their code blocks, their commands.

In it: reading Markdown as far as this project uses it. Not in it: what must hold of the documents (`test_docs*`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_QUOTED = re.compile(r'"[^"\n]*"')


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code: its language (may be empty) and its text."""

    language: str
    text: str


def documents() -> list[Path]:
    """Every Markdown file that belongs to the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])


def written_by_hand() -> list[Path]:
    return [path for path in documents() if REFERENCE not in path.parents]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    return [Block(language, body) for language, body in _FENCE.findall(text)]


def without_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def prose(text: str) -> str:
    """What the document itself says: no code, and nothing in quotation marks, which is what others say."""
    return _QUOTED.sub("", _INLINE.sub("", without_blocks(text)))


def inline_code(text: str) -> list[str]:
    return _INLINE.findall(without_blocks(text))


def all_code(text: str) -> list[str]:
    return [*inline_code(text), *(block.text for block in blocks(text))]


def links(text: str) -> list[str]:
    """Targets of links, as written."""
    return _LINK.findall(_INLINE.sub("", without_blocks(text)))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as hosts of Markdown make them."""
    headings = re.findall(r"^#+ +(.+)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next; a single # may be a comment in a block."""
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading!r}"
    return found.group(1)


def first_cells(text: str) -> Iterator[list[str]]:
    """For each row of a table, the code in its first cell."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield _INLINE.findall(line.split("|")[1])


def commands_in_blocks(text: str) -> list[str]:
    """Whole command lines of vetset. A synopsis ([OPTIONS]) is none."""
    lines = [line.strip() for block in blocks(text) if not block.language for line in block.text.splitlines()]
    return [line for line in lines if line.startswith("vetset ") and "[OPTIONS]" not in line]


def commands_in_prose(text: str) -> list[str]:
    """Commands named in passing, which need not have all their arguments."""
    return [code for code in inline_code(text) if code.startswith("vetset ")]

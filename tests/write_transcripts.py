"""Golden transcripts of refused commands: what was typed, how it ended, what was said; folders replaced by a word.

Run as `python -m tests.write_transcripts` it writes them anew; the tests compare.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.commanding import User, at_work
from tests.refusals import Words
from tests.refusals_of_fetch import CASES

REFUSALS = Path(__file__).parent / "transcripts" / "refusals.txt"
_MARK = "### "
_KEY = re.compile(r"(AGE-SECRET-KEY-1|age1)\w{50,}")


def section_of(name: str, user: User, words: Words) -> str:
    """Runs the refused command and tells it as a section, which says so only if no file was written."""
    leaves_run = CASES[name].leaves_run
    ran = user.refused(*words, leaves_run=leaves_run)
    typed = " ".join(["vetset", *map(str, words)])
    end = "and no file was written outside RUN" if leaves_run else "and no file was written"
    told = f"{_MARK}{name}\n$ {typed}\nexit {ran.status}\n{ran.err}{end}\n"
    return _KEY.sub(r"\1...", told.replace(str(user.root), "TMP"))


def sections(path: Path) -> dict[str, str]:
    """The sections of a transcript by name."""
    parts = path.read_text("utf-8").split(_MARK)[1:] if path.is_file() else []
    return {part.partition("\n")[0]: (_MARK + part).rstrip("\n") + "\n" for part in parts}


def main() -> None:
    told = []
    for name, refusal in CASES.items():
        with at_work() as user:
            told.append(section_of(name, user, refusal.prepare(user)))
    REFUSALS.parent.mkdir(exist_ok=True)
    REFUSALS.write_text("\n".join(told), "utf-8")


if __name__ == "__main__":
    main()

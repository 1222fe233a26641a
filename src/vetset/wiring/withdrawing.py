"""The job `verify --withdrawn`: a newer version of a run's list may have taken back every entry that hit a case.

In it: the lists opened, what fell told to the casebook. Not in it: what falls (`kernels.withdrawal`), what that does to
a case (`cases`), and releasing its row (`clean`).
Rules: doubt keeps: a picture's cases fall together or not at all, and none falls that a body accuses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vetset.hashlists.compiled import map_list, open_list
from vetset.hashlists.seen import check_not_rolled_back, remember
from vetset.kernels.withdrawal import Finding, released
from vetset.ledger import Disk
from vetset.pipeline.casebook import WITHDRAWN, Casebook
from vetset.ports import HashList
from vetset.vault import read_identities
from vetset.vault.custody import CUSTODIAN_KEY
from vetset.wiring.job import Result
from vetset.wiring.verdicts import Verifying, opened_book, state_lines


def withdraw(request: Verifying, files: Sequence[Path], disk: Disk | None = None) -> Result:
    """Holds the findings of a run against lists as they are now. The same lists again change nothing."""
    own = request.config_folder / CUSTODIAN_KEY
    texts = read_identities([*request.identities, *([own] if own.is_file() else [])])
    with opened_book(request.run, request.identities, request.config_folder, disk) as run, ExitStack() as opened:
        lists = []
        for path in files:
            fd = open_list(path, texts, today=request.now().date())
            opened.callback(os.close, fd)
            lists.append(map_list(fd))
        for hash_list in lists:
            check_not_rolled_back(request.config_folder, hash_list.ref)
            remember(request.config_folder, hash_list.ref)
        lines = list(_lines(run.book, lists, request.moment()))
        run.book.append(lines)
        run.book.journal.fold()
        cases = sum(len(line["cases"]) for line in lines)
        said = f"{cases:,} cases of {len(lines):,} pictures lost every entry that hit them"
        return Result(complete=True, hits=0, lines=(said, *state_lines(run.book)))


def _lines(book: Casebook, lists: Sequence[HashList], at: str) -> Iterator[dict[str, Any]]:
    """One line for each picture of which every case that a list met has lost its reasons."""
    findings = [Finding(case.id, case.address, case.matches) for exhibit in book.exhibits for case in exhibit.cases]
    fallen = {release.case: release for release in released(findings, lists)}
    known = {tuple(line["cases"]) for line in book.journal.lines if line["what"] == WITHDRAWN}
    for exhibit in book.exhibits:
        met = [case.id for case in exhibit.cases if case.matches]
        if met and all(case in fallen for case in met) and tuple(met) not in known:
            gone = [asdict(one) for case in met for one in fallen[case].gone]
            yield {"what": WITHDRAWN, "cases": met, "gone": gone, "at": at}

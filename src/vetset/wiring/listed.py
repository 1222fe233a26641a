"""The lists of a run, opened for all its workers at once: exact keys, near keys, and what the summary says of each.

In it: descriptors of sealed memory, and the refusals that lists give rise to. Not in it: their files (`hashlists`).
Rules: a list is opened into memory and never onto the disk; descriptors are closed when the run is over.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vetset.config import Settings
from vetset.errors import Stop
from vetset.hashlists.compiled import CompiledList, map_list, near_memory_of, open_list
from vetset.hashlists.seen import check_not_rolled_back
from vetset.records import ListRef, Reach, Signal
from vetset.stages.match import MatchSettings
from vetset.summary import ListFigures
from vetset.vault import read_identities
from vetset.vault.custody import CUSTODIAN_KEY
from vetset.wiring.known import known_run

if TYPE_CHECKING:
    from vetset.wiring.opening import Request


def identities_of(request: Request) -> list[str]:
    """The identities named, and the custodian's own where there is one."""
    own = request.config_folder / CUSTODIAN_KEY
    named = [*request.identities, *([own] if own.is_file() else [])]
    return read_identities(named)


def goes_without(request: Request) -> bool:
    """Whether a run has no list, and keeps the fingerprints of its pictures for a platform to be asked about."""
    return not request.lists and request.settings.audit.keep_digests


@contextlib.contextmanager
def opened_lists(request: Request, identities: Sequence[str]) -> Iterator[tuple[list[int], list[CompiledList]]]:
    if request.bare or goes_without(request):
        yield [], []
        return
    if not request.lists:
        raise Stop("no list to compare with", hint="name compiled lists with --lists L.vsl; see `vetset lists compile`")
    fds: list[int] = []
    try:
        fds.extend(open_list(path, identities, today=request.now.date()) for path in request.lists)
        lists = [map_list(fd) for fd in fds]
        _must_differ([hash_list.ref for hash_list in lists])
        for hash_list in lists:
            check_not_rolled_back(request.config_folder, hash_list.ref)
        yield fds, lists
    finally:
        for fd in fds:
            os.close(fd)


@contextlib.contextmanager
def near_memories(request: Request, lists: Sequence[CompiledList]) -> Iterator[list[int | None]]:
    """For each list what finds its near keys, built once for all workers; nothing where no picture is looked into."""
    if request.settings.audit.reach == Reach.COLUMNS:
        yield [None] * len(lists)
        return
    settings = match_settings(request.settings)
    unknown = sorted(set(request.settings.lists) - {hash_list.ref.name for hash_list in lists}) if lists else []
    if unknown:
        raise Stop(
            f"[lists.{unknown[0]}] names no list of this run",
            hint=f"lists by their own names: {', '.join(hash_list.ref.name for hash_list in lists)}",
        )
    memories: list[int | None] = []
    try:
        memories.extend(near_memory_of(item, settings.radius_of(item.ref.name)) for item in lists)
        yield memories
    finally:
        for memory in memories:
            if memory is not None:
                os.close(memory)


def figures_of(hash_list: CompiledList) -> ListFigures:
    """A list as the summary and run.toml name it."""
    about = hash_list.about
    return ListFigures(
        name=about.name,
        version=about.version,
        digest=hash_list.digest,
        created=about.created,
        expires=about.expires,
        source=about.source,
        purpose=about.purpose,
        entries=hash_list.counts,
    )


def figures_known(run: Path) -> tuple[ListFigures, ...]:
    """The lists that a run was made with, from its run.toml."""
    _, known = known_run(run)
    return tuple(
        ListFigures(**{**item, "entries": {Signal(name): count for name, count in item["entries"].items()}})
        for item in known["lists"]
    )


def _must_differ(refs: Sequence[ListRef]) -> None:
    names = [ref.name for ref in refs]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise Stop(f"two lists are both named {double[0]!r}", hint="compile one of them under another --name")


@contextlib.contextmanager
def descriptor(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def match_settings(settings: Settings) -> MatchSettings:
    """What the stage match needs of the settings."""
    return MatchSettings(
        radius_bits=settings.match.radius_bits,
        radius_by_list={name: table.radius_bits for name, table in settings.lists.items()},
        quality_floor=settings.match.quality_floor,
        variant=settings.fingerprint.variant,
    )

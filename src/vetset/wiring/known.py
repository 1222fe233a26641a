"""What a run knows of itself: run.toml read back and checked, and whether a request is for the same run.

In it: the fingerprint of all that decides results, and the words for what differs from it. Not in it: making and
opening runs (`opening`).
Rules: what carries a run or only lets it go on (workers, batch sizes, --allow-nothing-comparable) is no part of the
fingerprint; a message names files, lists and settings, never a value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vetset import __version__
from vetset.config import Rule, Settings, settings_from
from vetset.datasets.location import Found
from vetset.datasets.printable import printable
from vetset.errors import Stop
from vetset.kernels import native
from vetset.ledger import Disk, Ledger, open_run
from vetset.records import Shard
from vetset.summary import ListFigures

SCHEMA = 1
_TYPES: Mapping[str, type] = {
    "fingerprint": str,
    "vetset": str,
    "dataset": str,
    "clean": str,
    "recipients": list,
    "strict": bool,
    "list_files": list,
    "lists": list,
    "settings": dict,
    "inputs": list,
}


def known_run(root: Path, disk: Disk | None = None) -> tuple[Ledger, dict[str, Any]]:
    """The ledger of a run and its run.toml. Raises Stop if that is damaged, or of another schema."""
    ledger, known = open_run(root, disk)
    if isinstance(known.get("schema"), int) and known["schema"] != SCHEMA:
        raise Stop(f"{root} was made by another version of vetset", hint="use the version that run.toml names")
    if not _is_whole(known):
        raise Stop(
            f"{root / 'run.toml'} is damaged", hint="restore it from a copy: no part of the run holds without it"
        )
    return ledger, known


def _is_whole(known: Mapping[str, Any]) -> bool:
    if not all(isinstance(known.get(name), kind) for name, kind in _TYPES.items()):
        return False
    try:
        settings_from(known["settings"])
        return all(shard_from(item).path for item in known["inputs"]) and all(_triple(item) for item in known["lists"])
    except (TypeError, KeyError, Stop):
        return False


def shard_from(item: Mapping[str, Any]) -> Shard:
    """A shard as run.toml holds it."""
    return Shard(**{**item, "companions": tuple(item.get("companions", ()))})


def _triple(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return item["name"], item["version"], item["digest"]


def fingerprint_of(found: Found, lists: Sequence[ListFigures], settings: Settings, rules: Sequence[Rule]) -> str:
    """SHA-256 in hex over all that decides the results: inputs, settings, words, lists and the code's version."""
    audit = asdict(settings.audit)
    del audit["allow_nothing_comparable"]  # decides whether a run goes on, and nothing that it finds
    known: dict[str, Any] = {
        "vetset": __version__,
        "inputs": [[shard.path, shard.size_bytes, shard.probe] for shard in found.shards],
        "lists": sorted([item.name, item.version, item.digest] for item in lists),
        "audit": audit,
        "columns": dict(settings.columns),
        "native": native.LIB is not None,  # cuts the pages of a Parquet file where Arrow would write a row group anew
        **_of_pictures(settings),
        "rules": [asdict(replace(rule, words_file="")) for rule in rules],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


#: The tables of settings that decide what comes of pictures.
PICTURE_TABLES = ("pictures", "fingerprint", "match", "lists")
#: What of [fetch] decides what is asked and taken; how quickly and how patiently is the operator's to change.
FETCH_DECIDES = ("robots", "opt_outs", "max_bytes", "max_redirects", "ports")


def _of_pictures(settings: Settings) -> dict[str, Any]:
    """What decides the results of a run that looks into pictures; nothing where none is looked into."""
    if settings.audit.reach == "columns":
        return {}
    tree = asdict(settings)
    known = {name: tree[name] for name in PICTURE_TABLES}
    if settings.audit.reach == "fetch":
        known["budget"] = {name: value for name, value in tree["budget"].items() if name != "success_floor"}
        known["fetch"] = {name: tree["fetch"][name] for name in FETCH_DECIDES}
    return known


def another_run(known: Mapping[str, Any], found: Found, lists: Sequence[ListFigures], settings: Settings) -> Stop:
    """Why a request with another fingerprint is not for this run, and what to do."""
    if known["vetset"] != __version__:
        return Stop(
            f"this run was made by vetset {known['vetset']}",
            hint="go on with that version, or audit anew into another --out",
        )
    files = _files_that_differ(known, found)
    if files:
        more = f" and {len(files) - 1} more differ" if len(files) > 1 else " differs"
        return Stop(
            f"the dataset is not what this run was made with: {printable(files[0], max_characters=200)}{more}",
            hint="a changed dataset is another run: name another --out and --clean, or restore the files",
        )
    if sorted(map(_triple, known["lists"])) != sorted((item.name, item.version, item.digest) for item in lists):
        return Stop(
            "this run was made with other lists",
            hint="name the same lists, or compare with these in another --out",
        )
    return Stop(
        f"this run was made with other settings: {_settings_that_differ(known, settings)}",
        hint="name the same settings as when it was made; a changed setting is another run: name another --out",
    )


def _files_that_differ(known: Mapping[str, Any], found: Found) -> list[str]:
    before = {item["path"]: (item["size_bytes"], item["probe"]) for item in known["inputs"]}
    now = {shard.path: (shard.size_bytes, shard.probe) for shard in found.shards}
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def _settings_that_differ(known: Mapping[str, Any], settings: Settings) -> str:
    before = settings_from(known["settings"])
    names = [name for name, value in asdict(settings.audit).items() if asdict(before.audit)[name] != value]
    names += ["[columns]"] if dict(before.columns) != dict(settings.columns) else []
    then, now = _of_pictures(before), _of_pictures(settings)
    names += [f"[{name}]" for name in (*PICTURE_TABLES, "budget", "fetch") if then.get(name) != now.get(name)]
    return ", ".join(names) or "the policy or its words"

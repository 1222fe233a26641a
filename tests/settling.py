"""Drives verify and report for tests: an audit of generated tars, bodies in memory, and what the run holds afterwards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.driving import NOW, Place
from vetset.config import Settings, VerifySettings
from vetset.hashlists.compiled import compile_list
from vetset.ledger import Disk
from vetset.pipeline.casebook import Casebook
from vetset.records import Exhibit, Ruling, Verdict
from vetset.testing.judges import MemoryBodies, MemoryPlatform
from vetset.testing.picture_plants import PicturePlants, plant_pictures
from vetset.wiring import verdicts
from vetset.wiring.job import Result
from vetset.wiring.verdicts import Verifying, opened_book


@dataclass
class Settled:
    """A place whose run is audited, and what its bodies will say."""

    place: Place
    said: list[str] = field(default_factory=list)
    rehearsal: bool = False  # what sandboxes say counts

    def request(self, *platforms: str, live: bool = True, parties: int = 1, **changes: Any) -> Verifying:
        given: dict[str, Any] = {
            "run": self.place.run,
            "platforms": platforms,
            "live": live,
            "agreed": lambda _count: True,
            "say": self.said.append,
            "settings": Settings(verify=VerifySettings(parties=parties)),
            "config_folder": self.place.config,
            "now": lambda: NOW,
        }
        return Verifying(**{**given, **changes})

    def verify(self, bodies: Mapping[str, MemoryPlatform], *, disk: Disk | None = None, **changes: Any) -> Result:
        return verdicts.verify_by_platforms(self.request(*bodies, **changes), MemoryBodies(bodies), disk)

    def book(self) -> Casebook:
        with opened_book(self.place.run, (), self.place.config, with_sandboxes=self.rehearsal) as run:
            return run.book

    def states(self) -> Counter[str]:
        return self.book().counts()

    def exhibits(self) -> list[Exhibit]:
        return self.book().exhibits


def planted(root: Path, **sizes: int) -> tuple[Settled, PicturePlants]:
    """Tars with copies of listed pictures, audited and cleaned."""
    place = Place(root)
    plants = plant_pictures(place.dataset, root / "sources", **{"shards": 2, "samples": 20, "each": 2, **sizes})
    target = root / "planted.vsl"
    compile_list([plants.source], target, name="planted", version=1, created=NOW, recipients=())
    place.lists.append(target)
    place.audit(reach="local")
    return Settled(place), plants


def prints_of(exhibit: Exhibit) -> list[bytes]:
    return [question.fingerprint.unseal() for question in exhibit.prints.values()]


def mixed(exhibits: list[Exhibit], *rulings: Ruling) -> dict[bytes, Verdict]:
    """Rulings dealt over the exhibits in turn, the same for every fingerprint of one."""
    found: dict[bytes, Verdict] = {}
    for place, exhibit in enumerate(exhibits):
        ruling = rulings[place % len(rulings)]
        verdict = Verdict(ruling, match_ids=(f"id{place}",) if ruling is Ruling.CSAM else ())
        found.update(dict.fromkeys(prints_of(exhibit), verdict))
    return found


def answer_to(out: Path, identity: str, rulings: Mapping[str, str], **changes: Any) -> str:
    """A verdict file for a bundle, as its body would write it with stock tools: by opening it with its key."""
    from vetset.vault import age

    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    lines = age.decrypt((out / "cases.age").read_bytes(), [identity]).decode("utf-8").splitlines()
    head = {
        "schema": "vetset/verdicts/1",
        "bundle": manifest["bundle"],
        "sha256": manifest["sha256"],
        "seal": json.loads(lines[0])["seal"],
        "body": manifest["body"],
        "by": "an analyst",
        "date": "2026-11-30",
        **changes,
    }
    answers = [{"picture": picture, "ruling": ruling} for picture, ruling in rulings.items()]
    return "".join(json.dumps(line) + "\n" for line in (head, *answers))

"""From generated tars to the summary, by the command line and over real HTTP: audit, verify, report, clean, summary.

Shield and the CyberTipline are emulated; what every step says is held against what the servers were told.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from tests.bodies import SHIELD_PAIR
from tests.commanding import MEMORY, Ran, User
from tests.driving import NOW, Place
from tests.settling import Settled, prints_of
from vetset.hashlists.compiled import compile_list
from vetset.testing.cybertip_server import PASSWORD, USER, Tipline, cybertip_server
from vetset.testing.picture_plants import plant_pictures
from vetset.testing.service import served
from vetset.testing.shield_server import ShieldServer

WORDS = ("csam", "harmful-abusive-material", "no-known-match", "test")


@dataclass
class World:
    """A user with tars and a list, and two bodies on this machine."""

    user: User
    settled: Settled
    shield: ShieldServer
    tipline: Tipline
    settings: Path
    rows: int

    def vetset(self, *words: object) -> Ran:
        return self.user.vetset(*words)

    def settling(self, verb: str, *words: object) -> Ran:
        return self.vetset(verb, self.user.place.run, "--settings", self.settings, *words)


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY)))
        place = Place(root)
        plants = plant_pictures(place.dataset, root / "sources", shards=2, samples=30, each=4)
        target = root / "planted.vsl"
        compile_list([plants.source], target, name="planted", version=1, created=NOW, recipients=())
        place.lists.append(target)
        shield, tipline = ShieldServer(), Tipline()
        at_shield = stack.enter_context(served(shield))
        at_tipline = stack.enter_context(cybertip_server(tipline))
        stack.enter_context(
            mock.patch.dict(os.environ, {"SHIELD_LOGIN": SHIELD_PAIR, "TIPLINE_LOGIN": f"{USER}:{PASSWORD}"})
        )
        settings = root / "bodies.toml"
        settings.write_text(
            f"""[platforms.shield]
kind = "shield"
sandbox_url = "{at_shield.url}"
credentials_variable = "SHIELD_LOGIN"
batch = 6
requests_per_second = 1000.0

[authorities.tipline]
sandbox_url = "{at_tipline.url}"
credentials_variable = "TIPLINE_LOGIN"
email = "reporter@made-up.example"

[report]
preserve_days = 400
""",
            "utf-8",
        )
        user = User(place)
        settled = Settled(Place(root))
        yield World(user, settled, shield, tipline, settings, plants.pictures)


def book_of(world: World) -> Settled:
    """The cases as the custodian sees them."""
    place = world.user.place
    return Settled(_Elsewhere(place.root, place.lists), rehearsal=True)


class _Elsewhere(Place):
    """The same place, its settings folder where the command line keeps it."""

    @property
    def config(self) -> Path:
        return self.root / "home" / "vetset"


def deal(world: World) -> Counter[str]:
    """Tells the emulated body what it knows of the pictures: each class in turn; answers pictures by class."""
    exhibits = book_of(world).exhibits()
    known = {}
    for place, exhibit in enumerate(exhibits):
        if WORDS[place % len(WORDS)] != "no-known-match":
            known.update(dict.fromkeys(prints_of(exhibit), WORDS[place % len(WORDS)]))
    world.shield.pdqs = known
    return Counter(WORDS[place % len(WORDS)] for place in range(len(exhibits)))


def test_from_tars_to_the_summary_the_counts_reconcile_at_every_step(world: World) -> None:
    place = world.user.place
    ran = world.user.audit("--reach", "local", "--clean", place.cleaned)
    assert ran.status == 0, ran.err
    found = Counter(place_outcome(world).values())
    assert found.total() == 40  # 20 edits in each of two tars
    before = json.loads((place.run / "summary.json").read_text("utf-8"))
    assert before["outcomes"]["hit"] + before["outcomes"]["near_hit"] == found.total()
    classes = deal(world)
    pictures = sum(classes.values())

    # verify: planned, then confirmed by count
    plan = world.settling("verify", "--platform", "shield", "--plan")
    assert plan.status == 0
    assert f"{found.total()} cases of {pictures} pictures are not settled" in plan.err
    assert "nothing was sent" in plan.err
    wrong = world.settling("verify", "--platform", "shield", "--live", "--yes-send", pictures + 100)
    assert wrong.status == 1
    assert "count was not confirmed" in wrong.err
    asked = sum(len(prints) for prints in {tuple(prints_of(exhibit)) for exhibit in book_of(world).exhibits()})
    ran = world.settling("verify", "--platform", "shield", "--live", "--yes-send", asked)
    assert ran.status == 0, ran.err
    states = book_of(world).states()
    assert states.total() == found.total()
    assert states == Counter(
        confirmed=2 * classes["csam"],
        harmful_not_illegal=2 * classes["harmful-abusive-material"],
        undecided=2 * classes["no-known-match"],
        test=2 * classes["test"],
    )

    # report: one for each confirmed picture, with all its addresses
    plan = world.settling("report", "--authority", "tipline")
    assert f"{classes['csam']} confirmed pictures; {classes['csam']} of them are to be reported" in plan.err
    assert not world.tipline.finished()
    ran = world.settling("report", "--authority", "tipline", "--live", "--yes-send", classes["csam"])
    assert ran.status == 0, ran.err
    finished = world.tipline.finished()
    assert len(finished) == classes["csam"]
    assert sum(len(one.urls) for one in finished) == states["confirmed"]
    after = book_of(world).states()
    assert after == Counter({**states, "reported": states["confirmed"], "confirmed": 0}) - Counter()
    status = world.vetset("status", place.run)
    assert "keep this run, sealed, until" in status.err

    # clean: no verdict of a machine frees a row
    ran = world.vetset("clean", place.run, "--clean", place.root / "after", "--runner", "serial", "--quiet")
    assert ran.status == 0, ran.err
    assert place.cleaned_bytes() == files_in(place.root / "after")

    # summary
    summary = json.loads((place.run / "summary.json").read_text("utf-8"))
    assert summary["outcomes"] == before["outcomes"]
    assert summary["removal"] == {**before["removal"], "released": 0}
    assert summary["removal"]["kept"] + summary["removal"]["removed"] == world.rows
    assert summary["removal"]["removed"] == found.total()
    assert "Verdicts of bodies were heeded: they released no row." in summary["sentences"]
    assert not [line for line in summary["sentences"] if "sought no verdict" in line or "nothing was sent" in line]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def place_outcome(world: World) -> dict[tuple[str, int], str]:
    """hit and near_hit by row, from the opened vault."""
    return book_of(world).place.outcomes()


def test_a_body_that_breaks_in_the_middle_stops_and_the_same_command_goes_on(world: World) -> None:
    world.user.audit("--reach", "local")
    classes = deal(world)
    asked = sum(len(prints) for prints in {tuple(prints_of(exhibit)) for exhibit in book_of(world).exhibits()})
    world.shield.most_hashes = 1  # six at a time are refused: a broken answer and no verdict
    ran = world.settling("verify", "--platform", "shield", "--live", "--yes-send", asked)
    assert ran.status == 1
    assert "did not answer as it should" in ran.err
    assert book_of(world).states().total() == 40
    assert "confirmed" not in book_of(world).states()
    world.shield.most_hashes = 1000
    ran = world.settling("verify", "--platform", "shield", "--live", "--yes-send", asked)
    assert ran.status == 0, ran.err
    assert book_of(world).states()["confirmed"] == 2 * classes["csam"]

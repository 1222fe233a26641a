"""The bodies that the settings name: how they are made, what is refused, and that nothing leaves without `live`."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.bodies import CANARY, CSAM, EDGES, KIND, NONE, edge, hma_server, pdq, photodna_server, shield_server
from tests.bodies import known_to_bodies as known_to_bodies  # noqa: PLC0414 - a fixture
from tests.driving import Place
from vetset.config import PlatformSettings, Settings, read_settings, settings_from
from vetset.errors import ServiceError, Stop
from vetset.kernels import seconds_left_of_month
from vetset.platforms.photodna import EDGE_HASH_BYTES
from vetset.records import Ruling, Signal
from vetset.testing.service import Said, Service, served
from vetset.wiring.bodies import Bodies
from vetset.wrappers import DRY_RUN, DryRun

pytestmark = pytest.mark.usefixtures("known_to_bodies")
NOVEMBER = 1_793_500_000.0


class EdgeKind:
    """A kind of fingerprint as a user would bring one: nothing of any library."""

    name = KIND
    signal: Signal | None = None
    width_bytes = EDGE_HASH_BYTES
    radius = 0
    may_be_sent_to = frozenset({"photodna"})

    def compute(self, pixels: npt.NDArray[np.uint8]) -> bytes | None:
        return bytes(EDGE_HASH_BYTES) if pixels.size else None

    def distances(self, keys: npt.NDArray[np.uint8], query: bytes) -> npt.NDArray[np.int64]:
        return np.full(len(keys), len(query), np.int64)


class StayingKind(EdgeKind):
    name = "staying"
    may_be_sent_to = frozenset({"hma"})


class ShortKind(EdgeKind):
    name = "short"
    width_bytes = 144


HERE = EdgeKind.__module__


def bodies(
    folder: Path, live: bool = True, kinds: tuple[str, ...] = ("EdgeKind",), tables: Any = None, **named: Any
) -> Bodies:
    here = {"kinds": [f"{HERE}:{kind}" for kind in kinds]}
    settings = settings_from({"fingerprint": here, "platforms": tables or named})
    return Bodies(
        settings=settings,
        config_folder=folder,
        live=live,
        clock=lambda: NOVEMBER,
        wait=lambda _: None,
        random=Random(1),
    )


def shield(here: str = "http://127.0.0.1:9", **changes: Any) -> dict[str, Any]:
    return {"kind": "shield", "sandbox_url": here, "credentials_variable": "SHIELD_LOGIN", **changes}


def photodna(here: str = "http://127.0.0.1:9", **changes: Any) -> dict[str, Any]:
    return {"kind": "photodna", "sandbox_url": here, "credentials_variable": "PHOTODNA_KEY", "kinds": [KIND], **changes}


def hma(here: str = "http://127.0.0.1:9", **changes: Any) -> dict[str, Any]:
    banks = {"LISTED": "csam", "FOR_TESTS": "test"}
    usual = {"kind": "hma", "sandbox_url": here, "party": "a partner", "banks": banks, "canary": CANARY.hex()}
    return {**usual, **changes}


@pytest.fixture
def services() -> Iterator[dict[str, Service]]:
    with served(shield_server()) as one, served(photodna_server()) as two, served(hma_server()) as three:
        yield {"shield": one, "photodna": two, "hma": three}


def of_all(folder: Path, services: dict[str, Service], live: bool) -> Bodies:
    urls = {name: service.url for name, service in services.items()}
    return bodies(
        folder, live, c3p=shield(urls["shield"]), microsoft=photodna(urls["photodna"]), partner=hma(urls["hma"])
    )


# --- asked ----------------------------------------------------------------------------------------------------------


def test_each_body_answers_by_its_name_in_the_settings(tmp_path: Path, services: dict[str, Service]) -> None:
    made = of_all(tmp_path, services, live=True)
    for name, questions in (
        ("c3p", pdq(CSAM, NONE)),
        ("microsoft", edge(EDGES[0], EDGES[5])),
        ("partner", pdq(CSAM, NONE)),
    ):
        with made.platform(name) as platform:
            assert platform.abilities == made.abilities(name)
            assert (platform.abilities.name, platform.abilities.live) == (name, False)
            platform.ready()
            assert [item.ruling for item in platform.judge(questions)] == [Ruling.CSAM, Ruling.NO_MATCH]
        assert made.used_this_month(name) == 2  # ready is one too
        assert (tmp_path / "requests" / f"{name}.json").is_file()


def test_nothing_leaves_without_live(
    tmp_path: Path, services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_all(tmp_path, services, live=False)

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was connected")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.delenv("SHIELD_LOGIN")
    for name, questions in (("c3p", pdq(CSAM)), ("microsoft", edge(EDGES[0])), ("partner", pdq(CSAM))):
        assert made.abilities(name).name == name
        with made.platform(name) as platform:
            assert isinstance(platform, DryRun)
            platform.ready()
            with pytest.raises(ServiceError, match=DRY_RUN):
                platform.judge(questions)
            assert platform.requests == 1
        assert made.used_this_month(name) == 0
    assert not any(service.heard for service in services.values())
    assert not list(tmp_path.iterdir())


def test_what_may_pass_is_asked_again_and_counted(tmp_path: Path, services: dict[str, Service]) -> None:
    answers = [Said(b"", 503), Said(b"", 429, (("Retry-After", "2"),))]
    services["shield"].instead = lambda _: answers.pop() if answers else None
    waited: list[float] = []
    made = replace(of_all(tmp_path, services, live=True), wait=waited.append)
    with made.platform("c3p") as platform:
        assert platform.judge(pdq(CSAM))[0].ruling is Ruling.CSAM
    assert made.used_this_month("c3p") == 3
    assert 2.0 in waited


def test_a_rate_that_is_kept_is_never_refused(tmp_path: Path) -> None:
    """By real clocks: the emulated gateway refuses a sixth request in a second, and ours come one in 0.2 seconds."""
    with served(photodna_server(per_second=5.0)) as service:
        made = Bodies(settings=bodies(tmp_path, it=photodna(service.url)).settings, config_folder=tmp_path, live=True)
        began = time.monotonic()
        with made.platform("it") as platform:
            for _ in range(12):
                platform.judge(edge(EDGES[0]))
        assert 11 / 5.0 <= time.monotonic() - began < 11 / 5.0 + 5.0
    assert len(service.heard) == 12


def test_attempts_are_the_settings(tmp_path: Path) -> None:
    with served(lambda _: Said(b"", 503)) as service:
        made = bodies(tmp_path, c3p=shield(service.url, attempts=2))
        with made.platform("c3p") as platform, pytest.raises(ServiceError):
            platform.judge(pdq(CSAM))
    assert len(service.heard) == 2


def test_a_months_quota_is_kept_over_runs(tmp_path: Path, services: dict[str, Service]) -> None:
    table = shield(services["shield"].url, requests_per_month=2)
    for ruling in (Ruling.CSAM, Ruling.NO_MATCH):
        with bodies(tmp_path, c3p=table).platform("c3p") as platform:
            assert platform.judge(pdq(CSAM if ruling is Ruling.CSAM else NONE))[0].ruling is ruling
    with bodies(tmp_path, c3p=table).platform("c3p") as platform, pytest.raises(ServiceError, match="month_quota"):
        platform.judge(pdq(CSAM))
    assert len(services["shield"].heard) == 2


def test_the_plan_knows_what_was_asked_this_month(tmp_path: Path, services: dict[str, Service]) -> None:
    tables = {
        "c3p": shield(services["shield"].url, requests_per_month=3, batch=10),
        "microsoft": photodna(services["photodna"].url),
    }
    made = bodies(tmp_path, tables=tables)
    with made.platform("c3p") as platform:
        platform.judge(pdq(CSAM))
    plan = bodies(tmp_path, live=False, tables=tables).plan({"pdq": 25, KIND: 11, "md5": 4}, ["c3p", "microsoft"])
    shown = [(need.platform, need.requests, need.binding.value) for need in plan.needs]
    assert shown == [("c3p", 3, "month"), ("microsoft", 3, "rate")]
    moment = datetime.fromtimestamp(NOVEMBER, UTC)
    assert plan.needs[0].seconds == seconds_left_of_month(moment)  # one of the three was used up before
    assert plan.needs[1].seconds == pytest.approx(0.4)
    assert dict(plan.untaken) == {"md5": 4}
    assert len(services["shield"].heard) == 1


# --- what the settings say ------------------------------------------------------------------------------------------


def test_terms_are_the_settings_or_the_usual_ones(tmp_path: Path) -> None:
    usual = bodies(tmp_path, a=shield(), b=photodna(), c=hma())
    said = [usual.abilities(name) for name in "abc"]
    assert [(item.batch, item.requests_per_second, item.requests_per_month) for item in said] == [
        (50, 1.0, 0),
        (5, 5.0, 0),
        (32, 0.0, 0),
    ]
    own: dict[str, Any] = {"batch": 3, "requests_per_second": 0.5, "requests_per_month": 10_000_000}
    (item,) = [bodies(tmp_path, a=shield(**own)).abilities("a")]
    assert (item.batch, item.requests_per_second, item.requests_per_month) == (3, 0.5, 10_000_000)


def test_without_a_sandbox_it_is_the_body_itself(tmp_path: Path) -> None:
    made = bodies(
        tmp_path,
        a=shield(""),
        b=photodna(""),
        c=hma("", url="https://hma.example"),
        d=hma("", url="http://127.0.0.1:5000"),
    )
    assert [made.abilities(name).live for name in "abc"] == [True, True, True]
    with pytest.raises(Stop, match="plain http"):
        made.abilities("d")


def test_paths_count_from_the_settings_file(tmp_path: Path) -> None:
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "vetset.toml").write_text(
        '[platforms.c3p]\nkind = "shield"\ncredentials_file = "shield.login"\ncertificates_file = "own.pem"\n'
    )
    (folder / "shield.login").write_text("tester:shield-secret\n")
    (folder / "shield.login").chmod(0o600)
    settings = read_settings(folder / "vetset.toml")
    assert settings.platforms["c3p"].credentials_file == str(folder / "shield.login")
    assert settings.platforms["c3p"].certificates_file == str(folder / "own.pem")
    without = replace(settings.platforms["c3p"], certificates_file="", sandbox_url="")
    with served(shield_server()) as service:
        table = replace(without, sandbox_url=service.url)
        made = Bodies(settings=replace(settings, platforms={"c3p": table}), config_folder=tmp_path, live=True)
        with made.platform("c3p") as platform:
            platform.ready()


def test_no_secret_is_in_the_settings_or_their_words(tmp_path: Path) -> None:
    made = bodies(tmp_path, c3p=shield())
    assert "shield-secret" not in repr(made)
    assert {"password", "key", "token", "secret"}.isdisjoint(PlatformSettings.__dataclass_fields__)


def test_a_run_knows_nothing_of_bodies_and_goes_on_with_others(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write({"a.parquet": pa.table({"url": [f"http://a.example/{number}" for number in range(20)]})})
    place.list_of("body", {"url": ["http://a.example/3"]})
    tables = settings_from({"platforms": {"of-nobodys-business": hma(), "c3p": shield()}}).platforms
    place.audit(platforms=tables)
    known = (place.run / "run.toml").read_text("utf-8")
    assert not [word for word in ("platforms", "of-nobodys", "SHIELD_LOGIN", CANARY.hex()) if word in known]
    assert place.audit(platforms={}, resume=True).complete


def stopped(folder: Path, name: str, kinds: tuple[str, ...] = ("EdgeKind",), **tables: Any) -> str:
    with pytest.raises(Stop) as stop:
        bodies(folder, kinds=kinds, **tables).abilities(name)
    assert stop.value.hint
    return stop.value.message


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"credentials_variable": "SHIELD_LOGIN"}, "says no kind"),
    (shield(credentials_variable=""), "credentials once"),
    (shield(credentials_file="also"), "credentials once"),
    (shield(url="https://elsewhere.example"), "url says nothing to shield"),
    (shield(canary="00"), "canary says nothing to shield"),
    (shield(kinds=[KIND]), "kinds says nothing to shield"),
    (shield("http://shield.example"), "plain http"),
    (shield("https://tester:secret@shield.example"), "more than host and path"),
    (photodna(kinds=[]), "names no kind of fingerprint"),
    (photodna(kinds=["other"]), "which [fingerprint] kinds does not bring"),
    (photodna(batch=6), "5 items at most"),
    (photodna(canary="%"), "canary is no base64"),
    (photodna(canary="AAAA"), "is no edge hash"),
    (photodna(party="Microsoft"), "party says nothing to photodna"),
    (hma(canary=""), "needs a canary"),
    (hma(canary="xyz"), "canary is no hex"),
    (hma(canary=CANARY.hex()[:62]), "needs a canary"),
    (hma(party=""), "whose its banks are"),
    (hma(banks={}), "whose its banks are"),
    (hma(banks={"LISTED": "refuted"}), "banks hold nothing called that"),
    (hma(""), "says not where it is"),
    (hma(url="https://hma.example"), "two addresses"),
    (hma(credentials_file="a", credentials_variable="b"), "credentials once"),
]


@pytest.mark.parametrize(("table", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_table_that_says_too_little_or_too_much_is_refused(
    tmp_path: Path, table: dict[str, Any], message: str
) -> None:
    said = stopped(tmp_path, "it", it=table)
    assert message in said
    assert "secret" not in said


def test_a_kind_goes_only_where_its_library_says(tmp_path: Path) -> None:
    kinds = ("EdgeKind", "StayingKind", "ShortKind")
    assert "may not be sent to photodna" in stopped(tmp_path, "it", kinds, it=photodna(kinds=["staying"]))
    assert "is no edge hash" in stopped(tmp_path, "it", kinds, it=photodna(kinds=["short"]))
    assert bodies(tmp_path, kinds=kinds, it=photodna()).abilities("it").kinds == (KIND,)


def test_unknown_names_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="no platform other") as stop:
        bodies(tmp_path, c3p=shield(), partner=hma()).abilities("other")
    assert "c3p, partner" in stop.value.hint
    with pytest.raises(Stop, match="no name that a file can bear"):
        bodies(tmp_path, tables={"../c3p": shield()}).abilities("../c3p")
    with pytest.raises(Stop, match="no platform any"):
        Bodies(settings=Settings(), config_folder=tmp_path).abilities("any")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("kind", "safer", "one of shield, photodna, hma"),
        ("batch", -1, "from 0 to 1000"),
        ("batch", 1001, "from 0 to 1000"),
        ("requests_per_month", -1, "at least 0"),
        ("requests_per_second", -0.5, "from 0 to 1000"),
        ("requests_per_second", 1001, "from 0 to 1000"),
        ("timeout_seconds", 0, "from 1 to 3600"),
        ("attempts", 0, "from 1 to 20"),
        ("attempts", 21, "from 1 to 20"),
        ("banks", {"LISTED": 1}, "text"),
        ("kinds", "edge", "a list"),
        ("password", "secret", "unknown setting"),
    ],
)
def test_values_out_of_bounds_are_refused_when_read(key: str, value: Any, words: str) -> None:
    with pytest.raises(Stop) as stop:
        settings_from({"platforms": {"c3p": {"kind": "shield", key: value}}})
    assert words in stop.value.message + stop.value.hint
    assert "secret" not in stop.value.message + stop.value.hint

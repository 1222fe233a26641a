"""HMA: lookups by signal, and every way in which an index can answer 200 and find nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bodies import BANKS, CANARY, CSAM, NONE, OTHER, TEST, hma_at, hma_server, made_up, near, pdq
from vetset.errors import ServiceError, Stop
from vetset.platforms import hma
from vetset.platforms.credential import Credential
from vetset.platforms.hma import Banks, HmaPlatform
from vetset.records import Ruling, Verdict
from vetset.testing.hma_server import HmaServer
from vetset.testing.platform_contract import leaves_only_fingerprints
from vetset.testing.service import Heard, Said, Service, said_json, served

NOBODY = hma_at("http://127.0.0.1:9")


@contextmanager
def asked(server: HmaServer | None = None, banks: Banks = BANKS) -> Iterator[tuple[HmaPlatform, Service]]:
    with served(server or hma_server()) as service:
        platform = hma_at(service.url, banks)
        try:
            yield platform, service
        finally:
            platform.close()


def stopped(server: HmaServer, banks: Banks = BANKS) -> Stop:
    with asked(server, banks) as (platform, _), pytest.raises(Stop) as stop:
        platform.ready()
    assert stop.value.hint
    return stop.value


def judged(said: Any) -> Verdict:
    """The verdict on one hash, if this is the answer to its lookup."""
    with asked() as (platform, service):
        service.instead = lambda heard: said_json(said) if heard.asked("signal") == CSAM.hex() else None
        return platform.judge(pdq(CSAM))[0]


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_lookup_by_signal_in_lower_hex() -> None:
    with asked() as (platform, service):
        platform.judge(pdq(CSAM))
    (heard,) = service.heard
    assert (heard.method, heard.path) == ("GET", "/m/lookup")
    assert heard.query == (("signal", CSAM.hex()), ("signal_type", "pdq"))
    assert heard.body == b""


def test_nothing_but_fingerprints_leaves() -> None:
    with asked() as (platform, service):
        platform.ready()
        platform.judge(pdq(CSAM, NONE))
    leaves_only_fingerprints(service.heard, [CSAM, NONE, CANARY], ["signal_type", "signal", "pdq"])
    assert {heard.path for heard in service.heard} == {"/status", "/c/banks", "/m/lookup"}


def test_a_proxy_before_it_is_passed_by_a_name_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMA_LOGIN", "vetset:of-the-proxy")
    with served(hma_server(pair=("vetset", "of-the-proxy"))) as service:
        platform = HmaPlatform.sandbox(service.url, BANKS, Credential("hma", variable="HMA_LOGIN"))
        platform.ready()
        platform.close()
        bare = hma_at(service.url)
        with pytest.raises(Stop, match="http_401"):
            bare.ready()
        bare.close()


# --- ready: what answers 200 and finds nothing ------------------------------------------------------------------------


def test_ready_where_all_is_well() -> None:
    with asked() as (platform, service):
        platform.ready()
    assert [heard.path for heard in service.heard] == ["/status", "/c/banks", "/m/lookup"]
    assert service.heard[-1].asked("signal") == CANARY.hex()


@pytest.mark.parametrize("state", ["INDEX-NOT-LOADED", "INDEX-STALE"])
def test_an_index_that_is_not_loaded_or_stale_stops(state: str) -> None:
    stop = stopped(hma_server(state=state))
    assert "has not loaded its index" in stop.message
    assert "flask run" in stop.hint


def test_a_lookup_before_the_index_is_loaded_is_an_error_that_may_pass() -> None:
    with asked(hma_server(state="INDEX-NOT-LOADED")) as (platform, _), pytest.raises(ServiceError) as error:
        platform.judge(pdq(CSAM))
    assert (error.value.code, error.value.may_pass) == ("http_503", True)


def test_an_index_of_one_hash_finds_nothing_and_is_found_out() -> None:
    server = HmaServer()
    server.bank("LISTED", CANARY)
    banks = Banks("a partner", {"LISTED": Ruling.CSAM}, CANARY)
    stop = stopped(server, banks)
    assert "does not find the canary in its bank LISTED" in stop.message
    assert "exactly one hash" in stop.hint
    server.reloaded = False  # as long as it was not saved and loaded again
    with asked(server, banks) as (platform, _):
        platform.ready()
    server.reloaded = True
    server.bank("LISTED", made_up("another"))
    with asked(server, banks) as (platform, _):
        platform.ready()


@pytest.mark.parametrize("curator", [True, False])
def test_a_bank_that_is_switched_off_is_found_out(curator: bool) -> None:
    server = hma_server(curator=curator)
    server.banks["LISTED"].ratio = 0.0
    stop = stopped(server)
    assert "LISTED" in stop.message
    assert ("matching_enabled_ratio" in stop.hint) == curator


def test_a_bank_that_is_drawn_at_random_is_found_out_by_its_ratio() -> None:
    server = hma_server()
    server.banks["FOR_TESTS"].ratio = 0.99
    assert "FOR_TESTS" in stopped(server).message
    server.banks["FOR_TESTS"].ratio = 1.0
    server.banks["OF_OTHERS"].ratio = 0.5  # it is not heard
    with asked(server) as (platform, _):
        platform.ready()


def test_a_bank_that_is_not_there_is_found_out() -> None:
    server = hma_server()
    banks = replace(BANKS, rulings={**BANKS.rulings, "MISSPELT": Ruling.CSAM})
    assert "no bank MISSPELT" in stopped(server, banks).message
    server.curator = False
    assert "MISSPELT" in stopped(server, banks).message


def test_an_index_that_lost_its_hashes_is_found_out() -> None:
    assert "canary" in stopped(hma_server(indexed=frozenset())).message


@pytest.mark.parametrize(
    "banks",
    [
        b"{}",
        b'[{"name": "LISTED"}]',
        b'[{"name": 1, "matching_enabled_ratio": 1.0}]',
        b"[1]",
        b'[{"name": "LISTED", "matching_enabled_ratio": true}]',
    ],
)
def test_a_curator_that_says_no_banks_stops(banks: bytes) -> None:
    with asked() as (platform, service):
        service.instead = lambda heard: Said(banks) if heard.path == "/c/banks" else None
        with pytest.raises(Stop):
            platform.ready()


# --- while asking ---------------------------------------------------------------------------------------------------


def test_where_nothing_is_found_the_canary_is_asked_again() -> None:
    with asked() as (platform, service):
        platform.judge(pdq(CSAM, TEST))
        assert len(service.heard) == 2
        platform.judge(pdq(CSAM, NONE))
        assert len(service.heard) == 5
        assert service.heard[-1].asked("signal") == CANARY.hex()


def test_an_index_that_is_lost_on_the_way_is_an_error_and_no_no_match() -> None:
    server = hma_server()
    with asked(server) as (platform, _):
        platform.ready()
        assert [item.ruling for item in platform.judge(pdq(NONE))] == [Ruling.NO_MATCH]
        server.indexed = frozenset({CANARY})  # one hash is left, and found no more
        with pytest.raises(ServiceError, match="canary_not_found") as error:
            platform.judge(pdq(CSAM, NONE))
        assert not error.value.may_pass
        server.indexed = None
        server.banks["LISTED"].ratio = 0.0
        with pytest.raises(ServiceError, match="canary_not_found"):
            platform.judge(pdq(CSAM))


def test_only_banks_that_are_named_are_heard() -> None:
    with asked() as (platform, _):
        found = platform.judge(pdq(CSAM, TEST, OTHER, CANARY))
    assert [item.ruling for item in found] == [Ruling.CSAM, Ruling.TEST, Ruling.NO_MATCH, Ruling.CSAM]
    assert found[0].match_ids == ("LISTED/1",)
    assert found[3].match_ids == ("LISTED/2", "FOR_TESTS/4")
    assert found[3].noted == {"banks": "FOR_TESTS LISTED"}


def test_a_worse_bank_wins() -> None:
    assert (
        judged(
            {
                "FOR_TESTS": [{"bank_content_id": 1, "distance": "0"}],
                "LISTED": [{"bank_content_id": 2, "distance": "30"}],
            }
        ).ruling
        is Ruling.CSAM
    )


# --- distances are strings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distance", "wanted", "is_near"),
    [
        ("0", 0, False),
        ("12", 12, True),
        ("31.0", 31, True),
        ("0.0", 0, False),
        ("-", None, False),
        (None, None, False),
        (4, 4, True),
    ],
)
def test_distances_as_they_come(distance: Any, wanted: int | None, is_near: bool) -> None:
    verdict = judged({"LISTED": [{"bank_content_id": 1, "distance": distance}]})
    assert (verdict.ruling, verdict.distance, verdict.near) == (Ruling.CSAM, wanted, is_near)


@pytest.mark.parametrize("distance", ["", "near", "12.5", "-1", "1e3", "nan", -1, 12.0, True, [], "\uff19"])
def test_other_distances_are_an_error(distance: Any) -> None:
    with pytest.raises(ServiceError, match="broken_answer"):
        judged({"LISTED": [{"bank_content_id": 1, "distance": distance}]})


@pytest.mark.parametrize(
    "said", [[], None, "LISTED", {"LISTED": None}, {"LISTED": {}}, {"LISTED": [1]}, {"LISTED": [{}]}, {"LISTED": [{"bank_content_id": "1"}]}, {"LISTED": [{"bank_content_id": True}]}]
)  # fmt: skip
def test_lookups_that_are_not_whole_are_an_error(said: Any) -> None:
    with pytest.raises(ServiceError):
        judged(said)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True), st.integers(0, 31))
def test_the_nearest_counts(distances: list[int], more: int) -> None:
    matches = [{"bank_content_id": place, "distance": str(bits)} for place, bits in enumerate(distances)]
    verdict = hma._verdict(
        {"LISTED": matches, "FOR_TESTS": [{"bank_content_id": 9, "distance": str(more)}]}, BANKS, "hma"
    )
    assert verdict.distance == min(*distances, more)
    assert len(verdict.match_ids) == len(distances) + 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 50) | st.sampled_from(["0", "31", "-", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["LISTED", "OTHERS", "bank_content_id", "distance"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(json_values)
def test_whatever_is_said_is_a_verdict_of_the_documented_form_or_an_error(said: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NOBODY, "_get", lambda _path: json.dumps(said).encode())
        try:
            found = NOBODY._lookup(CSAM)
            verdict = hma._verdict(found, BANKS, "hma")
        except ServiceError:
            return
    assert isinstance(said, dict)
    assert verdict.ruling is (Ruling.CSAM if said.get("LISTED") else Ruling.NO_MATCH)


# --- how it is made -------------------------------------------------------------------------------------------------


def test_it_is_made_by_sandbox_or_live_and_in_no_other_way() -> None:
    with pytest.raises(TypeError, match="sandbox"):
        HmaPlatform("https://hma.example")
    with pytest.raises(Stop, match="plain http"):
        HmaPlatform.live("http://127.0.0.1:5000", BANKS)  # a word that counts comes over TLS
    live = HmaPlatform.live("https://hma.example/", BANKS)
    assert (live.abilities.live, live._line._base) == (True, "https://hma.example")
    live.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"canary": b""}, "needs a canary"),
        ({"canary": CANARY[:31]}, "needs a canary"),
        ({"party": ""}, "whose its banks are"),
        ({"rulings": {}}, "whose its banks are"),
        ({"rulings": {"LISTED": Ruling.REFUTED}}, "whose its banks are"),
        ({"rulings": {"LISTED": Ruling.NO_MATCH}}, "whose its banks are"),
    ],
)
def test_banks_that_say_too_little_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Stop, match=message) as stop:
        hma_at("http://127.0.0.1:9", replace(BANKS, **changes))
    assert CANARY.hex() not in stop.value.message + stop.value.hint


# --- the emulator ---------------------------------------------------------------------------------------------------


def raw(service: Service, method: str, path: str, **given_: Any) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.request(method, service.url + path, **given_)


def test_the_emulator_is_curated_and_looks_up() -> None:
    one, other = made_up("one"), made_up("other")
    with served(HmaServer()) as service:
        assert raw(service, "POST", "/c/banks", json={"name": "MINE"}).status_code == 201
        for value in (one, other):
            assert raw(service, "POST", "/c/bank/MINE/signal", json={"pdq": value.hex()}).json()["signals"]
        assert raw(service, "GET", "/c/bank/MINE").json() == {"name": "MINE", "matching_enabled_ratio": 1.0}
        found = raw(service, "GET", f"/m/lookup?signal={near(one, 7).hex()}&signal_type=pdq").json()
        bare = raw(service, "GET", f"/m/raw_lookup?signal={one.hex()}&signal_type=pdq").json()
        far = raw(service, "GET", f"/m/raw_lookup?signal={one.hex()}&signal_type=pdq&include_distance=true").json()
        status = raw(service, "GET", "/m/index/status").json()
    assert found == {"MINE": [{"bank_content_id": 1, "distance": "7"}]}
    assert (bare, far) == ({"matches": [1]}, {"matches": [{"bank_content_id": 1, "distance": "0"}]})
    assert status["pdq"]["size"] == 2


def test_the_emulators_coin_falls_by_the_ratio_and_heeds_no_bypass() -> None:
    server = hma_server(drawn=Random(5))
    server.banks["LISTED"].ratio = 0.5
    path = f"/m/lookup?signal={CSAM.hex()}&signal_type=pdq&bypass_coinflip=true"
    with served(server) as service:
        found = sum("LISTED" in raw(service, "GET", path).json() for _ in range(60))
    assert 15 < found < 45


def test_the_emulators_refusals() -> None:
    with served(hma_server(state="INDEX-NOT-LOADED")) as service:
        answers = [
            raw(service, "GET", "/status"),
            raw(service, "GET", f"/m/lookup?signal={CSAM.hex()}&signal_type=pdq"),
            raw(service, "GET", f"/m/lookup?signal={CSAM.hex().upper()}&signal_type=pdq"),
            raw(service, "GET", f"/m/lookup?signal={CSAM.hex()}&signal_type=md5"),
            raw(service, "GET", "/c/bank/NONE"),
            raw(service, "POST", "/c/bank/LISTED/signal", json={"pdq": ""}),
            raw(service, "POST", "/c/banks", json={}),
            raw(service, "GET", "/elsewhere"),
        ]
    assert [answer.status_code for answer in answers] == [503, 503, 400, 400, 404, 400, 400, 404]
    assert answers[0].text == "INDEX-NOT-LOADED"
    assert all("message" in answer.json() for answer in answers[1:])


def test_requests_are_kept_as_they_came() -> None:
    with served(hma_server()) as service:
        raw(service, "GET", "/status?x=1&x=2", headers={"X-Made-Up": "yes"})
    (heard,) = service.heard
    assert isinstance(heard, Heard)
    assert (heard.asked("x"), heard.asked("y"), heard.headers["x-made-up"]) == ("1", "", "yes")

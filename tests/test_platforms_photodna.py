"""PhotoDNA Cloud: what is sent, business codes inside HTTP 200, the cap of five, MatchId, and the gateway before it."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bodies import EDGES, KEY, KIND, edge, made_up, photodna_at, photodna_server
from tests.bodies import known_to_bodies as known_to_bodies  # noqa: PLC0414 - a fixture
from vetset.errors import ServiceError, Stop
from vetset.platforms import photodna
from vetset.platforms.credential import Credential
from vetset.platforms.photodna import LIVE, TERMS, EdgeHashes, PhotoDnaPlatform
from vetset.records import Ruling, Verdict
from vetset.testing.photodna_server import Entry, PhotoDnaServer
from vetset.testing.platform_contract import leaves_only_fingerprints
from vetset.testing.service import Said, Service, said_json, served

pytestmark = pytest.mark.usefixtures("known_to_bodies")


@contextmanager
def asked(server: PhotoDnaServer | None = None, **changes: Any) -> Iterator[tuple[PhotoDnaPlatform, Service]]:
    with served(server or photodna_server()) as service:
        platform = photodna_at(service.url, **changes)
        try:
            yield platform, service
        finally:
            platform.close()


def result(**changes: Any) -> dict[str, Any]:
    """One item's result, as the service gives it for no match."""
    status = {"Code": 3000, "Description": "OK", "Exception": None}
    return {"Status": status, "IsMatch": False, "MatchDetails": None, "TrackingId": "EU_1", **changes}


def status(code: Any) -> dict[str, Any]:
    return {"Code": code, "Description": "", "Exception": None}


def judged(*results: Any) -> list[Verdict]:
    """The verdicts, if these are the results."""
    with asked() as (platform, service):
        service.instead = lambda _: said_json({"TrackingId": "EU_0", "MatchResults": list(results)})
        return list(platform.judge(edge(*EDGES[: len(results)])))


def refused(*results: Any) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        judged(*results)
    return error.value


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_edge_hashes_go_as_an_array_under_the_key() -> None:
    with asked() as (platform, service):
        platform.judge(edge(*EDGES[:5]))
    (heard,) = service.heard
    assert (heard.method, heard.path, heard.query) == ("POST", "/MatchHash", (("enhance", ""),))
    assert heard.headers["ocp-apim-subscription-key"] == KEY
    assert heard.headers["cache-control"] == "no-cache"
    assert heard.headers["content-type"] == "application/json"
    items = json.loads(heard.body)
    assert [item["DataRepresentation"] for item in items] == ["PreHashV2"] * 5
    assert all(len(item["Value"]) == 1232 for item in items)
    assert [b64decode(item["Value"]) for item in items] == EDGES[:5]


def test_nothing_but_fingerprints_leaves() -> None:
    with asked() as (platform, service):
        platform.ready()
        platform.judge(edge(*EDGES[:5]))
    leaves_only_fingerprints(service.heard, EDGES, ["DataRepresentation", "PreHashV2", "Value", "enhance"])
    assert {heard.path for heard in service.heard} == {"/MatchHash"}


def test_six_are_never_sent_and_no_terms_allow_it() -> None:
    with asked() as (platform, service), pytest.raises(ValueError, match="more questions"):
        platform.judge(edge(*EDGES[:6]))
    assert not service.heard
    for batch in (0, 6, 100):
        with pytest.raises(Stop, match="5 items at most"):
            photodna_at("http://127.0.0.1:9", replace(TERMS, batch=batch))
    assert TERMS.batch == 5


# --- codes inside 200 -----------------------------------------------------------------------------------------------


def test_a_business_code_is_a_verdict_an_error_or_asked_again() -> None:
    unreachable = {3206, 3208, 3209}
    for code in (3000, 3002, 3004, *unreachable, 3999, 0, -1):
        item = result(Status=status(code))
        if code == 3000:
            assert judged(item)[0].ruling is Ruling.NO_MATCH
        elif code in unreachable:
            (verdict,) = judged(item)
            assert (verdict.ruling, verdict.noted["code"]) == (Ruling.UNREACHABLE, str(code))
        else:
            error = refused(item)
            assert (error.code, error.may_pass) == (f"code_{code}", code == 3004)


def test_an_item_that_cannot_be_judged_leaves_its_neighbours_theirs() -> None:
    with asked() as (platform, _):
        rulings = [item.ruling for item in platform.judge(edge(EDGES[5], EDGES[3], EDGES[0]))]
    assert rulings == [Ruling.NO_MATCH, Ruling.UNREACHABLE, Ruling.CSAM]


def test_one_broken_item_breaks_the_answer() -> None:
    assert refused(result(), result(Status=status(3002)), result()).code == "code_3002"
    assert refused(result(), {}, result()).code == "broken_answer"


@pytest.mark.parametrize(
    "changes", [{"IsMatch": None}, {"IsMatch": "true"}, {"IsMatch": 1}, {"IsMatch": 0}, {"IsMatch": []}]
)
def test_is_match_that_is_no_boolean_is_an_error(changes: dict[str, Any]) -> None:
    assert refused(result(**changes)).code == "broken_answer"


def test_is_match_that_is_missing_is_an_error() -> None:
    item = result()
    del item["IsMatch"]
    assert refused(item).code == "broken_answer"
    (verdict,) = judged({**item, "Status": status(3208)})  # nothing was to be matched
    assert verdict.ruling is Ruling.UNREACHABLE


@pytest.mark.parametrize(
    "said", [None, {}, [], {"Code": "3000"}, {"Code": None}, {"Code": True}, {"Code": 3000.0}, {"code": 3000}]
)
def test_a_code_that_is_missing_or_none_is_an_error(said: Any) -> None:
    assert refused(result(Status=said)).code == "broken_answer"


def test_a_request_that_is_refused_as_a_whole_has_a_code_and_no_results() -> None:
    for code, passes in ((3002, False), (3004, True)):
        with asked() as (platform, service):
            service.instead = lambda _, code=code: said_json({"Status": status(code), "TrackingId": "EU_0"})
            with pytest.raises(ServiceError, match=f"code_{code}") as error:
                platform.judge(edge(EDGES[0]))
            assert error.value.may_pass is passes
    for whole in ({"Status": status(3000), "IsMatch": False}, {"Status": status(3206)}):
        with asked() as (platform, service):
            service.instead = lambda _, whole=whole: said_json(whole)
            with pytest.raises(ServiceError, match="broken_answer"):
                platform.judge(edge(EDGES[0]))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_results_is_an_error(count: int) -> None:
    with asked() as (platform, service):
        service.instead = lambda _: said_json({"TrackingId": "EU_0", "MatchResults": [result()] * count})
        with pytest.raises(ServiceError, match="broken_answer"):
            platform.judge(edge(EDGES[0], EDGES[1]))


# --- matches --------------------------------------------------------------------------------------------------------


def flag(**changes: Any) -> dict[str, Any]:
    usual = {
        "AdvancedInfo": [{"Key": "MatchId", "Value": "1001"}],
        "Source": "NCMEC",
        "Violations": ["A1"],
        "MatchDistance": 2,
    }
    return {**usual, **changes}


def matched(*flags: Any) -> dict[str, Any]:
    return result(IsMatch=True, MatchDetails={"AdvancedInfo": [], "MatchFlags": list(flags)})


def test_a_match_names_the_picture_its_distance_and_its_classes() -> None:
    (verdict,) = judged(matched(flag(MatchDistance=179), flag(Violations=["B2", "A1"], MatchDistance=2)))
    assert (verdict.ruling, verdict.match_ids, verdict.near, verdict.distance) == (Ruling.CSAM, ("1001",), True, 2)
    assert dict(verdict.noted) == {"code": "3000", "sources": "NCMEC", "violations": "A1 B2"}
    (number,) = judged(matched(flag(AdvancedInfo=[{"Key": "MatchId", "Value": 1001}, {"Key": "Other", "Value": []}])))
    assert number.match_ids == ("1001",)
    (exact,) = judged(matched(flag(MatchDistance=0)))
    assert (exact.near, exact.distance) == (False, 0)


def test_one_match_id_over_several_inputs_is_one_picture() -> None:
    with asked() as (platform, _):
        one, other, test = platform.judge(edge(*EDGES[:3]))
    assert one.match_ids == other.match_ids == ("1001",)
    assert (one.distance, other.distance) == (0, 179)
    assert (test.ruling, test.match_ids) == (Ruling.TEST, ("7",))


def test_details_that_are_null_leave_a_match_one() -> None:
    with asked(photodna_server(null_details=True)) as (platform, _):
        (verdict,) = platform.judge(edge(EDGES[0]))
    assert (verdict.ruling, verdict.match_ids, verdict.distance) == (Ruling.CSAM, (), None)
    assert judged(matched())[0].ruling is Ruling.CSAM
    assert judged(result(IsMatch=True, MatchDetails={}))[0].ruling is Ruling.CSAM


def test_source_test_is_a_test_only_if_nothing_else_matched() -> None:
    assert judged(matched(flag(Source="Test")))[0].ruling is Ruling.TEST
    assert judged(matched(flag(Source="Test"), flag()))[0].ruling is Ruling.CSAM
    assert judged(matched(flag(Source="test")))[0].ruling is Ruling.CSAM


@pytest.mark.parametrize(
    "item",
    [
        matched(flag(Source=None)),
        matched(flag(MatchDistance="2")),
        matched(flag(MatchDistance=True)),
        matched(flag(Violations="A1")),
        matched(flag(Violations=[None])),
        matched(flag(Source="\x1b[31m")),
        matched(flag(AdvancedInfo={"MatchId": 1})),
        matched(flag(AdvancedInfo=[{"Key": "MatchId"}])),
        matched("Test"),
        result(IsMatch=True, MatchDetails=[]),
        result(IsMatch=True, MatchDetails={"MatchFlags": {}}),
        result(IsMatch=False, MatchDetails={"MatchFlags": [flag()]}),
    ],
)
def test_details_that_are_not_whole_are_an_error(item: Any) -> None:
    assert refused(item).code == "broken_answer"


keys = st.sampled_from(
    ["Status", "Code", "IsMatch", "MatchDetails", "MatchFlags", "Source", "AdvancedInfo", "Key", "Value"]
)
values = st.none() | st.booleans() | st.sampled_from([3000, 3002, 3206]) | st.sampled_from(["Test", "MatchId", ""])
json_values = st.recursive(
    values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=5), max_leaves=12
)


@given(json_values, json_values)
def test_no_match_comes_of_nothing_but_the_plain_words_for_it(code: Any, item: Any) -> None:
    given_ = {**item, "Status": {"Code": code}} if isinstance(item, dict) else item
    try:
        verdict = photodna._verdict(given_, "photodna")
    except ServiceError:
        return
    if verdict.ruling is Ruling.NO_MATCH:
        assert given_["Status"]["Code"] == 3000
        assert given_["IsMatch"] is False
    elif verdict.ruling is not Ruling.UNREACHABLE:
        assert given_["IsMatch"] is True


# --- the gateway ----------------------------------------------------------------------------------------------------


def test_the_gateways_refusals_are_errors_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with asked(photodna_server(forbidden=True)) as (platform, _), pytest.raises(ServiceError) as error:
        platform.judge(edge(EDGES[0]))
    assert (error.value.code, error.value.may_pass) == ("http_403", False)
    monkeypatch.setenv("PHOTODNA_KEY", "another-key")
    with asked() as (platform, _), pytest.raises(ServiceError) as error:
        platform.judge(edge(EDGES[0]))
    assert (error.value.code, error.value.may_pass) == ("http_401", False)


def test_too_many_requests_say_how_long_to_wait() -> None:
    with asked(photodna_server(per_second=5.0)) as (platform, _), pytest.raises(ServiceError) as error:
        list(map(platform.judge, [edge(EDGES[0])] * 50))
    assert (error.value.code, error.value.may_pass, error.value.wait_seconds) == ("http_429", True, 1.0)


# --- ready ----------------------------------------------------------------------------------------------------------


def test_ready_asks_nothing_without_a_canary_but_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with asked() as (platform, service):
        platform.ready()
        monkeypatch.delenv("PHOTODNA_KEY")
        with pytest.raises(Stop, match="no credentials"):
            platform.ready()
    assert not service.heard


def test_the_bodys_hash_for_tests_must_be_found() -> None:
    with asked(canary=EDGES[2]) as (platform, service):
        platform.ready()
        service.instead = lambda _: said_json({"MatchResults": [result()]})
        with pytest.raises(Stop, match="canary"):
            platform.ready()
        service.instead = lambda _: said_json({"MatchResults": [result(IsMatch=True)] * 2})
        with pytest.raises(Stop, match="broken_answer"):
            platform.ready()
        service.instead = lambda _: Said(b"", 401)
        with pytest.raises(Stop, match="http_401"):
            platform.ready()
    with pytest.raises(Stop, match="no edge hash"):
        photodna_at("http://127.0.0.1:9", canary=b"short")


# --- how it is made -------------------------------------------------------------------------------------------------


def test_it_is_made_by_sandbox_or_live_and_in_no_other_way() -> None:
    with pytest.raises(TypeError, match="sandbox"):
        PhotoDnaPlatform("https://photodna.example")
    credential = Credential("photodna", variable="PHOTODNA_KEY")
    live = PhotoDnaPlatform.live(credential, EdgeHashes((KIND,)))
    assert live.abilities.live
    assert live._line._base == LIVE == "https://api.microsoftmoderator.com/photodna/v1.0"
    live.close()
    with pytest.raises(Stop, match="plain http"):
        PhotoDnaPlatform.sandbox("http://photodna.example", credential, EdgeHashes((KIND,)))
    assert (live.abilities.kinds, live.abilities.party, live.abilities.batch) == ((KIND,), "Microsoft", 5)


# --- the emulator: routes that vetset never calls -------------------------------------------------------------------


def raw(service: Service, path: str, key: str = KEY, **given_: Any) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.post(
            service.url + path, headers={"Ocp-Apim-Subscription-Key": key, **given_.pop("headers", {})}, **given_
        )


def test_the_emulator_judges_single_pictures_and_addresses() -> None:
    body = b"a made-up picture"
    server = photodna_server(pictures={hashlib.sha256(body).digest(): Entry("55")}, pages={"https://a.example/1": body})
    server.codes = {b"huge": 3209}
    with served(server) as service:
        single = raw(service, "/Match?enhance", content=body, headers={"Content-Type": "image/png"}).json()
        page = raw(service, "/Match", json={"DataRepresentation": "URL", "Value": "https://a.example/1"}).json()
        dead = raw(service, "/Match", json={"DataRepresentation": "URL", "Value": "https://a.example/2"}).json()
        huge = raw(service, "/Match", content=b"huge", headers={"Content-Type": "image/png"}).json()
        other = raw(service, "/Match", json={"DataRepresentation": "inline", "Value": "x"}).json()
    whole = {"Status", "ContentId", "IsMatch", "MatchDetails", "XPartnerCustomerId", "TrackingId", "EvaluateResponse"}
    assert set(single) == whole
    assert single["IsMatch"] is page["IsMatch"] is True
    assert single["MatchDetails"]["MatchFlags"][0]["AdvancedInfo"] == [{"Key": "MatchId", "Value": "55"}]
    assert [item["Status"]["Code"] for item in (dead, huge, other)] == [3206, 3209, 3002]
    assert not any(item["IsMatch"] for item in (dead, huge, other))


def test_the_emulator_caps_at_five_and_refuses_inside_200() -> None:
    item = {"DataRepresentation": "PreHashV2", "Value": b64encode(made_up("x", 924)).decode()}
    with served(photodna_server()) as service:
        five, six = (raw(service, "/MatchHash", json=[item] * count) for count in (5, 6))
        short = raw(service, "/MatchHash", json=[{**item, "Value": "AAAA"}, {**item, "DataRepresentation": "Hash"}])
        missing = raw(service, "/elsewhere", json=[item])
        denied = raw(service, "/MatchHash", key="no", json=[item])
    assert (five.status_code, len(five.json()["MatchResults"])) == (200, 5)
    assert (six.status_code, six.json()["Status"]["Code"]) == (200, 3002)
    assert [part["Status"]["Code"] for part in short.json()["MatchResults"]] == [3002, 3002]
    assert (missing.status_code, denied.status_code) == (404, 401)
    assert "message" in denied.json()

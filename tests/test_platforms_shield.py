"""Shield: what is sent, every form of its answers, and its traps; the SDK's own types read what the emulator says."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import arachnid_shield_sdk.models as sdk
import httpx
import pytest
from arachnid_shield_sdk import ArachnidShield
from hypothesis import given
from hypothesis import strategies as st

from tests.bodies import BASIC, CSAM, HARMFUL, NONE, TEST, made_up, near, pdq, shield_at, shield_server
from tests.bodies import known_to_bodies as known_to_bodies  # noqa: PLC0414 - a fixture
from vetset.errors import ServiceError, Stop
from vetset.platforms.credential import Credential
from vetset.platforms.shield import LIVE, ShieldPlatform
from vetset.platforms.terms import Terms
from vetset.records import Ruling, Verdict
from vetset.testing.platform_contract import leaves_only_fingerprints
from vetset.testing.service import Said, Service, said_json, served
from vetset.testing.shield_server import CLASSES, ShieldServer, picture_of

pytestmark = pytest.mark.usefixtures("known_to_bodies")
ALL = (CSAM, HARMFUL, TEST, NONE)


@contextmanager
def asked(server: ShieldServer | None = None) -> Iterator[tuple[ShieldPlatform, Service]]:
    with served(server or shield_server()) as service:
        platform = shield_at(service.url)
        try:
            yield platform, service
        finally:
            platform.close()


def verdicts(server: ShieldServer, *values: bytes) -> list[Verdict]:
    with asked(server) as (platform, _):
        return list(platform.judge(pdq(*values)))


def judged(match: Any) -> Verdict:
    """The verdict on one hash, if this is its entry."""
    with asked() as (platform, service):
        service.instead = lambda _: said_json({"scanned_hashes": {b64encode(CSAM).decode(): match}})
        return platform.judge(pdq(CSAM))[0]


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_hashes_go_as_base64_of_32_bytes_under_basic() -> None:
    with asked() as (platform, service):
        platform.judge(pdq(*ALL))
    (heard,) = service.heard
    assert (heard.method, heard.path, heard.query) == ("POST", "/v1/pdq/", ())
    assert heard.headers["authorization"] == f"Basic {BASIC}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["user-agent"].startswith("vetset/")
    assert json.loads(heard.body) == {"hashes": [b64encode(value).decode() for value in ALL]}


def test_nothing_but_fingerprints_leaves() -> None:
    with asked() as (platform, service):
        platform.ready()
        platform.judge(pdq(*ALL))
    leaves_only_fingerprints(service.heard, ALL, ["hashes"])
    with pytest.raises(AssertionError):
        leaves_only_fingerprints(service.heard, ALL[1:], ["hashes"])
    assert {heard.path for heard in service.heard} == {"/v1/version", "/v1/pdq/"}


def test_equal_hashes_are_sent_once() -> None:
    with asked() as (platform, service):
        rulings = [verdict.ruling for verdict in platform.judge(pdq(CSAM, NONE, CSAM, CSAM))]
    assert rulings == [Ruling.CSAM, Ruling.NO_MATCH, Ruling.CSAM, Ruling.CSAM]
    assert len(json.loads(service.heard[0].body)["hashes"]) == 2


# --- its answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"null_matches": True}, {"listed_details": True}, {"null_details": True}])
def test_every_form_of_its_answers_is_understood(changes: dict[str, bool]) -> None:
    server = shield_server()
    for name, value in changes.items():
        setattr(server, name, value)
    found = verdicts(server, *ALL)
    assert [item.ruling for item in found] == [Ruling.CSAM, Ruling.HARMFUL, Ruling.TEST, Ruling.NO_MATCH]
    named = () if server.null_details else (picture_of(CSAM).lower(),)
    assert (found[0].match_ids, found[0].near, found[3].match_ids) == (named, True, ())


def test_two_views_of_one_entry_name_one_picture() -> None:
    one, other = verdicts(shield_server(), CSAM, near(CSAM, 8))
    assert one.match_ids == other.match_ids != ()


def test_the_four_classes_and_no_other() -> None:
    rulings = {"csam": "csam", "harmful-abusive-material": "harmful", "no-known-match": "no_match", "test": "test"}
    assert set(rulings) == set(CLASSES)
    for word, ruling in rulings.items():
        kind = None if word == "no-known-match" else "near"
        assert judged({"classification": word, "match_type": kind, "near_match_details": None}).ruling == ruling
    with pytest.raises(ServiceError) as error:
        judged({"classification": "a-new-class", "match_type": "near", "near_match_details": None})
    assert (error.value.code, error.value.may_pass) == ("unknown_class", False)
    assert "a-new-class" not in str(error.value)


DETAIL = {"timestamp": 0.0, "sha1_base32": "A" * 32, "sha256_hex": "B" * 64, "classification": "csam"}


@pytest.mark.parametrize(
    "match",
    [
        {},
        [],
        "csam",
        {"classification": None, "match_type": None},
        {"classification": True, "match_type": None},
        {"classification": "csam", "match_type": "far"},
        {"classification": "csam", "match_type": []},
        {"classification": "csam", "match_type": "near", "near_match_details": "near"},
        {"classification": "csam", "match_type": "near", "near_match_details": [1]},
        {"classification": "csam", "match_type": "near", "near_match_details": {}},
        {"classification": "csam", "match_type": "near", "near_match_details": {**DETAIL, "sha256_hex": 1}},
        {"classification": "no-known-match", "match_type": "near", "near_match_details": None},
        {"classification": "no-known-match", "match_type": None, "near_match_details": DETAIL},
    ],
)
def test_what_is_not_whole_is_an_error_and_no_verdict(match: Any) -> None:
    with pytest.raises(ServiceError):
        judged(match)


@pytest.mark.parametrize("spoil", ["fewer", "more", "other"])
def test_an_answer_about_other_hashes_is_an_error(spoil: str) -> None:
    names = {"fewer": [CSAM], "more": [CSAM, NONE, TEST], "other": [CSAM, HARMFUL]}[spoil]
    with asked() as (platform, service):
        service.instead = lambda _: said_json({"scanned_hashes": {b64encode(name).decode(): None for name in names}})
        with pytest.raises(ServiceError, match="broken_answer"):
            platform.judge(pdq(CSAM, NONE))


NOBODY = shield_at("http://127.0.0.1:9")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([*CLASSES, "near"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["classification", "match_type", "near_match_details", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(json_values)
def test_whatever_is_said_is_a_verdict_of_the_documented_form_or_an_error(match: Any) -> None:
    try:
        verdict = NOBODY._verdict(match)
    except ServiceError:
        return
    if verdict.ruling is Ruling.NO_MATCH:
        assert match is None or match["classification"] == "no-known-match"
    else:
        assert match["classification"] in CLASSES


def test_its_database_is_noted_and_may_change() -> None:
    server = shield_server()
    with asked(server) as (platform, _):
        platform.ready()
        assert platform.judge(pdq(NONE))[0].noted["database"] == "2026-11-01T00:00:00Z"
        server.last_updated_at = "2026-11-02T00:00:00Z"
        platform.ready()
        assert platform.judge(pdq(NONE))[0].noted["database"] == "2026-11-02T00:00:00Z"


# --- ready ----------------------------------------------------------------------------------------------------------


def test_a_wrong_password_stops_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIELD_LOGIN", "tester:wrong-one")
    with asked() as (platform, service):
        with pytest.raises(Stop, match="http_401") as stop:
            platform.ready()
        assert "credentials" in stop.value.hint
        assert "wrong-one" not in stop.value.message + stop.value.hint
        with pytest.raises(ServiceError, match="http_401"):
            platform.judge(pdq(CSAM))
    assert len(service.heard) == 2


@pytest.mark.parametrize("said", [Said(b"{}"), Said(b'{"last_updated_at": null}'), Said(b"yes")])
def test_a_version_that_is_none_stops(said: Said) -> None:
    with asked() as (platform, service):
        service.instead = lambda _: said
        with pytest.raises(Stop):
            platform.ready()


# --- how it is made -------------------------------------------------------------------------------------------------


def test_it_is_made_by_sandbox_or_live_and_in_no_other_way() -> None:
    with pytest.raises(TypeError, match="sandbox"):
        ShieldPlatform("https://shield.example", None)
    credential = Credential("shield", variable="SHIELD_LOGIN")
    live = ShieldPlatform.live(credential)
    assert live.abilities.live
    assert live._line._base == LIVE == "https://shield.projectarachnid.com"
    live.close()
    with pytest.raises(Stop, match="plain http"):
        ShieldPlatform.sandbox("http://shield.example", credential)
    assert not shield_at("http://127.0.0.1:9").abilities.live


def test_what_it_declares() -> None:
    said = shield_at("http://127.0.0.1:9").abilities
    assert (said.name, said.party, said.kinds) == ("shield", "Canadian Centre for Child Protection", ("pdq",))
    assert (said.batch, said.requests_per_second, said.by_people) == (50, 1.0, False)
    terms = Terms("c3p", batch=7, requests_per_month=9)
    declared = shield_at("http://127.0.0.1:9", terms).abilities
    assert (declared.name, declared.batch, declared.requests_per_month) == ("c3p", 7, 9)


# --- the emulator, judged by the body's own types ---------------------------------------------------------------------


def raw(service: Service, method: str, path: str, **given_: Any) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.request(method, service.url + path, auth=("tester", "shield-secret"), **given_)


def scanned(server: ShieldServer, *values: bytes) -> Any:
    with served(server) as service:
        return raw(service, "POST", "/v1/pdq", json={"hashes": [b64encode(value).decode() for value in values]}).json()


def test_the_sdk_reads_what_the_emulator_answers_for_pdq() -> None:
    said = scanned(shield_server(), CSAM, HARMFUL, NONE, TEST)
    read = sdk.ScannedPDQHashes.from_dict(said).scanned_hashes
    csam, none = read[b64encode(CSAM).decode()], read[b64encode(NONE).decode()]
    assert (csam.classification, csam.match_type) == ("csam", sdk.MatchType.Near)
    assert csam.near_match_details is not None
    assert csam.near_match_details.sha256_hex == picture_of(CSAM)
    assert csam.matches_known_media
    assert not none.matches_known_media
    one = sdk.PDQMatch.from_dict(said["scanned_hashes"][b64encode(HARMFUL).decode()])
    assert one.classification is sdk.MediaClassification.HarmfulAbusiveMaterial


def test_the_sdks_own_client_is_answered_by_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(shield_server()) as service:
        client = ArachnidShield("tester", "shield-secret")
        monkeypatch.setattr(client, "_ArachnidShield__base_url", service.url + "/", raising=False)
        hashes = [b64encode(value).decode() for value in (CSAM, NONE)]
        found = client.scan_pdq_hashes(sdk.ScanMediaFromPdq(hashes))
        assert [found.scanned_hashes[name].matches_known_media for name in hashes] == [True, False]
        with pytest.raises(sdk.ArachnidShieldException, match="authorized"):
            client.scan_media_from_url("https://theirs.example/a")
        getattr(client, "_ArachnidShield__client").close()  # noqa: B009 - mangled


def test_where_the_reference_says_the_sdk_errs_it_does_and_we_do_not() -> None:
    server = shield_server()
    server.null_matches = True
    with pytest.raises(AttributeError):  # null is documented for no match
        sdk.ScannedPDQHashes.from_dict(scanned(server, NONE))
    with pytest.raises(ValueError, match="test"):  # its enumeration lacks a class
        sdk.PDQMatch.from_dict(scanned(server, TEST)["scanned_hashes"][b64encode(TEST).decode()])
    assert [item.ruling for item in verdicts(server, NONE, TEST)] == [Ruling.NO_MATCH, Ruling.TEST]


def test_the_sdk_reads_what_the_emulator_answers_for_media_and_addresses() -> None:
    import hashlib

    known = hashlib.sha1(b"made-up media").digest()
    server = ShieldServer(
        media={known: "csam"},
        pages={"https://mine.example/a": b"made-up media"},
        domains=frozenset({"mine.example"}),
    )
    with served(server) as service:
        media = raw(service, "POST", "/v1/media/", content=b"made-up media", headers={"Content-Type": "image/png"})
        page = raw(service, "POST", "/v1/url", json={"url": "https://mine.example/a"})
        other = raw(service, "POST", "/v1/url/", json={"url": "https://theirs.example/a"})
        dead = raw(service, "POST", "/v1/url/", json={"url": "https://mine.example/gone"})
    read = sdk.ScannedMedia.from_dict(media.json())
    assert (read.size_bytes, read.match_type, read.matches_known_media) == (13, sdk.MatchType.Exact, True)
    assert read == sdk.ScannedMedia.from_dict(page.json())
    assert other.status_code == 403
    assert "authorized" in sdk.ErrorDetail.from_dict(other.json()).detail
    assert dead.status_code == 400


def test_the_emulator_refuses_hex_and_tolerates_slashes() -> None:
    with served(shield_server()) as service:
        for hashes in ([CSAM.hex()], [b64encode(CSAM[:31]).decode()], ["?"], [7], [], "x", None):
            refused = raw(service, "POST", "/v1/pdq/", json={"hashes": hashes})
            assert refused.status_code == 400
            assert sdk.ErrorDetail.from_dict(refused.json()).detail
        for path in ("/v1/pdq", "/v1/pdq/"):
            assert raw(service, "POST", path, json={"hashes": [b64encode(made_up("x")).decode()]}).status_code == 200
        assert raw(service, "GET", "/v1/elsewhere").status_code == 404
        with httpx.Client(trust_env=False) as client:
            bare = client.get(service.url + "/v1/version")
        assert (bare.status_code, set(bare.json())) == (401, {"detail"})

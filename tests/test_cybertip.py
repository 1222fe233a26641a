"""The CyberTipline's client keeps the contract of authorities, on an emulated service over real HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx
import pytest

from tests.reporting import HOURS, REPORTER, bench, credentials, keeps_schema, letter
from vetset.errors import ServiceError, Stop
from vetset.platforms.credential import Credential
from vetset.platforms.cybertip import LIVE, CybertipAuthority
from vetset.testing import authority_contract as contract
from vetset.testing.cybertip_server import PASSWORD, USER, Tipline, cybertip_server
from vetset.testing.serving import Fault, Reply


@pytest.mark.parametrize("error_status", [200, 400], ids=["codes in 2xx", "codes in 4xx"])
def test_the_contract(error_status: int) -> None:
    contract.check_all(lambda: bench(Tipline(judge=keeps_schema, error_status=error_status)))


def test_only_its_constructors_make_one() -> None:
    with pytest.raises(TypeError):
        CybertipAuthority()


def test_live_is_the_real_service_and_asks_nothing_yet() -> None:
    authority = CybertipAuthority.live(Credential("cybertip", variable="NOT_SET"), REPORTER)
    assert authority.abilities.live
    assert LIVE.startswith("https://")
    authority.close()


@pytest.mark.parametrize(
    "url", ["http://made-up.example/ispws", "ftp://127.0.0.1", "https://user:word@made-up.example", ""]
)
def test_where_it_may_not_live(url: str) -> None:
    with pytest.raises(Stop) as stopped:
        CybertipAuthority.sandbox(url, Credential("cybertip", variable="NOT_SET"), REPORTER)
    assert "word" not in stopped.value.message


def test_an_empty_401_is_an_error_and_no_receipt() -> None:
    with bench() as at:
        name = at.authority.open(letter("a"))
        at.served.faults.append(Reply(401))
        with pytest.raises(ServiceError, match="http_401") as failed:
            at.authority.finish(name)
        assert not failed.value.may_pass


def test_wrong_credentials_stop_with_a_hint() -> None:
    with cybertip_server(Tipline()) as served, credentials("nobody:made-up") as credential:
        authority = CybertipAuthority.sandbox(served.url, credential, REPORTER)
        with pytest.raises(Stop) as stopped:
            authority.ready()
        authority.close()
    assert "credentials" in stopped.value.hint


@pytest.mark.parametrize(("code", "may_pass"), [(1000, True), (2000, False), (4100, False), (4110, False), (77, False)])
def test_a_success_of_http_with_another_code_is_an_error(code: int, may_pass: bool) -> None:
    body = f"<reportResponse><responseCode>{code}</responseCode><responseDescription>x</responseDescription></reportResponse>"
    with bench() as at:
        at.served.faults.append(Reply(202, body.encode()))
        with pytest.raises(ServiceError, match=f"code_{code}") as failed:
            at.authority.open(letter("a"))
        assert failed.value.may_pass == may_pass


def test_a_receipt_for_another_report_is_a_broken_answer() -> None:
    body = b"<reportDoneResponse><responseCode>0</responseCode><reportId>7</reportId><files/></reportDoneResponse>"
    with bench() as at:
        name = at.authority.open(letter("a"))
        at.served.faults.append(Reply(200, body))
        with pytest.raises(ServiceError, match="broken_answer"):
            at.authority.finish(name)


def test_reports_are_forgotten_as_the_service_says() -> None:
    """24 hours after opening or one hour after the last change, whichever is later."""
    tipline = Tipline()
    with bench(tipline) as at:
        name = at.authority.open(letter("a"))
        tipline.now_seconds = 23.9 * HOURS
        assert at.authority.finish(name).report_id == name
        late = at.authority.open(letter("b"))
        tipline.now_seconds += 24.1 * HOURS
        with pytest.raises(ServiceError, match="gone"):
            at.authority.finish(late)
    assert len(tipline.finished()) == 1


def test_what_was_finished_is_never_forgotten() -> None:
    tipline = Tipline()
    with bench(tipline) as at:
        name = at.authority.open(letter("a"))
        at.authority.finish(name)
        at.forgets()
        assert at.authority.finish(name).noted == {"responseCode": "5102"}
    assert len(tipline.finished()) == 1


def test_the_moment_of_a_receipt_is_ours() -> None:
    moment = datetime(2026, 11, 4, tzinfo=UTC)
    with cybertip_server(Tipline()) as served, credentials() as credential:
        authority = CybertipAuthority.sandbox(served.url, credential, REPORTER, moment=lambda: moment)
        assert authority.finish(authority.open(letter("a"))).finished_at == moment
        authority.close()


def test_an_answer_lost_after_it_was_done_leaves_one_report() -> None:
    tipline = Tipline()
    with bench(tipline) as at:
        name = at.authority.open(letter("a"))
        at.served.faults.append(Fault.LOST)
        with pytest.raises(ServiceError, match="connection"):
            at.authority.finish(name)
        assert at.authority.finish(name).report_id == name
    assert len(tipline.finished()) == 1


def test_what_is_asked_and_how() -> None:
    with bench() as at:
        at.authority.ready()
        at.authority.finish(at.authority.open(letter("a")))
        asked = [(one.method, one.path) for one in at.served.asked]
        assert asked == [("GET", "/status"), ("POST", "/submit"), ("POST", "/finish")]
        assert at.served.asked[1].headers["content-type"] == "text/xml; charset=utf-8"
        assert re.fullmatch(rb"id=[0-9]+", at.served.asked[2].body)


def test_the_emulated_service_by_itself() -> None:
    """Asked without our client: the schema's address, 401 without a body, calls that do not exist."""
    with cybertip_server(Tipline(schema=b"<made-up/>")) as served:
        with httpx.Client(base_url=served.url, auth=(USER, PASSWORD), trust_env=False) as client:
            assert client.get("/xsd").content == b"<made-up/>"
            assert client.post("/upload").status_code == 404
            assert "5001" in client.post("/finish", data={"id": "1"}).text
            assert client.get("/status").headers["Request-ID"]
            assert "4110" in client.post("/submit", content=b"<!DOCTYPE x><report/>").text
        with httpx.Client(base_url=served.url, trust_env=False) as stranger:
            answer = stranger.get("/status")
            assert (answer.status_code, answer.content) == (401, b"")

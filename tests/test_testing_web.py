"""The servers for tests: that they do what they say, so that what is tested against them is tested."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections import Counter
from pathlib import Path

import pytest

from vetset.records import FetchOutcome
from vetset.testing.certificates import authority
from vetset.testing.hostile_web import BEHAVIOURS
from vetset.testing.mini_web import MiniWeb, mini_web
from vetset.testing.names import name_server
from vetset.testing.network import NAME_SERVER, in_own_network
from vetset.testing.web import NOT_FOUND, Page, Seen, web

BODIES = [b"\xff\xd8\xff" + bytes([number]) for number in range(10)]


def made(**changes: int) -> MiniWeb:
    return mini_web(BODIES, ["11.0.0.1", "11.0.0.2"], links=2000, **changes)


def seen(host: str, path: str) -> Seen:
    return Seen(host, path, 0.0, 0, {})


def test_a_mini_web_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert [link.url for link in made().links] == [link.url for link in made().links]
    assert [link.url for link in made(seed=2).links] != [link.url for link in made().links]


def test_its_shares_are_those_that_were_asked_for() -> None:
    outcomes = made().outcomes()
    dead = outcomes[FetchOutcome.GONE] + outcomes[FetchOutcome.DNS] + outcomes[FetchOutcome.NOT_AN_IMAGE]
    assert 0.25 < dead / 2000 < 0.33
    assert outcomes[FetchOutcome.ROBOTS] > 20
    assert outcomes[FetchOutcome.OPTED_OUT] > 20
    assert sum(outcomes.values()) == 2000


def test_its_pictures_have_mirrors_and_its_pages_are_what_the_links_say() -> None:
    web_of_it = made()
    hosts = Counter(link.url.split("/")[2] for link in web_of_it.links if link.picture == 3)
    assert len(hosts) > 5
    for link in web_of_it.links:
        host, path = link.url.removeprefix("http://").split("/", 1)
        page = web_of_it.page_of(seen(host, f"/{path}"))
        if link.outcome is FetchOutcome.FETCHED and page.status == 200:
            assert page.body == BODIES[link.picture]
        if link.outcome is FetchOutcome.GONE:
            assert page == NOT_FOUND
        assert bool(web_of_it.place_of(host)) is (link.outcome is not FetchOutcome.DNS)
    assert web_of_it.place_of("elsewhere.test") == ()


def test_hostile_behaviours_have_names_outcomes_and_hosts_of_their_own() -> None:
    assert len({behaviour.name for behaviour in BEHAVIOURS}) == len(BEHAVIOURS)
    assert {behaviour.outcome for behaviour in BEHAVIOURS} >= {
        FetchOutcome.TIMEOUT, FetchOutcome.TOO_SLOW, FetchOutcome.TOO_LARGE, FetchOutcome.SERVER_ERROR,
        FetchOutcome.TLS_INVALID, FetchOutcome.BLOCKED_ADDRESS, FetchOutcome.REDIRECT_LIMIT, FetchOutcome.NOT_AN_IMAGE,
    }  # fmt: skip


def test_the_command_line_of_an_own_network_names_what_it_runs(tmp_path: Path) -> None:
    words = in_own_network(["true", "a b"], tmp_path, {"a.test": "11.0.0.9"})
    assert words[0] == "unshare"
    assert words[-2:] == ["true", "a b"]
    assert "11.0.0.9 a.test" in (tmp_path / "hosts").read_text()
    assert NAME_SERVER in (tmp_path / "resolv.conf").read_text()


# --- over sockets -----------------------------------------------------------------------------------------------------


@pytest.mark.own_network
def test_names_are_answered_as_they_are_told() -> None:
    said = {"a.test": ("11.0.0.7",), "both.test": ("11.0.0.8", "2a00:11::1")}
    with name_server(NAME_SERVER, lambda name, _: said.get(name, ())) as server:
        assert socket.gethostbyname("a.test") == "11.0.0.7"
        places = {entry[4][0] for entry in socket.getaddrinfo("both.test", 80, type=socket.SOCK_STREAM)}
        assert places == {"11.0.0.8", "2a00:11::1"}
        with pytest.raises(socket.gaierror):
            socket.gethostbyname("c.test")
        assert server.asked["a.test", 1] == 1


@pytest.mark.own_network
def test_a_name_may_change_its_mind() -> None:
    with name_server(NAME_SERVER, lambda _, asked: (f"11.0.0.{asked + 1}",)):
        assert [socket.gethostbyname("a.test") for _ in range(3)] == ["11.0.0.1", "11.0.0.2", "11.0.0.3"]


@pytest.mark.own_network
def test_pages_are_served_on_connections_that_stay_and_requests_are_noted() -> None:
    with web(lambda one: Page(one.path.encode()), [("11.0.0.1", 80)]) as served:
        asking = http.client.HTTPConnection("11.0.0.1", 80)
        for path in ("/1", "/2"):
            asking.request("GET", path, headers={"Host": "a.test", "X-Some": "thing"})
            assert asking.getresponse().read() == path.encode()
        asking.close()
    assert [(one.host, one.path, one.headers["x-some"]) for one in served.seen] == [
        ("a.test", "/1", "thing"), ("a.test", "/2", "thing"),
    ]  # fmt: skip
    assert len({one.connection for one in served.seen}) == 1


@pytest.mark.own_network
def test_how_many_were_under_way_at_once_is_noted() -> None:
    def ask() -> None:
        asking = http.client.HTTPConnection("11.0.0.1", 80)
        asking.request("GET", "/", headers={"Host": "a.test"})
        asking.getresponse().read()
        asking.close()

    with web(lambda _: Page(b"", delay_seconds=0.5), [("11.0.0.1", 80)]) as served:
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert served.most_at_once == {"a.test": 3}


@pytest.mark.own_network
@pytest.mark.parametrize(("expired", "self_signed", "host", "sound"), [
    (False, False, "a.test", True), (True, False, "a.test", False), (False, True, "a.test", False), (False, False, "b.test", False),
])  # fmt: skip
def test_certificates_are_as_sound_as_they_say(
    expired: bool, self_signed: bool, host: str, sound: bool, tmp_path: Path
) -> None:
    own = authority(tmp_path)
    tls = own.server("a.test", expired=expired, self_signed=self_signed)
    trusting = ssl.create_default_context(cafile=str(own.file))
    with (
        web(lambda _: Page(b"x"), [("11.0.0.1", 443)], tls),
        socket.create_connection(("11.0.0.1", 443)) as connection,
    ):
        try:
            with trusting.wrap_socket(connection, server_hostname=host):
                assert sound
        except ssl.SSLCertVerificationError:
            assert not sound

"""Authorities from settings: which service is told, who tells, and that nothing leaves without --live."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reporting import letter
from vetset.config import AuthoritySettings, read_settings
from vetset.errors import Stop
from vetset.testing.cybertip_server import PASSWORD, USER, Tipline, cybertip_server
from vetset.wiring.telling import authority_of, may_tell

WHO = AuthoritySettings(email="trust@made-up.example", credentials_variable="VETSET_TEST_TIPLINE")


def test_a_sandbox_is_told_without_live(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{USER}:{PASSWORD}\n")
    (tmp_path / "secret").chmod(0o600)
    tipline = Tipline()
    with cybertip_server(tipline) as served:
        text = f'[authorities.tips]\nsandbox_url = "{served.url}"\nemail = "a@made-up.example"\ncredentials_file = "secret"\n'
        (tmp_path / "vetset.toml").write_text(text)
        authorities = read_settings(tmp_path / "vetset.toml").authorities
        assert may_tell("tips", authorities, live=False)
        with authority_of("tips", authorities, live=False) as authority:
            authority.ready()
            authority.finish(authority.open(letter("a")))
            assert not authority.abilities.live
    assert len(tipline.finished()) == 1


def test_the_live_service_is_not_told_without_live() -> None:
    assert not may_tell("tips", {"tips": WHO}, live=False)
    with pytest.raises(Stop, match="nothing was sent"), authority_of("tips", {"tips": WHO}, live=False):
        pass


def test_with_live_a_sandbox_is_passed_over() -> None:
    settings = AuthoritySettings(email="a@b", sandbox_url="http://127.0.0.1:9", credentials_variable="X")
    with authority_of("tips", {"tips": settings}, live=True) as authority:
        assert authority.abilities.live


@pytest.mark.parametrize(
    ("authorities", "what"),
    [({}, "no authority"), ({"other": WHO}, "no authority"), ({"tips": AuthoritySettings()}, "nobody who reports")],
)
def test_what_is_refused(authorities: dict[str, AuthoritySettings], what: str) -> None:
    with pytest.raises(Stop, match=what) as stopped, authority_of("tips", authorities, live=True):
        pass
    assert stopped.value.hint


def test_credentials_that_are_not_there_stop_when_they_are_needed() -> None:
    with cybertip_server(Tipline()) as served:
        settings = AuthoritySettings(email="a@b", sandbox_url=served.url, credentials_variable="VETSET_NOT_SET")
        with authority_of("tips", {"tips": settings}, live=False) as authority, pytest.raises(Stop):
            authority.ready()
        assert not served.asked

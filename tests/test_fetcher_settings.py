"""The settings of fetch: what a file may say, what is refused, and what no setting can allow."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from vetset.config import FetchSettings, read_settings, settings_from
from vetset.errors import Stop


def test_how_links_are_fetched_is_said_in_its_own_table(tmp_path: Path) -> None:
    text = '[fetch]\ncontact = "me@example.org"\nports = [80, 443, 8080]\nmilliseconds_between_requests = 0\nrobots = false'
    file = tmp_path / "vetset.toml"
    file.write_text(text)
    fetch = read_settings(file).fetch
    assert (fetch.contact, fetch.ports, fetch.milliseconds_between_requests) == ("me@example.org", (80, 443, 8080), 0)
    assert (fetch.robots, fetch.opt_outs, fetch.connections_per_host) == (False, True, 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ports", [0]), ("ports", [65_536]), ("ports", ["80"]), ("ports", 80), ("ports", [True]), ("connections", 0),
        ("connections", 5000), ("connections_per_host", 0), ("milliseconds_between_requests", -1), ("retries", 11),
        ("timeout_seconds", 0), ("max_bytes", 0), ("max_header_bytes", 100), ("min_bytes_per_second", -1),
        ("max_redirects", -1), ("robots", 1), ("contact", 5), ("proxy", "x"),
    ],
)  # fmt: skip
def test_settings_of_fetch_that_are_refused(key: str, value: Any) -> None:
    with pytest.raises(Stop) as stop:
        settings_from({"fetch": {key: value}})
    assert key in stop.value.message
    assert stop.value.hint


def test_fetch_has_no_setting_that_allows_other_addresses_or_unverified_hosts() -> None:
    names = {item.name for item in dataclasses.fields(FetchSettings)}
    assert not {name for name in names if re.search("verify|insecure|private|loopback|proxy|cookie|password", name)}

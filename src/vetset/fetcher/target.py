"""What an address of the web is: its scheme, host, port and path, in one spelling, or nothing that may be asked.

In it: one pure function over text. Not in it: whether a host may be connected to, which its socket decides.
Rules: http and https only, on allowed ports only; user names, passwords and fragments are dropped; the spelling is that
of the WHATWG URL Standard, so that what robots.txt is asked about is what is requested.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import ada_url

_MOST_CHARACTERS = 8192  # servers refuse longer request lines


class Target(NamedTuple):
    """One address to request. `path` is with its query; `url` is whole, less user, password and fragment."""

    url: str
    secure: bool
    host: str
    port: int
    path: str

    def __repr__(self) -> str:
        return "<target>"  # an address may lead to material

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What has a robots.txt of its own (RFC 9309, 2.3)."""
        return (self.secure, self.host, self.port)

    @property
    def root(self) -> str:
        """The address without its path."""
        return self.url[: len(self.url) - len(self.path)]


# Addresses that are in normal form as they stand; the same language as kernels/url.py tells, with its parts. Anything
# else goes through the parser. The parser is exact but, asked for each part, takes ten times as long.
_LABEL = "[a-z0-9]+(?:-[a-z0-9]+)*"
_LAST_LABEL = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_START = r"A-Za-z0-9_~!$&()*+,;=:@\-"
_PATH = rf"(?:/(?:[{_START}][{_START}.%]*)?)+(?:\?[{_START}.%/?]+)?"
_SETTLED = re.compile(rf"http(s?)://((?:{_LABEL}\.)*{_LAST_LABEL})()({_PATH})\Z")
# What the parser answers for http and https.
_HREF = re.compile(
    r"http(s?)://(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[^/?#@:\[\]]+)(?::([0-9]+))?(/[^#]*)(?:#.*)?\Z", re.DOTALL
)


def target_of(url: str, ports: frozenset[int], base: Target | None = None) -> Target | None:
    """The target that an address names, seen from `base` if it is relative; None if it names none that is asked."""
    if len(url) > _MOST_CHARACTERS:
        return None
    parts = _SETTLED.match(url)
    settled = parts is not None
    if parts is None:
        parts = _parsed(url, base)
    if parts is None:
        return None
    letter, host, port_text, path = parts.groups()
    port = int(port_text) if port_text else (443 if letter else 80)
    if port not in ports:
        return None
    if settled:
        return Target(url, letter == "s", host, port, path)
    shown = f":{port_text}" if port_text else ""
    return Target(f"http{letter}://{host}{shown}{path}", bool(letter), host, port, path)


def _parsed(url: str, base: Target | None) -> re.Match[str] | None:
    try:
        href = ada_url.URL(url, base.url).href if base is not None else ada_url.URL(url).href
    except ValueError:
        return None
    return _HREF.match(href)

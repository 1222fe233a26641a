"""Shield by Project Arachnid as an emulating server, built from its documented API 1.1.0 and from no client.

In it: `/v1/pdq`, `/v1/media`, `/v1/url`, `/v1/media/submit`, `/v1/version`. Not in it: any real entry; what it knows is
made up by the test, and near is within 31 of 256 bits.
Rules: HTTP Basic; errors are `{"detail": …}`; a slash at the end is tolerated; a hash is base64 of 32 bytes, and hex
is refused with 400.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode, b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vetset.testing.service import Answer, Heard, Said, basic_pair, heard_json, said_json

CLASSES = ("csam", "harmful-abusive-material", "no-known-match", "test")
_NO_MATCH = "no-known-match"
_PDQ_BYTES, _RADIUS_BITS = 32, 31


@dataclass(slots=True)
class ShieldServer:
    """What it knows: classes of PDQs, of SHA-1s of media, and what lies at addresses on authorised domains.

    `null_matches`: a hash without a match is null, as documented, and not an entry. `listed_details`: near details as
    a list, as for media, and not as one object. `null_details`: a match without details.
    """

    pdqs: Mapping[bytes, str] = field(default_factory=dict)
    media: Mapping[bytes, str] = field(default_factory=dict)  # by SHA-1
    pages: Mapping[str, bytes] = field(default_factory=dict)
    domains: frozenset[str] = frozenset()
    user: str = "tester"
    password: str = "shield-secret"  # noqa: S105 - of nothing real
    null_matches: bool = False
    listed_details: bool = False
    null_details: bool = False
    last_updated_at: str = "2026-11-01T00:00:00Z"
    most_hashes: int = 1000
    submitted: int = 0

    def __call__(self, heard: Heard) -> Said:
        if basic_pair(heard) != (self.user, self.password):
            return _detail("Invalid username/password.", 401)
        routes: Mapping[tuple[str, str], Answer] = {
            ("GET", "/v1/version"): lambda _: said_json({"last_updated_at": self.last_updated_at}),
            ("POST", "/v1/pdq"): self._pdq,
            ("POST", "/v1/url"): self._url,
            ("POST", "/v1/media"): self._media,
            ("POST", "/v1/media/submit"): self._submit,
        }
        return routes.get((heard.method, heard.path.rstrip("/")), _not_found)(heard)

    def _media(self, heard: Heard) -> Said:
        return said_json(self._scanned(heard.body)) if heard.body else _detail("No media was given.", 400)

    def _submit(self, _: Heard) -> Said:
        self.submitted += 1
        return said_json({})

    def _pdq(self, heard: Heard) -> Said:
        body = heard_json(heard)
        hashes = body.get("hashes") if isinstance(body, dict) else None
        if not isinstance(hashes, list) or not 0 < len(hashes) <= self.most_hashes:
            return _detail("hashes: this field is required.", 400)
        values = [_pdq_of(text) for text in hashes]
        if None in values:
            return _detail("hashes: not a base64-encoded PDQ hash.", 400)
        return said_json({"scanned_hashes": {b64encode(v).decode(): self._match(v) for v in values if v is not None}})

    def _match(self, value: bytes) -> dict[str, Any] | None:
        known = self._nearest(value)
        if known is None:
            empty = {"classification": _NO_MATCH, "match_type": None, "near_match_details": None}
            return None if self.null_matches else empty
        detail = _near(known, self.pdqs[known])
        details = None if self.null_details else [detail] if self.listed_details else detail
        return {"classification": self.pdqs[known], "match_type": "near", "near_match_details": details}

    def _nearest(self, value: bytes) -> bytes | None:
        near = [(_bits(known, value), known) for known in self.pdqs]
        distance, known = min(near, default=(_RADIUS_BITS + 1, b""))
        return known if distance <= _RADIUS_BITS else None

    def _url(self, heard: Heard) -> Said:
        body = heard_json(heard)
        url = body.get("url") if isinstance(body, dict) else None
        if not isinstance(url, str):
            return _detail("url: this field is required.", 400)
        if urlsplit(url).hostname not in self.domains:
            return _detail("The domain is not authorized for this account.", 403)
        page = self.pages.get(url)
        return _detail("The media could not be retrieved.", 400) if page is None else said_json(self._scanned(page))

    def _scanned(self, media: bytes) -> dict[str, Any]:
        sha1 = hashlib.sha1(media, usedforsecurity=False).digest()
        word = self.media.get(sha1, _NO_MATCH)
        return {
            "size_bytes": len(media),
            "sha1_base32": b32encode(sha1).decode(),
            "sha256_hex": hashlib.sha256(media).hexdigest(),
            "classification": word,
            "match_type": None if word == _NO_MATCH else "exact",
            "is_match": word != _NO_MATCH,
            "near_match_details": [],
        }


def _pdq_of(text: Any) -> bytes | None:
    """32 bytes from their base64; 64 hex digits are base64 too, of 48 bytes, and refused for their length."""
    try:
        value = b64decode(text, validate=True) if isinstance(text, str) else b""
    except (NotBase64, ValueError):
        return None
    return value if len(value) == _PDQ_BYTES else None


def _near(known: bytes, word: str) -> dict[str, Any]:
    """The picture of its database that is near, by digests made up from the hash."""
    sha1 = hashlib.sha1(known, usedforsecurity=False).digest()
    return {
        "timestamp": 0.0,
        "sha1_base32": b32encode(sha1).decode(),
        "sha256_hex": picture_of(known),
        "classification": word,
    }


def picture_of(pdq: bytes) -> str:
    """The made-up SHA-256 in hex under which the server names the picture of a PDQ."""
    return hashlib.sha256(pdq).hexdigest().upper()


def _bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _not_found(_: Heard) -> Said:
    return _detail("Not found.", 404)


def _detail(text: str, status: int) -> Said:
    return said_json({"detail": text}, status)

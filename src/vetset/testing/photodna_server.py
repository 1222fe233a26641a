"""PhotoDNA Cloud as an emulating server, built from what open integrations say of its wire shape.

In it: `/Match` (a picture's bytes, or an address), `/MatchHash`, the gateway before them. Not in it: any hash of
PhotoDNA's: edge hashes here are made-up bytes of the right length, equal or not; no address is ever fetched, pages are
given by the test.
Rules: the gateway answers 401, 403 and 429 as JSON with `message`; everything that is about an item comes inside HTTP
200 as a code; at most five items; answers in the order of the request.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from vetset.testing.service import Bucket, Heard, Said, heard_json, said_json

EDGE_HASH_BYTES, MOST_ITEMS = 924, 5
OK, BAD_PARAMETER, UNKNOWN, NO_IMAGE, BAD_SIZE, TOO_LARGE = 3000, 3002, 3004, 3206, 3208, 3209
_WORDS = {
    OK: "OK",
    BAD_PARAMETER: "Invalid or missing request parameter(s)",
    UNKNOWN: "Unknown scenario or unhandled error occurred while processing request",
    NO_IMAGE: "The given file could not be verified as an image",
    BAD_SIZE: "Image pixel size is not within allowed range",
    TOO_LARGE: "Request size is too large",
}
_URL_MODE = "URL"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of its database: several hashes may bear one `match_id`."""

    match_id: str
    source: str = "NCMEC"
    violations: tuple[str, ...] = ("A1",)
    distance: int = 0


@dataclass(slots=True)
class PhotoDnaServer:
    """What it knows, by edge hash and by the SHA-256 of a picture's bytes; codes of things that it cannot judge.

    `null_details`: a match without details. `per_second` 0: no limit.
    """

    hashes: Mapping[bytes, Entry] = field(default_factory=dict)
    codes: Mapping[bytes, int] = field(default_factory=dict)
    pictures: Mapping[bytes, Entry] = field(default_factory=dict)  # by SHA-256
    pages: Mapping[str, bytes] = field(default_factory=dict)
    key: str = "photodna-secret"
    forbidden: bool = False  # the key is known, its quota or permission is not enough
    per_second: float = 5.0
    null_details: bool = False
    _numbers: count[int] = field(default_factory=count)
    _bucket: Bucket | None = None

    def __call__(self, heard: Heard) -> Said:
        refused = self._gateway(heard)
        if refused is not None:
            return refused
        if (heard.method, heard.path) == ("POST", "/MatchHash"):
            return said_json(self._batch(heard_json(heard)))
        if (heard.method, heard.path) == ("POST", "/Match"):
            return said_json(self._single(heard))
        return _gateway_says("Resource not found", 404)

    def _gateway(self, heard: Heard) -> Said | None:
        if heard.headers.get("ocp-apim-subscription-key") != self.key:
            return _gateway_says("Access denied due to invalid subscription key.", 401)
        if self.forbidden:
            return _gateway_says("Out of call volume quota.", 403)
        if self.per_second and self._bucket is None:
            self._bucket = Bucket(self.per_second)
        if self._bucket is not None and not self._bucket.takes(heard.at_seconds):
            return _gateway_says("Rate limit is exceeded. Try again in 1 seconds.", 429, (("Retry-After", "1"),))
        return None

    def _batch(self, given: Any) -> dict[str, Any]:
        if not isinstance(given, list) or not 0 < len(given) <= MOST_ITEMS:
            return {"TrackingId": self._tracking_id(), **_status(BAD_PARAMETER)}
        results = [self._item(item) for item in given]
        return {"TrackingId": self._tracking_id(), "MatchResults": results}

    def _item(self, item: Any) -> dict[str, Any]:
        value = _edge_hash(item)
        if value is None:
            return self._result(BAD_PARAMETER, None)
        return self._result(self.codes.get(value, OK), self.hashes.get(value))

    def _result(self, code: int, entry: Entry | None) -> dict[str, Any]:
        found = entry if code == OK else None
        return {
            **_status(code),
            "IsMatch": found is not None,
            "MatchDetails": None if found is None or self.null_details else _details(found),
            "TrackingId": self._tracking_id(),
        }

    def _single(self, heard: Heard) -> dict[str, Any]:
        """One picture, as bytes or by its address, which must be among the pages that are there."""
        body: bytes | None = heard.body
        if heard.headers.get("content-type", "").startswith("application/json"):
            given = heard_json(heard)
            if not isinstance(given, dict) or given.get("DataRepresentation") != _URL_MODE:
                return self._whole(BAD_PARAMETER, b"")
            body = self.pages.get(str(given.get("Value")))
        if not body:
            return self._whole(NO_IMAGE, b"")  # a dead address is no image
        return self._whole(self.codes.get(body, OK), body)

    def _whole(self, code: int, body: bytes) -> dict[str, Any]:
        result = self._result(code, self.pictures.get(hashlib.sha256(body).digest()))
        details = result["MatchDetails"] or {"AdvancedInfo": [], "MatchFlags": []}
        more = {"ContentId": None, "XPartnerCustomerId": None, "EvaluateResponse": None}
        return {**result, **more, "MatchDetails": details}

    def _tracking_id(self) -> str:
        return f"EU_{next(self._numbers):08d}_made-up"


def _edge_hash(item: Any) -> bytes | None:
    if not isinstance(item, dict) or item.get("DataRepresentation") != "PreHashV2":
        return None
    try:
        value = b64decode(str(item.get("Value")), validate=True)
    except (NotBase64, ValueError):
        return None
    return value if len(value) == EDGE_HASH_BYTES else None


def _status(code: int) -> dict[str, Any]:
    return {"Status": {"Code": code, "Description": _WORDS[code], "Exception": None}}


def _details(entry: Entry) -> dict[str, Any]:
    flag = {
        "AdvancedInfo": [{"Key": "MatchId", "Value": entry.match_id}],
        "Source": entry.source,
        "Violations": list(entry.violations),
        "MatchDistance": entry.distance,
    }
    return {"AdvancedInfo": [], "MatchFlags": [flag]}


def _gateway_says(text: str, status: int, headers: Sequence[tuple[str, str]] = ()) -> Said:
    return said_json({"statusCode": status, "message": text}, status, tuple(headers))

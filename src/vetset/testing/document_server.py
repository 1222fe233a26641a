"""A body that gives its list out as one document over HTTP, emulated: an entity tag, credentials, a new edition.

In it: `Documents` by path. Not in it: HTTP and its faults (`serving`), what stands in a document.
Rules: every document is made up by the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vetset.testing.serving import Asked, Reply, Served, served


@dataclass(slots=True)
class Documents:
    """By path. `header` and `value`: what must stand in a request; `tagged`: whether entity tags are given."""

    by_path: dict[str, bytes] = field(default_factory=dict)
    header: str = ""
    value: str = ""
    tagged: bool = True

    def answer(self, asked: Asked) -> Reply:
        if self.header and asked.headers.get(self.header.lower()) != self.value:
            return Reply(401)
        body = self.by_path.get(asked.path)
        if body is None:
            return Reply(404)
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.tagged and asked.headers.get("if-none-match") == tag:
            return Reply(304, b"", {"ETag": tag})
        return Reply(200, body, {"ETag": tag} if self.tagged else {})


@contextmanager
def document_server(documents: Documents) -> Iterator[Served]:
    """The service for as long as the context lasts."""
    with served(documents.answer) as service:
        yield service

"""What the tests of platforms share: made-up fingerprints, emulated bodies with what they know, and platforms over them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from vetset.platforms import hma, photodna, shield
from vetset.platforms.credential import Credential
from vetset.platforms.hma import Banks, HmaPlatform
from vetset.platforms.photodna import EdgeHashes, PhotoDnaPlatform
from vetset.platforms.shield import ShieldPlatform
from vetset.platforms.terms import Terms
from vetset.ports import Platform
from vetset.records import Question, Ruling, Sealed
from vetset.testing.hma_server import HmaServer
from vetset.testing.photodna_server import Entry, PhotoDnaServer
from vetset.testing.platform_contract import Stand
from vetset.testing.service import Service, served
from vetset.testing.shield_server import ShieldServer

KIND = "edge_v2"
SHIELD_PAIR, KEY = "tester:shield-secret", "photodna-secret"
BASIC = b64encode(SHIELD_PAIR.encode()).decode()


def made_up(name: str, width_bytes: int = 32) -> bytes:
    """Bytes that are no fingerprint of anything."""
    return hashlib.shake_128(f"made up: {name}".encode()).digest(width_bytes)


def near(value: bytes, bits: int) -> bytes:
    """The same with its first bits turned."""
    return (int.from_bytes(value) ^ ((1 << bits) - 1)).to_bytes(len(value))


def pdq(*values: bytes) -> list[Question]:
    return [Question("pdq", Sealed(value)) for value in values]


def edge(*values: bytes) -> list[Question]:
    return [Question(KIND, Sealed(value)) for value in values]


@pytest.fixture
def known_to_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the emulated bodies know us by, in the environment."""
    monkeypatch.setenv("SHIELD_LOGIN", SHIELD_PAIR)
    monkeypatch.setenv("PHOTODNA_KEY", KEY)


# --- what they know -------------------------------------------------------------------------------------------------

CSAM, HARMFUL, TEST, NEAR, NONE, OTHER = (made_up(f"pdq {number}") for number in range(6))
EDGES = [made_up(f"edge {number}", photodna.EDGE_HASH_BYTES) for number in range(7)]
CANARY = made_up("canary")


def shield_server() -> ShieldServer:
    return ShieldServer(pdqs={CSAM: "csam", HARMFUL: "harmful-abusive-material", TEST: "test"})


def photodna_server(**changes: Any) -> PhotoDnaServer:
    one, two = Entry("1001", distance=0), Entry("1001", distance=179)
    return PhotoDnaServer(
        hashes={EDGES[0]: one, EDGES[1]: two, EDGES[2]: Entry("7", "Test", ())},
        codes={EDGES[3]: 3208, EDGES[4]: 3206},
        **{"per_second": 0.0, **changes},
    )


def hma_server(**changes: Any) -> HmaServer:
    server = HmaServer(**changes)
    server.bank("LISTED", CSAM, CANARY)
    server.bank("FOR_TESTS", TEST, CANARY)
    server.bank("OF_OTHERS", OTHER)
    return server


BANKS = Banks("a partner", {"LISTED": Ruling.CSAM, "FOR_TESTS": Ruling.TEST}, CANARY)


# --- platforms over them --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Body:
    """A platform of one kind, over a service of the kind, and what must come of it."""

    server: Callable[[], Any]
    platform: Callable[[str], Any]
    kind: str
    rulings: dict[bytes, Ruling]
    secrets: tuple[str, ...] = ()

    @contextmanager
    def open(self, service: Service) -> Iterator[Any]:
        platform = self.platform(service.url)
        try:
            yield platform
        finally:
            platform.close()

    @contextmanager
    def stand(self) -> Iterator[Stand]:
        with served(self.server()) as service:
            yield Stand(service, self.kind, self.rulings, self.secrets)


def shield_at(url: str, terms: Terms = shield.TERMS) -> ShieldPlatform:
    return ShieldPlatform.sandbox(url, Credential("shield", variable="SHIELD_LOGIN"), terms)


def photodna_at(url: str, terms: Terms = photodna.TERMS, canary: bytes = b"") -> PhotoDnaPlatform:
    credential = Credential("photodna", variable="PHOTODNA_KEY")
    return PhotoDnaPlatform.sandbox(url, credential, EdgeHashes((KIND,), canary), terms)


def hma_at(url: str, banks: Banks = BANKS, terms: Terms = hma.TERMS) -> HmaPlatform:
    return HmaPlatform.sandbox(url, banks, None, replace(terms, batch=4))


BODIES = {
    "shield": Body(
        shield_server,
        shield_at,
        "pdq",
        {
            CSAM: Ruling.CSAM,
            HARMFUL: Ruling.HARMFUL,
            NONE: Ruling.NO_MATCH,
            TEST: Ruling.TEST,
            near(CSAM, 31): Ruling.CSAM,
            near(CSAM, 32): Ruling.NO_MATCH,
        },
        ("shield-secret", BASIC),
    ),
    "photodna": Body(
        photodna_server,
        photodna_at,
        KIND,
        {
            EDGES[0]: Ruling.CSAM,
            EDGES[1]: Ruling.CSAM,
            EDGES[2]: Ruling.TEST,
            EDGES[3]: Ruling.UNREACHABLE,
            EDGES[4]: Ruling.UNREACHABLE,
            EDGES[5]: Ruling.NO_MATCH,
        },
        (KEY,),
    ),
    "hma": Body(
        hma_server,
        hma_at,
        "pdq",
        {
            CSAM: Ruling.CSAM,
            TEST: Ruling.TEST,
            NONE: Ruling.NO_MATCH,
            OTHER: Ruling.NO_MATCH,
            near(TEST, 12): Ruling.TEST,
            CANARY: Ruling.CSAM,
        },
    ),
}

OpenPlatform = Callable[[], AbstractContextManager[Platform]]


def count_file(folder: Path) -> Path:
    return folder / "requests" / "body.json"

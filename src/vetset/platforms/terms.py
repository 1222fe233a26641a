"""On what terms a body is asked: how often, how many at once, how patiently, and which authorities vouch for it.

In it: `Terms`, with a default for each adapter in its own module. Not in it: credentials, addresses, waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from vetset.records import Abilities


@dataclass(frozen=True, slots=True)
class Terms:
    """`name`: as the user calls it. Of rates and quotas 0 is no limit. `max_bytes` of an answer."""

    name: str
    batch: int
    requests_per_second: float = 0.0
    requests_per_month: int = 0
    timeout_seconds: float = 60.0  # from the request to the end of its answer
    max_bytes: int = 4 * 1024 * 1024
    certificates_file: str = ""  # PEM of authorities that are trusted; empty: this system's

    def abilities(self, party: str, kinds: tuple[str, ...], learns: str, *, live: bool) -> Abilities:
        """What the platform declares on these terms."""
        return Abilities(
            self.name,
            party,
            kinds,
            self.batch,
            learns,
            requests_per_second=self.requests_per_second,
            requests_per_month=self.requests_per_month,
            live=live,
        )

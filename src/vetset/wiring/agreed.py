"""What must be agreed before anything is fetched, and how the settings bound it.

In it: the refusals of `--reach fetch`, and its settings as the pipeline takes them. Not in it: the network.
Rules: without a legal basis and a contact nothing is asked of anybody; nor where nothing could come of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vetset import config
from vetset.config import Settings
from vetset.errors import Stop
from vetset.pipeline.room import FetchRunSettings
from vetset.records import URL_ALGORITHM, Reach, Signal
from vetset.stages.fetch import FetchSettings

_SECONDS_PER_HOUR = 3600.0


def must_be_agreed(settings: Settings) -> None:
    """Raises Stop where a run is to fetch and the settings do not say on what legal basis and who answers for it."""
    if settings.audit.reach == Reach.COLUMNS and settings.audit.keep_digests:
        raise Stop("--keep-digests keeps those of pictures", hint="leave it out, or say --reach local or fetch")
    if settings.audit.reach != Reach.FETCH:
        return
    agreement = settings.agreement
    missing = [name for name in ("legal_basis", "contact") if not getattr(agreement, name).strip()]
    if missing:
        raise Stop(
            f"--reach fetch needs an [agreement] table in the settings that names {' and '.join(missing)}",
            hint="fetching what may be listed is lawful for few: read docs/guides/fetch-under-an-agreement.md first, "
            "then name the legal basis you have and an address at which you can be reached",
        )
    from vetset.fetcher.readiness import user_agent_of  # noqa: PLC0415 - no other run loads a network client

    user_agent_of(asking_settings(settings))


def asking_settings(settings: Settings) -> config.FetchSettings:
    """How the network is asked: hosts reach the contact of the agreement, unless [fetch] names another."""
    fetch = settings.fetch
    return fetch if fetch.contact else replace(fetch, contact=settings.agreement.contact.strip())


def must_be_worth_fetching(settings: Settings, signals: Collection[Signal]) -> None:
    """Raises Stop where no list holds a fingerprint of pictures: what is fetched could be compared with nothing."""
    if settings.audit.reach == Reach.FETCH and set(signals) <= set(URL_ALGORITHM):
        raise Stop(
            "no list holds fingerprints of pictures, so what is fetched could be compared with nothing",
            hint="audit by columns, or name a list with digests or PDQ",
        )


def fetch_settings(settings: Settings) -> FetchRunSettings:
    """What the step fetch needs of the settings."""
    budget, audit = settings.budget, settings.audit
    hours = budget.hours or 0.0
    plan = FetchSettings(
        urls=budget.urls,
        limited=bool(budget.bytes or hours),
        random_share=budget.random_share,
        seed=budget.seed,
        rounds=budget.rounds,
        spread_limit=audit.spread_limit,
        expand=audit.expand,
    )
    return FetchRunSettings(
        plan=plan,
        bytes=budget.bytes,
        seconds=hours * _SECONDS_PER_HOUR,
        groups=budget.host_groups,
        part_seconds=float(settings.run.part_seconds),
        keep_digests=audit.keep_digests,
        floor=budget.success_floor,
    )

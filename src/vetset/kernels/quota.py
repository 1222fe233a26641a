"""How long a body takes to judge so many fingerprints, by what it allows each second and each month.

In it: the plan over several platforms, its words, the month of a moment. Not in it: clocks, counting files and waiting
(`wrappers`), and which fingerprints there are.
Rules: requests go as early as both limits let them, the first at once; a month is a calendar month in UTC, and months
after the one that has begun are counted with their mean length. Arithmetic is exact (fractions), for a request more
or less can mean a month more or less. Every platform is asked about every kind that it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction

from vetset.records import Abilities

#: A twelfth of the mean Gregorian year of 365.2425 days.
MONTH_SECONDS = 2_629_746.0
_SHOWN_MONTHS = 0.1
_DAY_SECONDS, _HOUR_SECONDS, _MINUTE_SECONDS = 86_400, 3_600, 60


class Binding(StrEnum):
    """Which limit decides how long it takes."""

    NOTHING = "nothing"  # as quickly as the service answers
    RATE = "rate"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Need:
    """What one platform is asked, and how long that takes from the first request to the last.

    `months_of_quota`: how many of its monthly quotas the requests use up; 0 where it has none.
    """

    platform: str
    party: str
    fingerprints: int
    requests: int
    seconds: float
    binding: Binding
    months_of_quota: float
    learns: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All platforms; `untaken` counts the fingerprints of kinds that none of them takes."""

    needs: tuple[Need, ...]
    untaken: Mapping[str, int]

    @property
    def seconds_side_by_side(self) -> float:
        """Until the slowest is through, where all are asked at once."""
        return max((need.seconds for need in self.needs), default=0.0)

    @property
    def seconds_in_turn(self) -> float:
        """Until the last is through, where one is asked after the other."""
        return sum(need.seconds for need in self.needs)


def planned(
    counts: Mapping[str, int],
    platforms: Iterable[Abilities],
    *,
    used_this_month: Mapping[str, int] | None = None,
    seconds_left_of_month: float = MONTH_SECONDS,
) -> Plan:
    """What each platform is asked and how long it takes.

    `counts`: unique fingerprints by kind. `used_this_month`: requests already counted, by the platform's name.
    """
    used, asked = used_this_month or {}, list(platforms)
    needs = [_need(counts, body, used.get(body.name, 0), Fraction(seconds_left_of_month)) for body in asked]
    taken = {kind for body in asked for kind in body.kinds}
    return Plan(tuple(needs), {kind: count for kind, count in counts.items() if kind not in taken and count})


def _need(counts: Mapping[str, int], body: Abilities, used: int, left: Fraction) -> Need:
    fingerprints = [counts.get(kind, 0) for kind in dict.fromkeys(body.kinds)]
    requests = sum(-(-count // body.batch) for count in fingerprints)  # a request holds fingerprints of one kind
    gap = 1 / Fraction(body.requests_per_second) if body.requests_per_second else Fraction(0)
    by_rate = (requests - 1) * gap if requests else Fraction(0)
    seconds = _seconds(requests, gap, body.requests_per_month, used, left)
    binding = Binding.MONTH if seconds > by_rate else Binding.RATE if by_rate else Binding.NOTHING
    months = requests / body.requests_per_month if body.requests_per_month else 0.0
    return Need(body.name, body.party, sum(fingerprints), requests, float(seconds), binding, months, body.learns)


def _seconds(requests: int, gap: Fraction, quota: int, used: int, left: Fraction) -> Fraction:
    """From the first request to the last: `gap` between two of them, `quota` in a month (0: no end)."""
    first = requests if not quota else min(requests, max(0, quota - used))
    first = min(first, -(-left // gap)) if gap else first if left > 0 else 0
    if first == requests:
        return max(0, requests - 1) * gap
    rest, began = requests - first, max(left, first * gap)
    if not quota:
        return began + (rest - 1) * gap
    months, more = divmod(rest - 1, quota)
    # How long after the beginning of a month its first request goes: less each month that uses its quota up in time,
    # more each month that does not.
    late = max(Fraction(0), (began - left) - months * (Fraction(MONTH_SECONDS) - quota * gap))
    return left + months * Fraction(MONTH_SECONDS) + late + more * gap


def month_of(moment: datetime) -> str:
    """The calendar month in UTC, as `2026-11`."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def seconds_left_of_month(moment: datetime) -> float:
    """From a moment to the end of its calendar month in UTC."""
    now = moment.astimezone(UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)  # noqa: PLR2004 - December
    return (datetime(year, month, 1, tzinfo=UTC) - now).total_seconds()


def duration_words(seconds: float) -> str:
    """A duration for people: two units at most, rounded up in the smaller, never less than it is."""
    if seconds <= 0:
        return "no time"
    for unit_seconds, unit, part_seconds, part in (
        (_DAY_SECONDS, "day", _HOUR_SECONDS, "hour"),
        (_HOUR_SECONDS, "hour", _MINUTE_SECONDS, "minute"),
        (_MINUTE_SECONDS, "minute", 1, "second"),
    ):
        parts = -(-Fraction(seconds) // part_seconds)
        if parts * part_seconds >= unit_seconds:
            units, over = divmod(int(parts) * part_seconds, unit_seconds)
            return " ".join([_counted(units, unit), *([_counted(over // part_seconds, part)] if over else [])])
    return _counted(int(-(-Fraction(seconds) // 1)), "second")


def plan_lines(plan: Plan) -> Sequence[str]:
    """The plan in sentences: counts, requests, what binds, how long, and what each body learns."""
    lines = [line for need in plan.needs for line in _need_lines(need)]
    lines += [f"{count:,} {kind} go to nobody: no platform takes them" for kind, count in plan.untaken.items()]
    return lines


_REASONS: Mapping[Binding, str] = {
    Binding.NOTHING: "as quickly as it answers",
    Binding.RATE: "bound by its requests a second",
    Binding.MONTH: "bound by its quota a month",
}


def _need_lines(need: Need) -> list[str]:
    time = f"{duration_words(need.seconds)}, " if need.seconds else ""
    months = f"{need.months_of_quota:.1f} months" if need.months_of_quota >= _SHOWN_MONTHS else "a part of a month"
    quota = f", {months} of its quota" if need.months_of_quota else ""
    asked = f"{_counted(need.fingerprints, 'fingerprint')} in {_counted(need.requests, 'request')}{quota}"
    return [f"{need.platform} ({need.party}): {asked}: {time}{_REASONS[need.binding]}", f"  it learns: {need.learns}"]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")

"""The settings: one TOML file read once into one frozen tree, with the same names as the command line's options.

In it: the tables with their defaults, their reading and their checks, and the named policies.
Not in it: secrets (they are named, and opened in `wiring`), and anything that is read a second time.
Rules: an unknown table or key is an error that names the known ones; a message never shows a value of a word list.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from vetset.errors import Stop

Table = TypeVar("Table")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`[audit]`: what decides the results of a run."""

    spread_limit: int = 1000  # a value borne by more rows than this does not spread
    remove_held: bool = False
    expand: bool = True
    allow_nothing_comparable: bool = False
    reach: str = "columns"  # columns; local: pictures that the dataset holds too; fetch: what its addresses lead to
    keep_digests: bool = False  # with fetch: digests of every picture are kept, sealed, so that a new list costs less


@dataclass(frozen=True, slots=True)
class AgreementSettings:
    """`[agreement]`: by what right `--reach fetch` fetches, and who answers for it. Without both nothing is fetched."""

    legal_basis: str = ""  # the agreement, order or provision, in your own words; stands in run.toml and the summary
    contact: str = ""  # an address at which you can be reached; sent with every request


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`[budget]`: how much `--reach fetch` may ask, and how that is spread. 0 is no limit."""

    urls: int = 0  # addresses
    bytes: int = 0  # received, summed over workers; what is on its way then still comes
    hours: float = 0.0  # of asking, summed over workers
    random_share: float = 0.1  # of what is asked: drawn from every stratum, so that the whole can be estimated
    seed: int = 1  # of that draw
    rounds: int = 3  # after each, what was found decides what is asked next
    host_groups: int = 8  # each is asked by one worker; more workers than this do not hurry a fetch
    success_floor: float = 0.2  # a run or host with a smaller share of pictures among its answers is warned of


@dataclass(frozen=True, slots=True)
class PictureSettings:
    """`[pictures]`: how pictures came to be stored as they are, where the dataset does not say. Only with `local`."""

    resize_mode: str = "auto"  # img2dataset's: border, keep_ratio, keep_ratio_largest, center_crop, fixed, no
    intact: bool = False  # stored as fetched (img2dataset's disable_all_reencoding): recorded digests must be theirs


@dataclass(frozen=True, slots=True)
class FingerprintSettings:
    """`[fingerprint]`: how pictures become fingerprints. Only with `--reach local`."""

    variant: str = "rgb"  # rgb: exact, as PDQ's reference; luma: quicker, up to 4 bits off, never cleaned by
    kinds: tuple[str, ...] = ()  # optional kinds as module:Class, from a library that you hold a licence for
    max_pixels: int = 64_000_000  # a larger picture is too_large; more needs more [sandbox] memory_bytes
    max_bytes: int = 256 * 1024 * 1024  # so is a larger file


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """`[match]`: when a fingerprint meets a list's. Only with `--reach local`."""

    radius_bits: int = 31  # PDQ within so many of its 256 bits is a near hit
    quality_floor: int = 50  # below it a picture is too plain to be compared by PDQ


@dataclass(frozen=True, slots=True)
class ListSettings:
    """`[lists.NAME]`: what holds for one list, by its own name."""

    radius_bits: int = 31  # in place of [match]


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`[sandbox]`: the children in which pictures are decoded. Only with `--reach local`."""

    required: bool = False  # refuse to decode where the system cannot confine them (no seccomp)
    timeout_seconds: int = 30  # for one picture; then its child is killed
    memory_bytes: int = 1024 * 1024 * 1024  # beyond what a child needs before its first picture


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """`[fetch]`: how links are fetched, and how politely. Only with `--reach fetch`."""

    contact: str = ""  # an e-mail address or an https page where hosts can reach you; empty: that of [agreement]
    user_agent: str = "vetset"  # the name under which hosts know us, and for which robots.txt is read
    connections: int = 64  # at once, to all hosts together
    connections_per_host: int = 2
    milliseconds_between_requests: int = 500  # between the starts of two requests to one host; 0: no limit
    robots: bool = True  # robots.txt is asked for and obeyed
    opt_outs: bool = True  # X-Robots-Tag (noai, noindex and others) and TDM-Reservation are obeyed
    retries: int = 2  # further attempts where the trouble may pass: 429, 503, a connection that broke
    timeout_seconds: int = 30  # for one attempt with all its redirects, waiting for its turn not counted
    max_bytes: int = 32 * 1024 * 1024  # a larger body is too_large
    max_header_bytes: int = 64 * 1024
    min_bytes_per_second: int = 500  # over five seconds; less is too_slow; 0: no limit
    max_redirects: int = 5
    ports: tuple[int, ...] = (80, 443)  # others are blocked_address
    certificates_file: str = ""  # PEM of authorities that are trusted; empty: this system's


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`[run]`: how a run is carried; nothing here changes a result."""

    workers: int = 0  # 0: as many as the machine has cores
    runner: str = "local"
    batch_rows: int = 32768
    max_record_bytes: int = 64 * 1024 * 1024  # one line of CSV or JSON
    max_row_group_bytes: int = 4 * 1024 * 1024 * 1024
    max_footer_bytes: int = 256 * 1024 * 1024
    part_seconds: int = 5  # what was fetched is committed so often; 0: at once


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[policy.rules]]`: a row meets it when it meets every condition that is set."""

    punsafe_above: float | None = None
    nsfw: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    words_file: str = ""
    words: tuple[str, ...] = field(default=(), repr=False)  # read from words_file, never written anywhere

    def conditions(self) -> bool:
        return self.punsafe_above is not None or bool(self.nsfw or self.hosts or self.words_file)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """`[policy]`: a row that meets any rule is `policy`. `name` picks one of the named policies instead of rules."""

    name: str = ""
    words_file: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole tree. `columns` maps our column names to a dataset's, where its own spelling is not enough."""

    audit: AuditSettings = field(default_factory=AuditSettings)
    run: RunSettings = field(default_factory=RunSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    columns: Mapping[str, str] = field(default_factory=dict)
    pictures: PictureSettings = field(default_factory=PictureSettings)
    fingerprint: FingerprintSettings = field(default_factory=FingerprintSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    lists: Mapping[str, ListSettings] = field(default_factory=dict)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    agreement: AgreementSettings = field(default_factory=AgreementSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)


#: LAION's two releases of 2024 as policies (reference: "Releasing Re-LAION-5B"). The words are the user's own.
RESEARCH = (Rule(punsafe_above=0.95, words_file="?"),)
RESEARCH_SAFE = (*RESEARCH, Rule(punsafe_above=0.45))
NAMED_POLICIES: Mapping[str, tuple[Rule, ...]] = {"research": RESEARCH, "research-safe": RESEARCH_SAFE}


def read_settings(path: Path | None) -> Settings:
    """The settings of a file, or the defaults. Raises Stop for what cannot be read or is not known."""
    if path is None:
        return Settings()
    settings = settings_from(_toml(path))
    return replace(settings, policy=_with_paths_from(settings.policy, path.parent))


def with_budgets(budget: BudgetSettings, words: Iterable[str]) -> BudgetSettings:
    """The budget with what `--budget` says above it: `5000` addresses, `20GB`, `12h`. Raises Stop for anything else."""
    for text in words:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text.strip())
        number, unit = (float(match[1]), match[2].lower()) if match else (0.0, "?")
        if unit == "h" and 0 < number <= _SPANS["budget.hours"][1]:
            budget = replace(budget, hours=number)
        elif unit in _BYTES_OF and number > 0:
            budget = replace(budget, bytes=max(1, int(number * _BYTES_OF[unit])))
        elif unit in {"", "urls"} and number.is_integer() and number > 0:
            budget = replace(budget, urls=int(number))
        else:
            raise Stop(
                f"--budget {text}: no number of addresses, bytes or hours",
                hint="as in --budget 5000, --budget 20GB, --budget 12h",
            )
    return budget


_BYTES_OF = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def read_policy(name_or_file: str) -> PolicySettings:
    """The value of `--policy`: a named policy, or a TOML file with a `[policy]` table."""
    if name_or_file in NAMED_POLICIES:
        return PolicySettings(name=name_or_file)
    path = Path(name_or_file)
    if not path.is_file():
        raise Stop(
            f"--policy {name_or_file}: neither a named policy nor a file",
            hint=f"named policies: {', '.join(NAMED_POLICIES)}; a file holds a [policy] table",
        )
    return read_settings(path).policy


def resolved_rules(policy: PolicySettings) -> tuple[Rule, ...]:
    """The rules to apply, with their words read. Raises Stop when a policy lacks what it needs."""
    if policy.name and policy.name not in NAMED_POLICIES:
        raise Stop(f"unknown policy {policy.name!r}", hint=f"named policies: {', '.join(NAMED_POLICIES)}")
    if policy.name and policy.rules:
        raise Stop("[policy] has both a name and rules", hint="keep one of them")
    rules = NAMED_POLICIES[policy.name] if policy.name else policy.rules
    return tuple(_with_words(rule, policy) for rule in rules)


def _with_words(rule: Rule, policy: PolicySettings) -> Rule:
    if not rule.conditions():
        raise Stop("a [[policy.rules]] table sets no condition, so every row would meet it", hint="set one, or drop it")
    if any(_NO_HOST & set(host) or host.count(":") == 1 for host in rule.hosts):
        raise Stop(
            "hosts in [[policy.rules]] holds what is no host", hint="only names, as in example.org: no path or port"
        )
    if not rule.words_file:
        return rule
    name = policy.words_file if rule.words_file == "?" else rule.words_file
    if not name:
        raise Stop(
            f"policy {policy.name!r} needs a list of words, and vetset ships none",
            hint="name your own file, one word or phrase a line, as words_file in [policy] or with --policy-words",
        )
    return replace(rule, words=_words(Path(name)), words_file=name)


def _words(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(
            f"cannot read the words in {path}: {_plain(error)}", hint="one word or phrase a line, UTF-8"
        ) from None
    lines = {line.strip() for line in text.splitlines()}
    words = tuple(sorted(line for line in lines if line and not line.startswith("#")))
    if not words:
        raise Stop(f"{path} holds no words", hint="one word or phrase a line; lines starting with # are comments")
    return words


def _with_paths_from(policy: PolicySettings, folder: Path) -> PolicySettings:
    """Paths in a settings file count from where that file lies."""

    def placed(name: str) -> str:
        return str(folder / name) if name and name != "?" else name

    rules = tuple(replace(rule, words_file=placed(rule.words_file)) for rule in policy.rules)
    return replace(policy, words_file=placed(policy.words_file), rules=rules)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(
            f"cannot read the settings in {path}: {_plain(error)}", hint="--settings names a TOML file"
        ) from None
    except (ValueError, RecursionError) as error:  # beside its own error, tomllib lets through int()'s and the stack's
        raise Stop(f"{path} is not TOML: {error}", hint="see docs/reference/settings.md") from None


def _plain(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__


def settings_from(data: Mapping[str, Any]) -> Settings:
    """The tree of settings from parsed TOML. Raises Stop for what is not known."""
    return _built(Settings, data, where="")


def _built(table: type[Table], data: Mapping[str, Any], *, where: str) -> Table:
    hints = get_type_hints(table)
    known = {item.name for item in fields(table) if item.name != "words"}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        place = f"[{where}] " if where else ""
        raise Stop(f"unknown setting {place}{unknown[0]}", hint=f"known here: {', '.join(sorted(known))}")
    return table(**{name: _value(hints[name], value, f"{where}.{name}".strip(".")) for name, value in data.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _built(kind, _checked(value, dict, where), where=where)  # type: ignore[arg-type]
    if kind in _LISTS:
        return tuple(_value(_LISTS[kind], item, where) for item in _checked(value, list, where))
    if kind == Mapping[str, ListSettings]:
        tables = _checked(value, dict, where)
        return {name: _value(ListSettings, table, f"{where}.{name}") for name, table in tables.items()}
    if kind == Mapping[str, str]:
        return {name: _checked(item, str, f"{where}.{name}") for name, item in _checked(value, dict, where).items()}
    return _score(value, where) if kind in (float | None, float) else _plain_value(kind, value, where)


def _score(value: Any, where: str) -> float:
    limit = sys.float_info.max
    if not -limit <= _checked(value, (int, float), where) <= limit:  # NaN too: no row would ever lie above it
        raise Stop(f"setting {where} should be a finite number", hint="see docs/reference/settings.md")
    least, most = _SPANS.get(where, (-limit, limit))
    if not least <= value <= most:
        raise Stop(f"setting {where} should be from {least:g} to {most:g}", hint="see docs/reference/settings.md")
    return float(value)


def _plain_value(kind: Any, value: Any, where: str) -> Any:
    _checked(value, kind, where)
    least, most = _RANGES.get(where.rpartition(".")[2] if where.startswith("lists.") else where, (1, None))
    if kind is int and (value < least or (most is not None and value > most)):
        words = f"at least {least}" if most is None else f"from {least} to {most}"
        raise Stop(f"setting {where} should be {words}", hint="see docs/reference/settings.md")
    if where in _CHOICES and value not in _CHOICES[where]:
        raise Stop(
            f"setting {where} should be one of {', '.join(_CHOICES[where])}", hint="see docs/reference/settings.md"
        )
    return value


def _checked(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = getattr(kind, "__name__", "number")
        raise Stop(f"setting {where} should be {_WORDS.get(wanted, wanted)}", hint="see docs/reference/settings.md")
    return value


_LISTS: Mapping[Any, Any] = {tuple[Rule, ...]: Rule, tuple[str, ...]: str, tuple[int, ...]: int}
_NO_HOST = frozenset("/?#@\\ ")
#: What whole numbers may be, where that is not from 1 on. Beyond 64 bits two unlike pictures are near by chance.
_MOST_RADIUS_BITS = 64
_RANGES: Mapping[str, tuple[int, int | None]] = {
    "audit.spread_limit": (0, None),
    "run.workers": (0, None),
    "radius_bits": (0, _MOST_RADIUS_BITS),
    "match.radius_bits": (0, _MOST_RADIUS_BITS),
    "match.quality_floor": (0, 100),
    "fetch.connections": (1, 4096),
    "fetch.connections_per_host": (1, 64),
    "fetch.milliseconds_between_requests": (0, 3_600_000),
    "fetch.retries": (0, 10),
    "fetch.timeout_seconds": (1, 3600),
    "fetch.max_header_bytes": (1024, 1024 * 1024),
    "fetch.min_bytes_per_second": (0, None),
    "fetch.max_redirects": (0, 20),
    "fetch.ports": (1, 65_535),
    "run.part_seconds": (0, None),
    "budget.urls": (0, None),
    "budget.bytes": (0, None),
    "budget.seed": (0, None),
    "budget.host_groups": (1, 999),
}
#: What other numbers may be. A month of asking is more than any run should need.
_SPANS: Mapping[str, tuple[float, float]] = {
    "budget.hours": (0.0, 10_000.0),
    "budget.random_share": (0.0, 1.0),
    "budget.success_floor": (0.0, 1.0),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "audit.reach": ("columns", "local", "fetch"),
    "pictures.resize_mode": ("auto", "no", "border", "keep_ratio", "keep_ratio_largest", "center_crop", "fixed"),
    "fingerprint.variant": ("rgb", "luma"),
}
_WORDS = {"int": "a whole number", "str": "text", "bool": "true or false", "dict": "a table", "list": "a list"}

"""The settings: one TOML file read once into one frozen tree, with the same names as the command line's options.

In it: reading and its checks. Not in it: the tables (`tables`), policies (`policy`), secrets (they are named, and
opened in `wiring`), and anything that is read a second time.
Rules: an unknown table or key is an error that names the known ones.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from vetset.config.tables import BudgetSettings, PolicySettings, Rule, Settings
from vetset.errors import Stop

Table = TypeVar("Table")


def read_settings(path: Path | None) -> Settings:
    """The settings of a file, or the defaults. Raises Stop for what cannot be read or is not known."""
    if path is None:
        return Settings()
    settings = settings_from(_toml(path))
    return replace(
        settings,
        policy=_with_paths_from(settings.policy, path.parent),
        exchanges={name: _placed_in(path.parent, table) for name, table in settings.exchanges.items()},
        platforms={name: _placed_in(path.parent, table) for name, table in settings.platforms.items()},
        authorities={name: _placed_in(path.parent, table) for name, table in settings.authorities.items()},
    )


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


def _with_paths_from(policy: PolicySettings, folder: Path) -> PolicySettings:
    """Paths in a settings file count from where that file lies."""

    def placed(name: str) -> str:
        return str(folder / name) if name and name != "?" else name

    rules = tuple(replace(rule, words_file=placed(rule.words_file)) for rule in policy.rules)
    return replace(policy, words_file=placed(policy.words_file), rules=rules)


def _placed_in(folder: Path, table: Table) -> Table:
    """The table with its paths counted from the folder."""
    paths = {item.name: getattr(table, item.name) for item in fields(table) if item.name in _PATHS}  # type: ignore[arg-type]
    return replace(table, **{name: str(folder / text) for name, text in paths.items() if text})  # type: ignore[type-var]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(
            f"cannot read the settings in {path}: {plain_reason(error)}", hint="--settings names a TOML file"
        ) from None
    except (ValueError, RecursionError) as error:  # beside its own error, tomllib lets through int()'s and the stack's
        raise Stop(f"{path} is not TOML: {error}", hint="see docs/reference/settings.md") from None


def plain_reason(error: Exception) -> str:
    """Why a file could not be read, without anything of its contents."""
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
    if get_origin(kind) is get_origin(Mapping[str, str]):
        _, inner = get_args(kind)
        return {name: _value(inner, item, f"{where}.{name}") for name, item in _checked(value, dict, where).items()}
    return _score(value, where) if kind in (float | None, float) else _plain_value(kind, value, where)


def _score(value: Any, where: str) -> float:
    limit = sys.float_info.max
    if not -limit <= _checked(value, (int, float), where) <= limit:  # NaN too: no row would ever lie above it
        raise Stop(f"setting {where} should be a finite number", hint="see docs/reference/settings.md")
    least, most = _SPANS.get(_unnamed(where), (-limit, limit))
    if not least <= value <= most:
        raise Stop(f"setting {where} should be from {least:g} to {most:g}", hint="see docs/reference/settings.md")
    return float(value)


def _plain_value(kind: Any, value: Any, where: str) -> Any:
    _checked(value, kind, where)
    least, most = _RANGES.get(_unnamed(where), (1, None))
    if kind is int and (value < least or (most is not None and value > most)):
        words = f"at least {least}" if most is None else f"from {least} to {most}"
        raise Stop(f"setting {where} should be {words}", hint="see docs/reference/settings.md")
    choices = _CHOICES.get(_unnamed(where))
    if choices and value not in choices:
        raise Stop(f"setting {where} should be one of {', '.join(choices)}", hint="see docs/reference/settings.md")
    return value


def _unnamed(where: str) -> str:
    """The setting's place with the name of its table left out: `lists.radius_bits` of every list."""
    head, _, rest = where.partition(".")
    return f"{head}.{rest.rpartition('.')[2]}" if head in _NAMED_TABLES else where


def _checked(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = getattr(kind, "__name__", "number")
        raise Stop(f"setting {where} should be {_WORDS.get(wanted, wanted)}", hint="see docs/reference/settings.md")
    return value


_PATHS = ("folder", "file", "credentials_file", "certificates_file")
_NAMED_TABLES = ("lists", "exchanges", "platforms", "authorities")
_LISTS: Mapping[Any, Any] = {tuple[Rule, ...]: Rule, tuple[str, ...]: str, tuple[int, ...]: int}
#: What whole numbers may be, where that is not from 1 on. Beyond 64 bits two unlike pictures are near by chance.
_MOST_RADIUS_BITS = 64
_RANGES: Mapping[str, tuple[int, int | None]] = {
    "audit.spread_limit": (0, None),
    "run.workers": (0, None),
    "lists.radius_bits": (0, _MOST_RADIUS_BITS),
    "platforms.batch": (0, 1000),
    "platforms.requests_per_month": (0, None),
    "platforms.timeout_seconds": (1, 3600),
    "platforms.attempts": (1, 20),
    "exchanges.valid_days": (0, 36_500),
    "exchanges.window_days": (1, 36_500),
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
    "verify.parties": (1, 9),
    "report.preserve_days": (1, 36_500),
}
#: What other numbers may be. A month of asking is more than any run should need.
_SPANS: Mapping[str, tuple[float, float]] = {
    "budget.hours": (0.0, 10_000.0),
    "budget.random_share": (0.0, 1.0),
    "budget.success_floor": (0.0, 1.0),
    "platforms.requests_per_second": (0.0, 1000.0),
    "exchanges.most_withdrawn": (0.0, 1.0),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "audit.reach": ("columns", "local", "fetch"),
    "authorities.kind": ("cybertip",),
    "exchanges.kind": ("ncmec", "csv", "json", "text", "hma"),
    "exchanges.authorization": ("basic", "bearer", "header", "none"),
    "pictures.resize_mode": ("auto", "no", "border", "keep_ratio", "keep_ratio_largest", "center_crop", "fixed"),
    "fingerprint.variant": ("rgb", "luma"),
    "platforms.kind": ("shield", "photodna", "hma"),
}
_WORDS = {"int": "a whole number", "str": "text", "bool": "true or false", "dict": "a table", "list": "a list"}

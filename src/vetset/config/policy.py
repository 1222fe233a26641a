"""Policies: the named ones, and the rules that a policy comes to, with their words read.

In it: what `--policy` may say. Not in it: whether a row meets a rule (`kernels`).
Rules: a message never shows a value of a word list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vetset.config.reading import plain_reason, read_settings
from vetset.config.tables import PolicySettings, Rule
from vetset.errors import Stop

#: LAION's two releases of 2024 as policies (reference: "Releasing Re-LAION-5B"). The words are the user's own.
RESEARCH = (Rule(punsafe_above=0.95, words_file="?"),)
RESEARCH_SAFE = (*RESEARCH, Rule(punsafe_above=0.45))
NAMED_POLICIES: Mapping[str, tuple[Rule, ...]] = {"research": RESEARCH, "research-safe": RESEARCH_SAFE}
_NO_HOST = frozenset("/?#@\\ ")


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
            f"cannot read the words in {path}: {plain_reason(error)}", hint="one word or phrase a line, UTF-8"
        ) from None
    lines = {line.strip() for line in text.splitlines()}
    words = tuple(sorted(line for line in lines if line and not line.startswith("#")))
    if not words:
        raise Stop(f"{path} holds no words", hint="one word or phrase a line; lines starting with # are comments")
    return words

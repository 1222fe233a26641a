"""The settings: what a file may say, what is refused and how, and the named policies with a user's own words."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import CANARY
from vetset.config import (
    NAMED_POLICIES,
    AuditSettings,
    PolicySettings,
    Rule,
    RunSettings,
    Settings,
    read_policy,
    read_settings,
    resolved_rules,
    settings_from,
)
from vetset.errors import Stop

SECRET = CANARY.decode()


def written(folder: Path, text: str | bytes, name: str = "vetset.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def refused(data: dict[str, Any]) -> Stop:
    with pytest.raises(Stop) as stop:
        settings_from(data)
    assert stop.value.hint
    return stop.value


# --- reading ------------------------------------------------------------------------------------------------------


def test_no_file_means_the_defaults() -> None:
    settings = read_settings(None)
    assert settings == Settings()
    assert settings.audit.spread_limit == 1000
    assert (settings.audit.remove_held, settings.audit.expand) == (False, True)
    assert not settings.audit.allow_nothing_comparable


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    text = """
        [audit]
        spread_limit = 0
        remove_held = true
        [run]
        workers = 3
        runner = "serial"
        [columns]
        url = "image_link"
        [[policy.rules]]
        punsafe_above = 1
        nsfw = ["NSFW", "UNSURE"]
        hosts = ["example.org"]
        """
    settings = read_settings(written(tmp_path, text))
    assert settings.audit == AuditSettings(spread_limit=0, remove_held=True)
    assert settings.run == RunSettings(workers=3, runner="serial")
    assert settings.columns == {"url": "image_link"}
    assert settings.policy.rules == (Rule(punsafe_above=1.0, nsfw=("NSFW", "UNSURE"), hosts=("example.org",)),)
    assert isinstance(settings.policy.rules[0].punsafe_above, float)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert read_settings(written(tmp_path, "")) == Settings()


PLAIN_TABLES = st.fixed_dictionaries(
    {},
    optional={
        "audit": st.fixed_dictionaries(
            {}, optional={"spread_limit": st.integers(0, 10**12), "remove_held": st.booleans(), "expand": st.booleans()}
        ),
        "run": st.fixed_dictionaries(
            {}, optional={"workers": st.integers(0, 512), "batch_rows": st.integers(1, 10**9)}
        ),
    },
)


@given(PLAIN_TABLES)
def test_every_plain_setting_arrives_as_given(data: dict[str, dict[str, Any]]) -> None:
    settings = settings_from(data)
    for table, values in data.items():
        assert dataclasses.asdict(getattr(settings, table)) | values == dataclasses.asdict(getattr(settings, table))


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().audit = AuditSettings()  # type: ignore[misc]


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "named", "known"),
    [
        ({"audits": {}}, "audits", "audit"),
        ({"audit": {"spread": 1}}, "[audit] spread", "spread_limit"),
        ({"run": {"Workers": 1}}, "[run] Workers", "workers"),
        ({"policy": {"rule": []}}, "[policy] rule", "rules"),
        ({"policy": {"rules": [{"punsafe": 0.5}]}}, "[policy.rules] punsafe", "punsafe_above"),
        ({"policy": {"rules": [{"words": ["plum"]}]}}, "[policy.rules] words", "words_file"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_known_ones(data: dict[str, Any], named: str, known: str) -> None:
    stop = refused(data)
    assert f"unknown setting {named}" in stop.message
    assert known in stop.hint.removeprefix("known here: ").split(", ")


def test_the_known_ones_never_offer_words_in_the_settings() -> None:
    assert "words" not in refused({"policy": {"rules": [{"x": 1}]}}).hint.removeprefix("known here: ").split(", ")


@pytest.mark.parametrize(
    ("data", "where", "wanted"),
    [
        ({"audit": 1}, "audit", "a table"),
        ({"audit": []}, "audit", "a table"),
        ({"audit": {"spread_limit": "many"}}, "audit.spread_limit", "a whole number"),
        ({"audit": {"spread_limit": 1.0}}, "audit.spread_limit", "a whole number"),
        ({"audit": {"spread_limit": True}}, "audit.spread_limit", "a whole number"),
        ({"audit": {"remove_held": 1}}, "audit.remove_held", "true or false"),
        ({"audit": {"remove_held": "true"}}, "audit.remove_held", "true or false"),
        ({"run": {"runner": 1}}, "run.runner", "text"),
        ({"policy": {"rules": {}}}, "policy.rules", "a list"),
        ({"policy": {"rules": ["x"]}}, "policy.rules", "a table"),
        ({"policy": {"rules": [{"nsfw": "NSFW"}]}}, "policy.rules.nsfw", "a list"),
        ({"policy": {"rules": [{"hosts": [1]}]}}, "policy.rules.hosts", "text"),
        ({"policy": {"rules": [{"punsafe_above": "0.5"}]}}, "policy.rules.punsafe_above", "number"),
        ({"policy": {"rules": [{"punsafe_above": True}]}}, "policy.rules.punsafe_above", "number"),
        ({"policy": {"rules": [{"punsafe_above": float("nan")}]}}, "policy.rules.punsafe_above", "a finite number"),
        ({"policy": {"rules": [{"punsafe_above": float("inf")}]}}, "policy.rules.punsafe_above", "a finite number"),
        ({"policy": {"rules": [{"punsafe_above": 10**400}]}}, "policy.rules.punsafe_above", "a finite number"),
        ({"columns": {"url": 1}}, "columns.url", "text"),
        ({"columns": []}, "columns", "a table"),
        ({"audit": {"spread_limit": -1}}, "audit.spread_limit", "at least 0"),
        ({"run": {"workers": -1}}, "run.workers", "at least 0"),
        ({"run": {"batch_rows": 0}}, "run.batch_rows", "at least 1"),
        ({"run": {"max_record_bytes": 0}}, "run.max_record_bytes", "at least 1"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(data: dict[str, Any], where: str, wanted: str) -> None:
    stop = refused(data)
    assert stop.message == f"setting {where} should be {wanted}"


@pytest.mark.parametrize(
    "text",
    [
        "[audit",
        "audit = ",
        "[audit]\nspread_limit = 1\nspread_limit = 2\n",
        "x = 2020-13-45",
        "\ufeff[audit]",
        "a = " + "1" * 5000,
        "a = " + "[" * 5000,
        "a = '\x01'",
    ],
)
def test_what_is_not_toml_stops_with_the_files_name(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Stop) as stop:
        read_settings(path)
    assert str(path) in stop.value.message
    assert stop.value.hint


@pytest.mark.parametrize("make", ["missing", "folder", "not text"])
def test_a_file_that_cannot_be_read_stops(tmp_path: Path, make: str) -> None:
    path = tmp_path / "vetset.toml"
    if make == "folder":
        path.mkdir()
    elif make == "not text":
        path.write_bytes(b"[audit]\n# \xff" + CANARY)
    with pytest.raises(Stop) as stop:
        read_settings(path)
    assert str(path) in stop.value.message
    assert SECRET not in stop.value.message + stop.value.hint
    assert stop.value.__suppress_context__


JSONLIKE = st.recursive(
    st.one_of(st.booleans(), st.integers(-2, 2), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=6,
)
NAMES = [
    "audit",
    "run",
    "policy",
    "columns",
    "rules",
    "spread_limit",
    "name",
    "words_file",
    "hosts",
    "nsfw",
    "url",
    "x",
]


@given(
    st.dictionaries(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(NAMES), JSONLIKE, max_size=2), max_size=3)
)
def test_nonsense_is_settings_or_a_stop_and_nothing_else(data: dict[str, Any]) -> None:
    answer = settings_or_stop(data)
    if isinstance(answer, Settings):
        assert set(data) <= {field.name for field in dataclasses.fields(answer)}
    else:
        assert answer.message
        assert answer.hint


def settings_or_stop(data: dict[str, Any]) -> Settings | Stop:
    try:
        return settings_from(data)
    except Stop as stop:
        return stop


# --- policies -----------------------------------------------------------------------------------------------------


def test_the_research_policy_is_score_and_words() -> None:
    assert NAMED_POLICIES["research"] == (Rule(punsafe_above=0.95, words_file="?"),)


def test_the_research_safe_policy_adds_a_lower_score_alone() -> None:
    assert NAMED_POLICIES["research-safe"] == (*NAMED_POLICIES["research"], Rule(punsafe_above=0.45))


@pytest.mark.parametrize("name", NAMED_POLICIES)
def test_a_named_policy_takes_the_users_own_words(tmp_path: Path, name: str) -> None:
    words = written(tmp_path, "plum\nred plum\n", "words.txt")
    rules = resolved_rules(PolicySettings(name=name, words_file=str(words)))
    assert rules[0].words == ("plum", "red plum")
    assert rules[0].words_file == str(words)
    assert [rule.punsafe_above for rule in rules] == [rule.punsafe_above for rule in NAMED_POLICIES[name]]
    assert not any(rule.words for rule in rules[1:])


@pytest.mark.parametrize("name", NAMED_POLICIES)
def test_a_named_policy_without_words_stops_and_says_that_none_are_shipped(name: str) -> None:
    with pytest.raises(Stop, match="vetset ships none") as stop:
        resolved_rules(PolicySettings(name=name))
    assert "--policy-words" in stop.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "plum\nred plum\npear\n",
        "plum\r\nred plum\r\npear",
        "\ufeffplum\nred plum\npear\n",
        "# comment\n\n  plum  \n\tred plum\npear\nplum\n  # another\n",
    ],
)
def test_words_are_lines_without_blanks_comments_and_marks(tmp_path: Path, text: str) -> None:
    words = written(tmp_path, text, "words.txt")
    (rule,) = resolved_rules(PolicySettings(rules=(Rule(words_file=str(words)),)))
    assert rule.words == ("pear", "plum", "red plum")


@given(st.permutations(["plum", "pear", "plum", "fig"]))
def test_the_order_of_words_in_the_file_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    path = written(tmp_path_factory.mktemp("words"), "\n".join(words), "words.txt")
    (rule,) = resolved_rules(PolicySettings(rules=(Rule(words_file=str(path)),)))
    assert rule.words == ("fig", "pear", "plum")


@pytest.mark.parametrize("text", [b"", b"\n \n", b"# only\n  # comments\n", b"\xff" + CANARY + b"\n"])
def test_a_words_file_without_words_stops_and_shows_none(tmp_path: Path, text: bytes) -> None:
    path = written(tmp_path, text, "words.txt")
    with pytest.raises(Stop) as stop:
        resolved_rules(PolicySettings(rules=(Rule(words_file=str(path)),)))
    assert str(path) in stop.value.message
    assert SECRET not in stop.value.message + stop.value.hint


def test_a_words_file_that_is_not_there_stops(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot read the words"):
        resolved_rules(PolicySettings(name="research", words_file=str(tmp_path / "nowhere.txt")))


def test_words_never_show_in_a_repr(tmp_path: Path) -> None:
    words = written(tmp_path, SECRET, "words.txt")
    rules = resolved_rules(PolicySettings(name="research", words_file=str(words)))
    assert rules[0].words == (SECRET,)
    assert SECRET not in repr(rules) + str(rules[0]) + repr(Settings(policy=PolicySettings(rules=rules)))


def test_a_rule_without_a_condition_is_refused_since_every_row_would_meet_it() -> None:
    with pytest.raises(Stop, match="every row would meet it"):
        resolved_rules(PolicySettings(rules=(Rule(punsafe_above=0.5), Rule())))


@pytest.mark.parametrize("conditions", list(itertools.product([None, 0.0, 0.5], [(), ("NSFW",)], [(), ("a.example",)])))
def test_a_condition_is_whatever_is_set_and_zero_is_set(
    conditions: tuple[float | None, tuple[str, ...], tuple[str, ...]],
) -> None:
    rule = Rule(*conditions)
    assert rule.conditions() == any(condition not in (None, ()) for condition in conditions)


def test_an_unknown_name_and_a_name_beside_rules_are_refused() -> None:
    with pytest.raises(Stop, match="unknown policy 'resarch'") as stop:
        resolved_rules(PolicySettings(name="resarch"))
    assert "research" in stop.value.hint
    with pytest.raises(Stop, match="both a name and rules"):
        resolved_rules(PolicySettings(name="research", rules=(Rule(punsafe_above=0.5),)))


@pytest.mark.parametrize(
    "host",
    ["example.org/path", "http://example.org", "user@example.org", "example.org:80", "a b", "a\\b", "a?b", "a#b"],
)
def test_what_is_no_host_is_refused_before_it_silently_covers_nothing(host: str) -> None:
    with pytest.raises(Stop, match="holds what is no host"):
        resolved_rules(PolicySettings(rules=(Rule(hosts=("example.org", host)),)))


@pytest.mark.parametrize(
    "host", ["example.org", "EXAMPLE.org.", "bücher.example", "2001:db8::1", "[2001:db8::1]", "192.0.2.1"]
)
def test_hosts_of_any_spelling_are_taken(host: str) -> None:
    assert resolved_rules(PolicySettings(rules=(Rule(hosts=(host,)),)))[0].hosts == (host,)


def test_no_policy_is_no_rules() -> None:
    assert resolved_rules(PolicySettings()) == ()


# --- --policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED_POLICIES)
def test_a_name_on_the_command_line_is_a_named_policy(name: str) -> None:
    assert read_policy(name) == PolicySettings(name=name)


def test_a_file_on_the_command_line_is_read_for_its_policy(tmp_path: Path) -> None:
    written(tmp_path, "plum\n", "words.txt")
    text = '[policy]\n[[policy.rules]]\npunsafe_above = 0.9\nwords_file = "words.txt"\n'
    policy = read_policy(str(written(tmp_path, text)))
    assert resolved_rules(policy)[0].words == ("plum",)


@pytest.mark.parametrize("name", ["reserch", "nowhere.toml", ""])
def test_neither_a_name_nor_a_file_stops_and_offers_the_names(name: str) -> None:
    with pytest.raises(Stop, match="neither a named policy nor a file") as stop:
        read_policy(name)
    assert "research-safe" in stop.value.hint


def test_paths_count_from_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "settings"
    folder.mkdir()
    written(folder, "plum\n", "own.txt")
    elsewhere = written(tmp_path, "pear\n", "else.txt")
    text = f'[policy]\nwords_file = "own.txt"\n[[policy.rules]]\nwords_file = "?"\n[[policy.rules]]\nwords_file = "{elsewhere}"\n'
    path = written(folder, text)
    monkeypatch.chdir(tmp_path)
    rules = resolved_rules(read_settings(path).policy)
    assert [rule.words for rule in rules] == [("plum",), ("pear",)]

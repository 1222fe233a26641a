"""The documents agree with the code and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests import write_reference
from tests.documents import (
    REFERENCE,
    ROOT,
    all_code,
    anchors,
    blocks,
    documents,
    first_cells,
    inline_code,
    links,
    name_of,
    prose,
    section,
    written_by_hand,
)
from vetset import config, errors, records
from vetset.errors import Stop
from vetset.hashlists.csvfile import read_map

PACKAGE = ROOT / "src" / "vetset"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PARTS = ["Context.", "Options.", "Outcome.", "What would reverse it."]

every_document = pytest.mark.parametrize("path", documents(), ids=name_of)
every_written = pytest.mark.parametrize("path", written_by_hand(), ids=name_of)


# --- the reference ------------------------------------------------------------------------------------------------


def test_the_reference_is_what_the_code_says() -> None:
    wanted = write_reference.pages()
    there = {path.name: path.read_text("utf-8") for path in REFERENCE.glob("*")}
    assert sorted(there) == sorted(wanted), "run `make docs`"
    stale = [name for name, text in wanted.items() if there[name] != text]
    assert not stale, f"run `make docs`: {stale} are not what the code says"


def test_every_command_has_its_page() -> None:
    pages = write_reference.pages()
    for name, command in write_reference.commands():
        assert f"# vetset {name.replace('-', ' ')}\n" in pages[f"{name}.md"]
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert not option.startswith("--") or option in pages[f"{name}.md"], f"{name} lacks {option}"


# --- links --------------------------------------------------------------------------------------------------------


@every_document
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path.read_text("utf-8")):
        assert not link.startswith(("http:", "https:")), f"{link}: documents point to nothing outside"
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{link}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in reached or not path.is_file():
            continue
        reached.add(path)
        targets = [(path.parent / link.partition("#")[0]).resolve() for link in links(path.read_text("utf-8"))]
        for target in targets:
            ahead += sorted(target.rglob("*.md")) if target.is_dir() else [target] * (target.suffix == ".md")
    by_hosts = {ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"}  # found by their names
    assert set(documents()) - by_hosts <= reached


# --- the architecture ---------------------------------------------------------------------------------------------


def test_the_architecture_names_every_module_and_no_other() -> None:
    named = inline_code((ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    folders = {f"{path.parent.name}/" for path in PACKAGE.rglob("*/__init__.py")}
    assert {
        code for code in named if re.fullmatch(r"(\w+/)?\w+\.py", code) and not code.startswith("tests/")
    } == modules
    assert {code for code in named if re.fullmatch(r"\w+/", code)} >= folders


def test_the_architecture_gives_each_module_one_line() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for path in PACKAGE.rglob("*/*.py"):
        if path.name != "__init__.py":
            name = path.relative_to(PACKAGE).as_posix()
            assert len(re.findall(rf"^\| `{re.escape(name)}` \| .+ \|$", text, re.MULTILINE)) == 1, name


def test_the_architecture_has_the_layers_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    wanted = [re.sub(r"\(\w+\) *[|:] *| *[|:] *\(\w+\)", "", layer) for layer in layers]
    text = section((ROOT / "ARCHITECTURE.md").read_text("utf-8"), "The layers")
    assert blocks(text)[0].text.splitlines() == wanted


def test_rules_name_tests_that_exist() -> None:
    named = set(re.findall(r"tests/[\w/]+\.\w+", "".join(path.read_text("utf-8") for path in written_by_hand())))
    assert len(named) > 5
    assert not {name for name in named if not (ROOT / name).is_file()}


# --- decisions ----------------------------------------------------------------------------------------------------


def test_decisions_are_numbered_one_after_the_other() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for path in DECISIONS:
        assert path.read_text("utf-8").startswith(f"# {int(path.name[:4])}. ")


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_four_parts_in_order(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if line in PARTS] == PARTS
    for part in PARTS:
        assert lines[lines.index(part) + 1].strip(), f"{part} is empty"


# --- what they list is what there is ------------------------------------------------------------------------------


def test_outcomes_are_explained_in_their_order() -> None:
    text = (ROOT / "docs" / "concepts" / "outcomes-and-books.md").read_text("utf-8")
    assert [code for cell in first_cells(text) for code in cell] == [outcome.value for outcome in records.ScreenOutcome]


def test_forms_are_explained() -> None:
    text = (ROOT / "docs" / "concepts" / "url-forms.md").read_text("utf-8")
    assert [code for cell in first_cells(text) for code in cell] == [form.value for form in records.UrlForm]


def test_signals_are_explained() -> None:
    text = section((ROOT / "docs" / "guides" / "make-a-list.md").read_text("utf-8"), "Which signal")
    cells = [line.split("|")[2] for line in text.splitlines() if line.startswith("|")]
    assert set(re.findall(r"`(\w+)`", "".join(cells))) == {signal.value for signal in records.Signal}


def test_exit_statuses_are_explained() -> None:
    text = (ROOT / "docs" / "guides" / "when-something-fails.md").read_text("utf-8")
    listed = re.findall(r"^\| (\d+) \|", section(text, "Exit status"), re.MULTILINE)
    assert [int(number) for number in listed] == [
        value for name, value in vars(errors.ExitStatus).items() if name.isupper()
    ]


def test_troubles_that_the_code_knows_are_explained() -> None:
    text = (ROOT / "docs" / "guides" / "when-something-fails.md").read_text("utf-8")
    listed = {code for cell in first_cells(section(text, "A shard failed")) for code in cell}
    source = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    raised = {trouble.value for trouble in errors.Trouble if f"Trouble.{trouble.name}" in source}
    assert raised <= listed <= {trouble.value for trouble in errors.Trouble}


@every_written
def test_settings_in_examples_are_understood(path: Path, tmp_path: Path) -> None:
    for block in blocks(path.read_text("utf-8")):
        if block.language == "toml":
            example = tmp_path / "example.toml"
            example.write_text(block.text, "utf-8")
            try:
                config.resolved_rules(config.read_settings(example).policy)
                assert set(config.read_settings(example).columns) <= set(records.Column)
            except (Stop, AssertionError):
                read_map(example)  # the other kind of file in TOML: which column of a list's source holds what


# --- make ---------------------------------------------------------------------------------------------------------


def test_make_knows_what_the_documents_tell_to_make() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    told = {
        (name_of(path), target)
        for path in written_by_hand()
        for code in all_code(path.read_text("utf-8"))
        for target in re.findall(r"^make ([\w-]+)", code, re.MULTILINE)
    }
    assert {("README.md", "demo"), ("README.md", "test")} <= told
    assert not {(name, target) for name, target in told if target not in targets}


def test_ci_runs_the_command_of_the_readme() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert re.search(r"^make test\b", section((ROOT / "README.md").read_text("utf-8"), "Two commands"), re.MULTILINE)


# --- words --------------------------------------------------------------------------------------------------------

VERDICTS = re.compile(
    r"(?<![-\w])safe(?:ly)?(?![-\w])|csam-free|harmless dataset"
    r"|\b(?:is|are|was|were|be|stays?|remains?|now|certified|proven) clean\b|\bclean (?:dataset|data set|copy|rows?|set)\b",
    re.IGNORECASE,
)
PLACES = re.compile(r"(?<![\w.~])/(?:home|root|tmp|work|mnt|Users|opt|srv)/")
REGISTRIES = re.compile(
    r"pypi|pythonhosted|npmjs|docker\.io|ghcr\.io|crates\.io|conda|index-url|https?://", re.IGNORECASE
)
MARKETING = re.compile(
    r"\b(?:blazing\w*|seamless\w*|effortless\w*|powerful|revolutionary|world-class|cutting-edge|state-of-the-art"
    r"|next-generation|best-in-class|game-chang\w+|lightning|leverages?|simply|just works)\b",
    re.IGNORECASE,
)


@every_document
def test_no_document_gives_a_verdict(path: Path) -> None:
    assert VERDICTS.findall(prose(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "The dataset is clean.",
        "Now it is safe to train on.",
        "You get a clean dataset.",
        "a CSAM-free set",
        "the rows are clean",
    ],
)
def test_a_verdict_would_be_noticed(text: str) -> None:
    assert VERDICTS.search(prose(text))


@pytest.mark.parametrize(
    "text",
    [
        "The cleaned dataset lies in DIR.",
        "You clean the copy.",
        'Do not say "clean".',
        "`research-safe`",
        "`safe`",
        "screen and clean read",
    ],
)
def test_the_verb_is_not_a_verdict(text: str) -> None:
    assert not VERDICTS.search(prose(text))


@every_document
def test_no_document_names_a_machine_or_a_registry(path: Path) -> None:
    text = path.read_text("utf-8")
    assert PLACES.findall(text) == []
    assert REGISTRIES.findall(text) == []


@every_written
def test_no_document_advertises(path: Path) -> None:
    assert MARKETING.findall(prose(path.read_text("utf-8"))) == []


@every_written
def test_a_document_has_one_title_and_ends_in_one_newline(path: Path) -> None:
    text = path.read_text("utf-8")
    headings = re.findall(
        r"^# .+$", "".join(re.split(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL)), re.MULTILINE
    )
    assert len(headings) == 1
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")

"""Writes docs/reference from the code: commands from click, settings from their dataclasses, outcomes from their enums.

`make docs` runs it; `tests/test_docs.py` fails when the pages are not what it would write.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import click

from vetset import cases, config, errors, records
from vetset.cli import vetset

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
HEAD = "<!-- Written by `make docs` from the code; edit there. -->\n"


def pages() -> dict[str, str]:
    """File name -> text, for every page of the reference."""
    written = {f"{name}.md": command_page(name, command) for name, command in commands()}
    written["index.md"] = stage_page("index")
    written.setdefault("report.md", stage_page("report"))
    written["settings.md"] = settings_page()
    written["outcomes.md"] = outcomes_page()
    written["cases.md"] = cases_page()
    written["README.md"] = contents_page(sorted(written))
    return written


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, command in vetset.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name}-{sub}", inner) for sub, inner in command.commands.items())
        else:
            yield name, command


def command_page(name: str, command: click.Command) -> str:
    command = copy.copy(command)  # it would keep the help option of this context for good
    context = click.Context(command, info_name=f"vetset {name.replace('-', ' ')}")
    text = re.sub(r"^  ", "", cleaned(command.help or ""), flags=re.MULTILINE)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"{HEAD}# vetset {name.replace('-', ' ')}\n", text, f"\n```\n{context.command_path} {usage}\n```\n"]
    rows = [option_row(parameter, context) for parameter in command.params]
    parts.append("\n| option | meaning |\n|---|---|\n" + "\n".join(row for row in rows if row) + "\n")
    stage = ROOT / "src" / "vetset" / "stages" / f"{name}.py"
    if stage.is_file():
        parts.append("\n" + stage_text(name))
    return "\n".join(parts)


def cleaned(text: str) -> str:
    """Help text as markdown: a block that click must not wrap becomes a code block."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            title, _, lines = paragraph[2:].partition("\n")
            paragraphs.append(f"{title}\n\n```\n{inspect.cleandoc(lines)}\n```" if lines else title)
        else:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs) + "\n"


def option_row(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Argument):
        return f"| `{parameter.make_metavar(context)}` | {'required' if parameter.required else 'optional'} |"
    record = parameter.get_help_record(context)
    if record is None:
        return ""
    names, meaning = record
    return f"| `{names}` | {meaning} |".replace("\n", " ")


def stage_page(name: str) -> str:
    return f"{HEAD}# {name}\n\n{stage_text(name)}"


def stage_text(name: str) -> str:
    """What a stage's module says of itself."""
    source = (ROOT / "src" / "vetset" / "stages" / f"{name}.py").read_text("utf-8")
    return f"## The stage\n\n{ast.get_docstring(ast.parse(source))}\n"


def settings_page() -> str:
    text = [
        f"{HEAD}# Settings\n",
        "One TOML file, named with `--settings`; the command line stands above it. An unknown key is an error.\n",
    ]
    tables: list[tuple[str, Any]] = [
        ("[audit]", config.AuditSettings),
        ("[pictures]", config.PictureSettings),
        ("[fingerprint]", config.FingerprintSettings),
        ("[match]", config.MatchSettings),
        ("[lists.NAME]", config.ListSettings),
        ("[exchanges.NAME]", config.ExchangeSettings),
        ("[authorities.NAME]", config.AuthoritySettings),
        ("[sandbox]", config.SandboxSettings),
        ("[fetch]", config.FetchSettings),
        ("[agreement]", config.AgreementSettings),
        ("[budget]", config.BudgetSettings),
        ("[verify]", config.VerifySettings),
        ("[report]", config.ReportSettings),
        ("[platforms.NAME]", config.PlatformSettings),
        ("[run]", config.RunSettings),
        ("[policy]", config.PolicySettings),
        ("[[policy.rules]]", config.Rule),
    ]
    for title, table in tables:
        text.append(f"## `{title}`\n\n{inspect.cleandoc(table.__doc__)}\n\n| key | kind | default |\n|---|---|---|")
        hints = get_type_hints(table)
        for item in dataclasses.fields(table):
            if item.repr:
                kind = getattr(hints[item.name], "__name__", str(hints[item.name])).replace("|", "or")
                text.append(f"| `{item.name}` | {kind} | `{default_of(item)!r}` |")
        text.append("")
    text.append("## `[columns]`\n\nOur column name = the dataset's, where its own spelling is not known: ")
    text.append(", ".join(f"`{column}`" for column in records.Column) + ".\n")
    text.append("## Named policies\n")
    text += [
        f"- `{name}`: {'; or '.join(rule_words(rule) for rule in rules)}"
        for name, rules in config.NAMED_POLICIES.items()
    ]
    return "\n".join(text) + "\n"


def default_of(item: dataclasses.Field[Any]) -> Any:
    return item.default if item.default_factory is dataclasses.MISSING else item.default_factory()


def rule_words(rule: config.Rule) -> str:
    conditions = [f"punsafe above {rule.punsafe_above}"] if rule.punsafe_above is not None else []
    conditions += ["the text holds one of the words of your own `words_file`"] if rule.words_file else []
    return " and ".join(conditions)


def outcomes_page() -> str:
    text = [f"{HEAD}# Outcomes\n\nEach stage gives every row exactly one outcome, the first that applies.\n"]
    pictures = (records.Asking, records.FetchOutcome, records.FingerprintOutcome, records.MatchOutcome)
    for enum in (records.ScreenOutcome, *pictures, records.CleanOutcome, errors.Trouble):
        text.append(f"## {enum.__name__}\n\n{inspect.cleandoc(enum.__doc__ or '')}\n")
        text.append(", ".join(f"`{member.value}`" for member in enum) + "\n")
    statuses = {name: value for name, value in vars(errors.ExitStatus).items() if name.isupper()}
    text.append(
        "## Exit status\n\n" + "\n".join(f"- {value}: {name.lower()}" for name, value in statuses.items()) + "\n"
    )
    return "\n".join(text)


def cases_page() -> str:
    text = ast.get_docstring(ast.parse((ROOT / "src" / "vetset" / "cases.py").read_text("utf-8")))
    return f"{HEAD}# The life of a case\n\n{text}\n\n```mermaid\n{cases.drawn()}```\n"


def contents_page(names: list[str]) -> str:
    return f"{HEAD}# Reference\n\n" + "\n".join(f"- [{name.removesuffix('.md')}]({name})" for name in names) + "\n"


def write() -> None:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for page in REFERENCE.glob("*.md"):
        page.unlink()
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write()

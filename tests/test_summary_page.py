"""The page: one file that asks nothing of anybody, well formed, readable without sight of colours, escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings

from tests.summaries import HOSTILE, any_figures, figures_of, run_with
from vetset.datasets.printable import printable
from vetset.records import Signal
from vetset.summary import FailedShard, Figures, publish, to_html

VOID = {"meta", "br", "hr"}
FORBIDDEN = {
    "script",
    "img",
    "picture",
    "video",
    "audio",
    "iframe",
    "object",
    "embed",
    "link",
    "a",
    "form",
    "input",
    "svg",
}
LOADING = {"src", "href", "srcset", "action", "data", "poster", "background", "style", "formaction", "ping"}


class Reader(HTMLParser):
    """Checks that tags balance, and notes what a test may want to know."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment of {len(data)} characters stands in the page")

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if tag != "style").split())


def read(figures: Figures) -> Reader:
    reader = Reader()
    reader.feed(to_html(publish(figures)).decode("utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def check_self_contained(reader: Reader) -> None:
    for tag, attributes in reader.tags:
        assert tag not in FORBIDDEN
        assert not LOADING & set(attributes), f"<{tag}> could load something"
        assert not any(name.startswith("on") for name in attributes)
    style = " ".join(text for tag, text in reader.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    policy = [item["content"] for item in reader.named("meta") if item.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


@given(any_figures())
@settings(max_examples=60)
def test_no_figures_and_no_names_open_a_way_out(figures: Figures) -> None:
    reader = read(figures)
    check_self_contained(reader)
    assert [tag for tag, _ in reader.tags if tag in {"html", "head", "body", "title", "style", "main"}] == [
        "html",
        "head",
        "title",
        "style",
        "body",
        "main",
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    figures = run_with(7, complete=False, failed=(FailedShard(name, "truncated", name),))
    reader = read(replace(figures, dataset=name))
    check_self_contained(reader)
    assert reader.text().count(" ".join(printable(name).split())) >= 4  # title, heading, path and detail


def test_two_lists_of_one_name_and_lists_that_never_meet_a_column() -> None:
    figures = figures_of("plenty")
    text = read(figures).text()
    assert "not held" in text
    twins = replace(figures, lists=(*figures.lists, replace(figures.lists[1], version=8)))
    assert "beta v8" in read(twins).text()


def test_structure_for_those_who_do_not_see_it() -> None:
    reader = read(figures_of("plenty"))
    assert reader.named("html") == [{"lang": "en"}]
    assert [item.get("content") for item in reader.named("meta") if item.get("name") == "viewport"] == [
        "width=device-width, initial-scale=1"
    ]
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(reader.named("caption")) == len(reader.named("table")) > 5
    assert all("scope" in attributes for attributes in reader.named("th"))
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {item["aria-labelledby"] for item in reader.named("section")} == set(ids)


def test_tables_scroll_by_keyboard_and_fit_a_phone_and_paper() -> None:
    reader = read(figures_of("plenty"))
    regions = [item for item in reader.named("div") if item.get("class") == "scroll"]
    assert len(regions) == len(reader.named("table"))
    assert all(item["tabindex"] == "0" and item["role"] == "region" and item["aria-label"] for item in regions)
    style = " ".join(text for tag, text in reader.texts if tag == "style")
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert "overflow-x: auto" in style


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_its_ground_by_light_and_by_dark() -> None:
    style = " ".join(text for tag, text in read(run_with()).texts if tag == "style")
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in style.split(":root")[1:3]]
    assert len(palettes) == 2
    pairs = [("ink", "paper"), ("soft", "paper"), ("soft", "wash"), ("ink", "wash"), ("warn", "warn-wash")]
    for palette in palettes:
        for text, ground in pairs:
            light, dark = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_the_page_says_what_the_document_says() -> None:
    published = publish(figures_of("plenty"))
    text = read(figures_of("plenty")).text()
    assert "Complete run" in text
    for sentence in published["sentences"]:
        assert sentence in text
    for shown in (
        "198,804",
        "195,612",
        "1,200,000",
        "e3f1a09c",
        "README.md",
        "2026-05-03 10:00:00 UTC",
        "research-safe",
    ):
        assert shown in text
    assert "5,000 rows a second, 2 workers" in text


def test_few_hits_are_hidden_on_the_page_as_well() -> None:
    reader = read(replace(figures_of("few"), ignored=()))
    text = reader.text()
    assert "Incomplete run" in text
    assert "part/0003.parquet truncated the footer is missing" in text
    assert not re.search(r"197,?\d{3}", text)
    cells = [words for tag, words in reader.texts if tag in {"td", "dd"} and words.strip() in {"1", "2", "3", "4"}]
    assert cells == []


def test_empty_runs_have_a_page() -> None:
    empty = run_with(clear=0, lists=(), compared=(), hits_by_list={}, hits_by_signal={}, columns={}, cleaned=None)
    text = read(empty).text()
    for words in ("No list took part.", "Nothing was compared.", "No shard failed.", "No dataset was written."):
        assert words in text


def test_many_failures_are_cut_on_the_page_and_whole_in_the_document() -> None:
    failed = tuple(FailedShard(f"part/{number:05}.parquet", "unreadable") for number in range(900))
    figures = run_with(failed=failed, complete=False)
    assert len(publish(figures)["shards"]["failed"]) == 900
    assert "850 more are named in summary.json." in read(figures).text()
    ignored = read(run_with(ignored=tuple(f"note {number}" for number in range(70)))).text()
    assert "20 more are not shown here." in ignored


def test_lists_tell_what_they_hold() -> None:
    figures = run_with()
    bare = replace(figures.lists[0], entries={}, source="", purpose="", expires="", created="")
    assert "Entries none" in read(replace(figures, lists=(bare,))).text()
    full = replace(bare, entries={Signal.SHA256: 5, Signal.MD5: 1200})
    assert "Entries md5 1,200, sha256 5 Digest" in read(replace(figures, lists=(full,))).text()

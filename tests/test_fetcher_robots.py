"""robots.txt: RFC 9309's rules and examples, odd files, and files that are meant to hurt."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.fetcher.robots import ALLOWS_ALL, ALLOWS_NONE, MOST_BYTES, MOST_RULES, Robots, robots_of


def rules(text: str | bytes, name: str = "vetset") -> Robots:
    return robots_of(text if isinstance(text, bytes) else text.encode(), name)


def test_nothing_said_means_everything_may_be_asked() -> None:
    for text in (
        "",
        "\n\n",
        "# a comment",
        "nonsense",
        "<html>not here</html>",
        "User-agent: *",
        "Disallow:",
        ":",
        "a:b",
    ):
        assert rules(text).allows("/x.jpg")
    assert ALLOWS_ALL.allows("/")
    assert not ALLOWS_NONE.allows("/x")
    assert ALLOWS_NONE.allows("/robots.txt")


def test_the_example_of_the_rfc() -> None:
    text = """
        User-Agent: *
        Disallow: *.gif$
        Disallow: /example/
        Allow: /publications/

        User-Agent: foobot
        Disallow:/
        Allow:/example/page.html
        Allow:/example/allowed.gif

        User-Agent: barbot
        User-Agent: bazbot
        Disallow: /example/page.html

        User-Agent: quxbot
        """
    assert not rules(text).allows("/a.gif")
    assert rules(text).allows("/a.gif?b")
    assert not rules(text).allows("/example/x")
    assert rules(text).allows("/publications/")
    assert rules(text, "foobot").allows("/example/page.html")
    assert not rules(text, "foobot").allows("/publications/")
    assert not rules(text, "BazBot").allows("/example/page.html")
    assert rules(text, "barbot").allows("/example/other")
    assert rules(text, "quxbot").allows("/example/page.html")


def test_the_longest_pattern_decides_and_of_equals_the_one_that_allows() -> None:
    text = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: /same\nDisallow: /same\n"
    assert not rules(text).allows("/a/x")
    assert rules(text).allows("/a/b")
    assert not rules(text).allows("/a/b/c.jpg")
    assert rules(text).allows("/same/x")


def test_groups_for_one_name_count_together_and_ours_stands_before_everybodys() -> None:
    text = "User-agent: vetset\nDisallow: /a\nUser-agent: *\nDisallow: /c\nUser-agent: VETSET/2.0 (x)\nDisallow: /b\n"
    assert [rules(text).allows(path) for path in ("/a", "/b", "/c")] == [False, False, True]
    assert [rules(text, "other").allows(path) for path in ("/a", "/b", "/c")] == [True, True, False]


def test_several_names_share_the_rules_that_follow() -> None:
    text = "user-agent: a\nuser-agent: vetset # us\n\nuser-agent: b\ndisallow: /x\nuser-agent: c\ndisallow: /y"
    assert [rules(text).allows(path) for path in ("/x", "/y")] == [False, True]


@pytest.mark.parametrize(
    ("pattern", "met", "missed"),
    [
        ("/fish", ["/fish", "/fish.html", "/fishheads/y", "/fish?id=1"], ["/Fish.asp", "/catfish", "/desert/fish"]),
        ("/fish*", ["/fish", "/fish.html"], ["/Fish", "/cat"]),
        ("/fish/", ["/fish/", "/fish/?id=1"], ["/fish", "/fish.html"]),
        ("/*.php", ["/index.php", "/a/b.php?c", "/filename.php/"], ["/", "/windows.PHP"]),
        ("/*.php$", ["/f.php", "/a/f.php"], ["/f.php?x", "/f.php/", "/f.php5"]),
        ("/fish*.php", ["/fish.php", "/fishheads/catfish.php?x"], ["/Fish.PHP"]),
        ("/a*b*c$", ["/abc", "/axbxc", "/abcc"], ["/acb", "/abcd"]),
        ("/$", ["/"], ["/a"]),
        ("*", ["/", "/anything"], []),
        ("*$", ["/", "/anything"], []),
        ("/a%3cd", ["/a%3Cd", "/a%3cd"], ["/ad"]),
        ("/a%7Eb", ["/a~b", "/a%7eb"], []),
        ("/ü", ["/%C3%BC", "/%c3%bcx"], ["/u"]),
        ("/a%2Ab", ["/a*b", "/a%2ab"], ["/axb"]),
        ("/a$b", ["/a$b", "/a%24b"], ["/a"]),
        ("/a|b", ["/a|b", "/a%7Cb"], []),
        ("/a%", ["/a%", "/a%zz"], ["/a"]),
    ],
)
def test_patterns(pattern: str, met: list[str], missed: list[str]) -> None:
    forbids = rules(f"User-agent: *\nDisallow: {pattern}")
    assert [path for path in met if forbids.allows(path)] == []
    assert [path for path in missed if not forbids.allows(path)] == []


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_may_end_in_any_way_and_a_mark_may_stand_before_them(end: str) -> None:
    text = end.join(["User-agent: *", "Disallow: /a", "", "Disallow: /b # not for you"])
    found = rules(b"\xef\xbb\xbf" + text.encode())
    assert [found.allows(path) for path in ("/a", "/b", "/c")] == [False, False, True]


def test_a_delay_is_heard_up_to_a_minute() -> None:
    for said, heard in {"2": 2.0, "0.5": 0.5, "900": 60.0, "-1": 0.0, "soon": 0.0, "": 0.0, "9" * 400: 0.0}.items():
        assert rules(f"User-agent: *\nCrawl-delay: {said}\nDisallow: /x").delay_seconds == heard
    assert rules("User-agent: other\nCrawl-delay: 9").delay_seconds == 0


def test_bytes_that_are_no_text_and_bytes_beyond_the_cap() -> None:
    assert not rules(b"\xff\xfe\nUser-agent: *\nDisallow: /\xff\n").allows("/%EF%BF%BD")
    long = b"# " + b"x" * MOST_BYTES + b"\nUser-agent: *\nDisallow: /"
    assert rules(long).allows("/x")


def test_more_rules_than_can_be_checked_mean_stay_away() -> None:
    lines = "\n".join(f"Disallow: /{number:x}" for number in range(MOST_RULES + 1))
    assert not rules("User-agent: *\n" + lines).allows("/none-of-them/")
    assert rules("User-agent: *\nDisallow: /x\nUser-agent: other\n" + lines).allows("/none-of-them/")


def test_patterns_that_are_meant_to_hurt_do_not() -> None:
    """Each would take a matcher that goes back and forth for ever; a path takes no time to speak of here."""
    worst = "User-agent: *\n" + "\n".join("Disallow: /" + "*a" * 20 + f"*{number}$" for number in range(5000))
    found = rules(worst)
    started = time.process_time()
    assert found.allows("/" + "a" * 4000)
    assert time.process_time() - started < 5


# --- against the obvious definition -----------------------------------------------------------------------------------

_LETTERS = st.text("ab/*$%2A~", max_size=8)


def _meets(pattern: str, path: str) -> bool:
    """A pattern as a regular expression over unescaped text."""
    ends = pattern.endswith("$")
    body = "".join(".*" if character == "*" else re.escape(character) for character in pattern.removesuffix("$"))
    return re.match(body + (r"\Z" if ends else ""), path) is not None


@given(
    st.lists(st.tuples(st.booleans(), st.text("ab/*$", min_size=1, max_size=8)), max_size=5), st.text("ab/", max_size=8)
)
def test_rules_decide_as_the_obvious_definition_does(given_rules: list[tuple[bool, str]], rest: str) -> None:
    path = "/" + rest
    text = "User-agent: *\n" + "\n".join(
        f"{'Allow' if allows else 'Disallow'}: {pattern}" for allows, pattern in given_rules
    )
    meeting = [
        (len(_weight(pattern)), allows)
        for allows, pattern in given_rules
        if "$" not in pattern[:-1] and _meets(pattern, path)
    ]
    wanted = max(meeting)[1] if meeting else True
    if all("$" not in pattern[:-1] for _, pattern in given_rules):
        assert rules(text).allows(path) is wanted


def _weight(pattern: str) -> str:
    """A row of stars weighs as much as one."""
    return re.sub(r"\*+", "*", pattern)


@given(st.binary(max_size=400), _LETTERS)
def test_no_file_and_no_path_makes_it_stumble(body: bytes, path: str) -> None:
    assert robots_of(body, "vetset").allows("/" + path) in {True, False}

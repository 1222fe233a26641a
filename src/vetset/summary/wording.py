"""The sentences of a summary, made from what is published, so that nobody can drop a denominator.

In it: what was assessed, what matched, what was not assessed, what a figure is a limit of (threats 5.2, 5.4).
Not in it: exact counts (this module sees published cells only), dates, what was fetched (`asking`).
Rules: an alarm comes first, then that a run is incomplete; a match is always unverified; lists are named with their
versions; no word here calls a dataset, a row or a picture good or bad. `tests/test_summary_wording.py` holds the words
never said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vetset.summary import asking, releasing
from vetset.summary.suppression import hides_any

Published = Mapping[str, Any]


def sentences(published: Published) -> list[str]:
    """The result in sentences, in the order in which they should be read."""
    return [
        *_alarm(published),
        *_incomplete(published),
        *_assessed(published),
        *asking.asked(published),
        *_pictured(published),
        *_matched(published),
        *_further(published),
        *_removed(published),
        *_limits(published),
        *_suppressed(published),
    ]


def when(published: Published) -> str:
    """The sentence that dates the figures; it belongs to the timings, since two equal runs differ in it."""
    timing = published["timing"]
    started, finished = (timing[name].replace("T", " ").replace("+00:00", " UTC") for name in ("started", "finished"))
    ran = f"The audit ran from {started} to {finished}; every figure is as of the list versions named."
    return ran + (asking.when(published) if published["fetch"] else "")


# --- counts in words --------------------------------------------------------------------------------------------------


def amount(cell: Any) -> str:
    """A cell in words: "1,204", "fewer than 5", "withheld"."""
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"fewer than {cell['below']}" if isinstance(cell, Mapping) else "withheld"


def _of(cell: Any, noun: str) -> str:
    """A cell with its noun: "1 row", "fewer than 5 rows", "a withheld number of rows"."""
    if cell == "withheld":
        return f"a withheld number of {noun}s"
    return f"{amount(cell)} {noun}" if cell == 1 else f"{amount(cell)} {noun}s"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _named(lists: Sequence[Mapping[str, Any]], conjunction: str) -> str:
    names = [f"{item['name']} v{item['version']}" for item in lists]
    noun = "list" if len(names) == 1 else "lists"
    if len(names) < 2 or not conjunction:  # noqa: PLR2004 - one name needs no conjunction
        return f"{noun} {', '.join(names)}"
    return f"{noun} {', '.join(names[:-1])} {conjunction} {names[-1]}"


# --- what was assessed ------------------------------------------------------------------------------------------------


def _incomplete(published: Published) -> Iterator[str]:
    shards = published["shards"]
    failed = len(shards["failed"])
    if failed:
        of = "shard" if shards["total"] == 1 else "shards"
        yield (
            f"This run is incomplete: {failed:,} of {shards['total']:,} {of} could not be done, "
            "and the figures below do not cover them."
        )
    elif not published["complete"] and (troubles := dict(_troubles(published))):
        them = "it" if sum(troubles.values()) == 1 else "them"
        yield (
            f"This run is incomplete: {' and '.join(troubles)} could not be done, and the figures below do not cover "
            f"{them}."
        )
    elif not published["complete"]:
        yield "This run is incomplete: the figures below do not cover the whole dataset."


def _troubles(published: Published) -> Iterator[tuple[str, int]]:
    if lost := _troubled(published["pictures"]):
        yield _of(lost, "picture"), lost
    if lost := asking.troubled(published["fetch"]):
        yield asking.addresses(lost), lost


def _troubled(pictures: Published | None) -> int:
    """Pictures that met a trouble of this run, which is no fact about the data."""
    outcomes = pictures["outcomes"] if pictures else {}
    return sum(outcomes.get(name, 0) for name in ("sandbox_death", "sandbox_alarm", "internal_error"))


def _assessed(published: Published) -> Iterator[str]:
    rows, policy = published["rows"], published["outcomes"]["policy"]
    pictures = published["pictures"] is not None
    by = "what the columns record" + (" or by their picture" if pictures else "")
    nothing = "no value in them" + (" and no picture" if pictures else "")
    read = f"Of {_of(rows['total'], 'row')} in {_of(published['shards']['done'], 'shard')} read, "
    yield f"{read}{rows['assessed']:,} {_was(rows['assessed'])} assessed by {by}."
    if rows["not_assessable"]:
        yield (
            f"{_of(rows['not_assessable'], 'row')} {_was(rows['not_assessable'])} not assessed: "
            f"{nothing} could be compared with any list."
        )
    if policy:
        yield f"{_of(policy, 'row')} met the policy in force, match or no match; a policy judges columns, not pictures."


# --- what became of the pictures --------------------------------------------------------------------------------------

#: Why pictures were not fingerprinted, so that a number may stand before it.
_NOT_FINGERPRINTED = {
    "undecodable": "could not be decoded",
    "unsupported": "in a format that is not decoded here",
    "not_auditable": "stored centre-cropped: the originals cannot be audited from these bytes and must be fetched anew",
    "too_large": "larger than the cap",
    "sandbox_death": "killed the sandbox, each twice",
    "sandbox_alarm": "set off the alarm of the sandbox",
    "internal_error": "met a fault of vetset",
}
#: What the outcomes of pictures mean, in the order in which a page should name them.
PICTURE_OUTCOMES = {
    "fingerprinted": "decoded, and compared as far as it shows enough",
    "changed_content": "the same, but the bytes are not those that the dataset recorded",
    **_NOT_FINGERPRINTED,
}
_CONFINED = {
    "none": (
        "The decoder was not confined (sandbox level none): a hostile picture could have taken over the account that "
        "ran the audit."
    ),
    "limits": (
        "The decoder was confined by limits alone (sandbox level limits): a crash harms nothing, but a picture that "
        "took over the decoder could have opened files and connections."
    ),
}


def _alarm(published: Published) -> Iterator[str]:
    alarms = published["pictures"]["outcomes"]["sandbox_alarm"] if published["pictures"] else 0
    if alarms:
        yield (
            f"ALARM: {_of(alarms, 'picture')} made the decoder try what its sandbox forbids. That is an attack or a "
            "fault of the sandbox: find out which before anybody goes on with this dataset."
        )


def _pictured(published: Published) -> Iterator[str]:
    pictures = published["pictures"]
    if pictures is None:
        return
    outcomes = pictures["outcomes"]
    changed, done = outcomes["changed_content"], outcomes["fingerprinted"] + outcomes["changed_content"]
    where = "held in the dataset" if published["fetch"] is None else "fetched"
    yield f"Of {_of(pictures['held'], 'picture')} {where}, {done:,} {_was(done)} decoded and fingerprinted."
    if changed:
        yield (
            f"{_of(changed, 'picture')} among them {_was(changed)} compared though the bytes are not those that the "
            "dataset recorded."
        )
    yield from _not_compared(pictures, pictures["held"] - done)
    yield from (words for level, words in _CONFINED.items() if pictures["sandbox"] == level)
    if pictures["variant"] == "luma":
        yield "Fingerprints were made of luma alone, by which they may lie a few bits off the exact ones."


def _not_compared(pictures: Mapping[str, Any], missing: int) -> Iterator[str]:
    reasons = [
        f"{words} ({pictures['outcomes'][name]:,})"
        for name, words in _NOT_FINGERPRINTED.items()
        if pictures["outcomes"][name]
    ]
    if missing:
        yield (
            f"{_of(missing, 'picture')} {_was(missing)} not fingerprinted: {'; '.join(reasons)}. At most the digests "
            "of the bytes were compared, and that is not the same as no near match."
        )
    if pictures["too_plain"]:
        yield (
            f"{_of(pictures['too_plain'], 'picture')} {_was(pictures['too_plain'])} too plain to be compared by PDQ "
            f"(quality below {pictures['quality_floor']}): not hashable is not the same as no match."
        )
    cut = pictures["oddities"].get("truncated", 0) + pictures["oddities"].get("damaged", 0)
    if cut:
        yield f"{_of(cut, 'place')} in the tars {_was(cut)} cut off or damaged; what stood there was not assessed."


# --- what matched -----------------------------------------------------------------------------------------------------


def _matched(published: Published) -> Iterator[str]:
    met = {item["list"] for item in published["compared"] if item["values"]}
    compared = [item for item in published["lists"] if item["name"] in met]
    silent = [item for item in published["lists"] if item["name"] not in met]
    if compared:
        yield from _result(published, compared)
    else:
        yield "Nothing was compared: no value of the dataset met any list, so this run says nothing about matches."
    if compared and silent:
        them = "it" if len(silent) == 1 else "them"
        yield f"No value was compared with {_named(silent, 'or')}, so this run says nothing about matches to {them}."


def _result(published: Published, compared: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    outcomes, direct = published["outcomes"], published["hits"]["direct"]
    near_lists = [item for item in compared if item["name"] in _lists_near(published)]
    if outcomes["hit"] == 0 and outcomes["near_hit"] == 0:
        kinds = ", exact or near," if near_lists else ""
        but = ", but for those held" if outcomes["held"] != 0 else ""
        yield f"No match{kinds} to {_named(compared, '')} among the rows assessed{but}."
        return
    yield from _exact(published, compared)
    yield from _near(published, near_lists)
    if direct["unique_urls"] != "withheld":
        yield (
            f"Among them are {_of(direct['unique_urls'], 'different URL')} and "
            f"{_of(direct['unique_digests'], 'different recorded digest')}: one picture may stand in many rows."
        )
    if outcomes["hit"] != "withheld":
        yield releasing.unconfirmed(published)


def _exact(published: Published, compared: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    hit = published["outcomes"]["hit"]
    if hit == "withheld":
        yield (
            f"Matches (unverified): the number of rows that match entries of {_named(compared, 'or')} is withheld, "
            "because in so small a table it would give single rows away."
        )
    elif hit != 0:
        rows = f"{amount(hit)} of {_looked_at(published)}"
        yield f"Matches (unverified): {rows} match entries of {_named(compared, 'or')}."


def _near(published: Published, near_lists: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    near = published["outcomes"]["near_hit"]
    if near == 0:
        return
    holds = "hold" if published["fetch"] is None else "have an address that served"
    within = f"{holds} a picture {_within(published, near_lists)} a fingerprint in {_named(near_lists, 'or')}"
    if near == "withheld":
        yield f"Near matches (unverified): the number of rows that {within} is withheld."
    else:
        rows = f"{amount(near)} of {_looked_at(published)}"
        yield f"Near matches (unverified): {rows} {within}, and no other match."
    yield (
        "Rows that match nearly are quarantined: a dataset written again lacks them until a verdict. A near match is a "
        "likeness of fingerprints, and plain designs such as logos and clip art show it among themselves."
    )


def _looked_at(published: Published) -> str:
    """What matches are a part of. A row whose picture cannot be audited is not assessed, and may match by digest."""
    rows, pictures = published["rows"], published["pictures"]
    if pictures and pictures["outcomes"]["not_auditable"] and rows["not_assessable"]:
        return f"{_of(rows['total'], 'row')} read"
    return f"{_of(rows['assessed'], 'row')} assessed"


def _lists_near(published: Published) -> set[str]:
    """Names of the lists that pictures were compared with by distance."""
    met = (item for item in published["compared"] if item["values"])
    return {item["list"] for item in met if item["signal"] in _BY_DISTANCE}


_BY_DISTANCE = frozenset({"pdq", "photodna"})


def _within(published: Published, near_lists: Sequence[Mapping[str, Any]]) -> str:
    """How near, in bits of PDQ. An optional kind of fingerprint has a measure of its own."""
    radii = {item["name"]: published["pictures"]["radius_bits"].get(item["name"]) for item in near_lists}
    of_another_kind = any(item["signal"] == "photodna" and item["values"] for item in published["compared"])
    if of_another_kind or None in radii.values():
        return "within the radius set of"
    if len(set(radii.values())) == 1:
        return f"within {next(iter(radii.values())):,} bits of"
    return f"within {' or '.join(f'{bits:,} bits ({name})' for name, bits in radii.items())} of"


def _further(published: Published) -> Iterator[str]:
    outcomes, run = published["outcomes"], published["run"]
    if outcomes["hit"] == 0 and outcomes["near_hit"] == 0 and outcomes["held"] == 0:
        return
    if not run["expand"]:
        yield "Further rows that share a value with a match were not looked for."
    elif outcomes["expanded"] != 0:
        yield (
            f"{_first(_of(outcomes['expanded'], 'further row'))} share a URL or a recorded digest with a match "
            "(unverified), and are treated like it."
        )
    if outcomes["held"] != 0:
        fate = "left out, as the settings say" if run["remove_held"] else "kept unless a policy says otherwise"
        near = ", or are near to an entry that as many are near to" if published["pictures"] else ""
        yield (
            f"{_first(_of(outcomes['held'], 'row'))} share a value with a match that more than "
            f"{run['spread_limit']:,} rows bear, as placeholders do{near}; they are held, and {fate}."
        )


def _removed(published: Published) -> Iterator[str]:
    removal = published["removal"]
    if removal is None:
        yield "No dataset was written; the rows that match are still in the dataset that was read."
        return
    by_policy = f" and {_of(removal['removed_by_policy'], 'row')} by policy" if published["run"]["policy"] else ""
    match = "a match" if published["pictures"] is None else "a match or a near match"
    yield (
        f"The dataset was written again: {_of(removal['removed'], 'row')} left out because of {match}{by_policy}, "
        f"{_of(removal['kept'], 'row')} kept."
    )


# --- what the figures are limits of -----------------------------------------------------------------------------------


def _limits(published: Published) -> Iterator[str]:
    columns = {item["column"] for item in published["compared"] if item["values"]}
    if published["pictures"] is not None:
        yield from _limits_of_pictures(published)
    if published["run"]["reach"] != "columns" or not columns:
        return
    yield "Only columns were read: no link was fetched and no picture was opened, so rows with dead links are assessed."
    if published["outcomes"]["hit"] != 0:
        yield (
            "The count of matches is an upper limit for what can still be reached through the links, "
            "because some of them are dead."
        )
    yield (
        "The count of matches is a lower limit for what the dataset points to: altered copies, material that no list "
        "holds, and rows without a recorded value are not found by comparing columns exactly."
    )
    if columns & {"md5", "sha1", "sha256"}:
        # About 15 % of LAION's recorded md5 digests no longer matched in January 2023 (img2dataset PR 258).
        yield (
            "A recorded digest tells of the picture at the time of recording: of the pictures of one large dataset "
            "that were still served in January 2023, about 15 % no longer had the recorded digest."
        )
    yield "'Clear' means that no list named here holds a value recorded in the row, and no more than that."


def _limits_of_pictures(published: Published) -> Iterator[str]:
    if published["fetch"] is not None:
        yield from asking.limits(published)
        return
    yield (
        f"{releasing.reached(published)} The pictures that the dataset holds were opened in memory, in a sandbox; none "
        "was shown or stored."
    )
    yield (
        "The count of matches is a lower limit for what the dataset holds: copies altered beyond the radius, pictures "
        "that no list holds, and pictures that could not be fingerprinted are not found."
    )
    yield from _resized(published["pictures"]["resize_modes"])
    yield (
        "'Clear' means that no list named here holds a value of the row, or a fingerprint near to its picture's, as "
        "far as they could be compared, and no more than that."
    )


def _resized(modes: Mapping[str, int]) -> Iterator[str]:
    """What the making of the dataset lost: measured in reference/datasets 5.2 and hashes 5.3."""
    shrunk = {mode: count for mode, count in modes.items() if count and mode not in {"no", "unknown", "center_crop"}}
    if shrunk:
        number = sum(shrunk.values())
        named = ", ".join(f"{mode} {count:,}" for mode, count in shrunk.items())
        yield (
            f"{_of(number, 'picture')} {_was(number)} resized when the dataset was made ({named}): some near matches "
            "to the originals were lost by that before this audit began."
        )
    if modes.get("unknown"):
        yield (
            f"Of {_of(modes['unknown'], 'picture')} the dataset does not say whether they were resized; where they "
            "were cropped, the originals are not found."
        )


def _suppressed(published: Published) -> Iterator[str]:
    if hides_any(published):
        shown = "Counts from 1 to 4 are shown as 'fewer than 5'"
        yield f"{shown}, and counts from which they could be worked out are withheld."

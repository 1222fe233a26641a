"""The sentences of a summary, made from what is published, so that nobody can drop a denominator.

In it: what was assessed, what matched, what was not assessed, what a figure is a limit of (threats 5.2, 5.4).
Not in it: exact counts (this module sees published cells only) and dates, which stand with the timings.
Rules: an incomplete run says so first; a match is always unverified; lists are named with their versions; no word
here calls a dataset, a row or a picture good or bad. `tests/test_summary_wording.py` holds the words never said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Published = Mapping[str, Any]


def sentences(published: Published) -> list[str]:
    """The result in sentences, in the order in which they should be read."""
    return [
        *_alarm(published),
        *_incomplete(published),
        *_assessed(published),
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
    return f"The audit ran from {started} to {finished}; every figure is as of the list versions named."


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
    elif not published["complete"]:
        yield "This run is incomplete: the figures below do not cover the whole dataset."


def _assessed(published: Published) -> Iterator[str]:
    rows, policy = published["rows"], published["outcomes"]["policy"]
    read = f"Of {_of(rows['total'], 'row')} in {_of(published['shards']['done'], 'shard')} read, "
    by = "what the columns record" if published["pictures"] is None else "what the columns record or by their picture"
    yield f"{read}{rows['assessed']:,} {_was(rows['assessed'])} assessed by {by}."
    if rows["not_assessable"]:
        yield (
            f"{_of(rows['not_assessable'], 'row')} {_was(rows['not_assessable'])} not assessed: "
            f"no value in them{'' if published['pictures'] is None else ' and no picture'} could be compared with any list."
        )
    if policy:
        yield f"{_of(policy, 'row')} met the policy in force without a match; a policy judges columns, not pictures."


#: What became of pictures that were not fingerprinted, as one says it of several.
_NOT_FINGERPRINTED = {
    "undecodable": "could not be decoded",
    "unsupported": "are of a format that is not decoded here",
    "not_auditable": "are stored cropped, so that nothing can be told of their originals from these bytes",
    "too_large": "are larger than may be decoded",
    "sandbox_death": "ended the process that decoded them, twice",
    "sandbox_alarm": "made the process that decoded them try what it may not",
    "internal_error": "met a fault of vetset",
}


def _alarm(published: Published) -> Iterator[str]:
    alarms = published["pictures"]["outcomes"]["sandbox_alarm"] if published["pictures"] else 0
    if alarms:
        yield (
            f"ALARM: {_of(alarms, 'picture')} made a decoder try what its sandbox forbids. This is an attack or a fault "
            "of the sandbox; find out which before you go on with this dataset."
        )


def _pictured(published: Published) -> Iterator[str]:
    pictures = published["pictures"]
    if pictures is None:
        return
    outcomes = pictures["outcomes"]
    done = outcomes["fingerprinted"] + outcomes["changed_content"]
    yield f"Of {_of(pictures['held'], 'picture')} held in the dataset, {done:,} {_was(done)} decoded and fingerprinted."
    others = [f"{outcomes[name]:,} {words}" for name, words in _NOT_FINGERPRINTED.items() if outcomes[name]]
    if others:
        yield f"Not fingerprinted, and compared by the digest of their bytes at most: {'; '.join(others)}."
    if outcomes["changed_content"]:
        yield f"{_of(outcomes['changed_content'], 'picture')} {_was(outcomes['changed_content'])} not what was recorded."
    if pictures["too_plain"]:
        yield (
            f"{_of(pictures['too_plain'], 'picture')} {_was(pictures['too_plain'])} too plain to be compared by PDQ, "
            "which is not the same as no match."
        )
    if pictures["sandbox"] not in {"seccomp", "seccomp+landlock"}:
        yield f"The decoder was not confined as it should be: only {pictures['sandbox'] or 'nothing'!r} was reached."


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
    hit, near, direct = published["outcomes"]["hit"], published["outcomes"]["near_hit"], published["hits"]["direct"]
    if hit == 0 and near == 0:
        yield f"No match to {_named(compared, '')} among the rows assessed."
        return
    if hit == "withheld":
        yield (
            f"Matches (unverified): the number of rows that match entries of {_named(compared, 'or')} is withheld, "
            "because in so small a table it would give single rows away."
        )
        return
    rows = f"{amount(hit)} of {_of(published['rows']['assessed'], 'row')} assessed"
    if hit != 0:
        yield f"Matches (unverified): {rows} match entries of {_named(compared, 'or')}."
    if near != 0:
        yield (
            f"Near matches (unverified): {_of(near, 'row')} hold a picture near to a fingerprint in "
            f"{_named(compared, 'or')}; they are quarantined, left out of a cleaned dataset until a body has judged them."
        )
    yield (
        f"Among them are {_of(direct['unique_urls'], 'different URL')} and "
        f"{_of(direct['unique_digests'], _kind_of_digest(published))}: one picture may stand in many rows."
    )
    yield "None of them is confirmed: this run sought no verdict, and a match is what a list says of a value."


def _kind_of_digest(published: Published) -> str:
    """Where pictures were looked into, digests of their bytes count beside the recorded ones."""
    return "different recorded digest" if published["pictures"] is None else "different digest"


def _further(published: Published) -> Iterator[str]:
    outcomes, run = published["outcomes"], published["run"]
    if outcomes["hit"] == 0 and outcomes["near_hit"] == 0 and outcomes["held"] == 0:
        return
    if not run["expand"]:
        yield "Further rows that share a value with a match were not looked for."
        return
    if outcomes["expanded"] != 0:
        yield (
            f"{_first(_of(outcomes['expanded'], 'further row'))} share a URL or a recorded digest with a match "
            "(unverified), and are treated like it."
        )
    if outcomes["held"] != 0:
        fate = "left out, as the settings say" if run["remove_held"] else "kept unless a policy says otherwise"
        yield (
            f"{_first(_of(outcomes['held'], 'row'))} share a value with a match that more than "
            f"{run['spread_limit']:,} rows bear, as placeholders do{_or_near(published)}; they are held, and {fate}."
        )


def _or_near(published: Published) -> str:
    return ", or are near to an entry that as many are near to" if published["pictures"] else ""


def _removed(published: Published) -> Iterator[str]:
    removal = published["removal"]
    if removal is None:
        yield "No dataset was written; the rows that match are still in the dataset that was read."
        return
    by_policy = f" and {_of(removal['removed_by_policy'], 'row')} by policy" if published["run"]["policy"] else ""
    yield (
        f"The dataset was written again: {_of(removal['removed'], 'row')} left out because of a match{by_policy}, "
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
    yield (
        "Nothing was fetched. Pictures were decoded in memory, in a sandbox, from the bytes that the dataset holds; none "
        "was shown or stored."
    )
    yield (
        "The count of matches is a lower limit: a picture that was altered beyond the radius, that no list holds, or "
        "that could not be fingerprinted is not found."
    )
    modes = published["pictures"]["resize_modes"]
    resized = sum(count for mode, count in modes.items() if mode not in {"no", "unknown"})
    if resized:
        yield f"{_of(resized, 'picture')} {_was(resized)} stored smaller than fetched, by which near matches are lost."
    if modes.get("unknown"):
        yield (
            f"Of {_of(modes['unknown'], 'picture')} the dataset does not say whether they were resized; where they were "
            "cropped, their originals are not found."
        )
    yield "'Clear' means that no list named here holds a value of the row or a fingerprint near to its picture, and no more."


def _suppressed(published: Published) -> Iterator[str]:
    if any(not isinstance(cell, int) for cell in _cells(published)):
        yield (
            "Counts from 1 to 4 are shown as 'fewer than 5', and counts from which they could be worked out are "
            "withheld."
        )


def _cells(published: Published) -> Iterator[Any]:
    hits = published["hits"]
    for part in (published["outcomes"], hits["direct"], hits["with_expanded"], published["expansion"]):
        yield from part.values()
    yield from (published["removal"] or {}).values()
    yield from (item["rows"] for item in (*hits["by_list"], *hits["by_signal"]))

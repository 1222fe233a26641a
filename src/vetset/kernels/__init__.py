"""The slow, obvious definitions of what vetset compares, and the column versions built on them.

In it: URL forms, digests of values, exact membership behind a prefilter, keyed hashes, conditions of a policy.
Not in it: files, lists' formats, outcomes. Everything here is a pure function of its arguments.
Rules: a function ending in `_of` defines what is right for one value; the column function of the same matter must agree
with it bit for bit (tests/test_kernels.py). Sealed columns are opened here, and what comes out is digests, masks
and positions, or is sealed again. Native versions, where present, replace the column functions only.
"""

from vetset.kernels.bearing import (
    addresses,
    bearable_value,
    bears,
    borne_by,
    case_id_of,
    entry_name_of,
    hit_at,
    keyed_hash,
    keyed_hash_of,
    keyed_hashes,
    meetings,
    name_of,
    recorded_by,
    same_value,
)
from vetset.kernels.condition import above, on_hosts, one_of, with_words, word_pattern
from vetset.kernels.digest import (
    EMPTY_DIGESTS,
    Digests,
    blank_rows,
    digest_of,
    digests_of,
    digests_of_bodies,
    hex_digest_of,
    key_at,
    recorded_digests,
)
from vetset.kernels.hamming import hamming_bytes, hamming_index, hamming_of, near, within_of
from vetset.kernels.likeness import likenesses, print_name_of, url_of
from vetset.kernels.membership import (
    FILTER_BITS_PER_KEY,
    contains_of,
    filter_words,
    heads_of,
    listed_key,
    listed_keys,
    positions_in,
    sorted_keys,
)
from vetset.kernels.pdq import (
    ORIENTATIONS,
    PDQ_BYTES,
    PDQ_VARIANT_LUMA,
    PDQ_VARIANT_RGB,
    VARIANTS,
    luma_of,
    pdq,
    pdq_of,
)
from vetset.kernels.picture import (
    PICTURE_DIGESTS,
    begins_as_image,
    begins_as_picture,
    contradicts,
    digests_of_pictures,
)
from vetset.kernels.resizing import content_box, original_ratio
from vetset.kernels.url import FORM_OF, host_of, raw_of, tx_of, url_values, whatwg_of
from vetset.kernels.web import WebMarks, body_bytes, requests_of, same_web, web_hashes_of, web_marks, web_of

__all__ = [
    "EMPTY_DIGESTS",
    "FILTER_BITS_PER_KEY",
    "FORM_OF",
    "ORIENTATIONS",
    "PDQ_BYTES",
    "PDQ_VARIANT_LUMA",
    "PDQ_VARIANT_RGB",
    "PICTURE_DIGESTS",
    "VARIANTS",
    "Digests",
    "WebMarks",
    "above",
    "addresses",
    "bearable_value",
    "bears",
    "begins_as_image",
    "begins_as_picture",
    "blank_rows",
    "body_bytes",
    "borne_by",
    "case_id_of",
    "contains_of",
    "content_box",
    "contradicts",
    "digest_of",
    "digests_of",
    "digests_of_bodies",
    "digests_of_pictures",
    "entry_name_of",
    "filter_words",
    "hamming_bytes",
    "hamming_index",
    "hamming_of",
    "heads_of",
    "hex_digest_of",
    "hit_at",
    "host_of",
    "key_at",
    "keyed_hash",
    "keyed_hash_of",
    "keyed_hashes",
    "likenesses",
    "listed_key",
    "listed_keys",
    "luma_of",
    "meetings",
    "name_of",
    "near",
    "on_hosts",
    "one_of",
    "original_ratio",
    "pdq",
    "pdq_of",
    "positions_in",
    "print_name_of",
    "raw_of",
    "recorded_by",
    "recorded_digests",
    "requests_of",
    "same_value",
    "same_web",
    "sorted_keys",
    "tx_of",
    "url_of",
    "url_values",
    "web_hashes_of",
    "web_marks",
    "web_of",
    "whatwg_of",
    "with_words",
    "within_of",
    "word_pattern",
]

"""The least and the greatest value of pages and column chunks, and the statistics made of them.

In it: which order a column has, extremes of values, and statistics renewed after rows have gone.
Not in it: the values' encodings. Rules: an extreme is that of values which stay, never one that was read in the source,
since a value that went must not survive as a bound; where it is not computed the bound is left out, which is always
allowed (parquet.thrift: Statistics). So are counts of distinct values. Null counts are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vetset.datasets.thrift import BINARY, I64, Typed, bool_of, value_of

#: (least, greatest): both bytes, or both numbers. None where there is none or it is not known.
Extremes = tuple[Any, Any] | None

#: Arrow's own limit for both together; longer bounds are left out.
_LARGEST_BYTES = 4096

_SIGNED = {"INT32": "<i4", "INT64": "<i8", "FLOAT": "<f4", "DOUBLE": "<f8"}
_UNSIGNED = {"INT32": "<u4", "INT64": "<u8"}
_BY_BYTES = frozenset({"NONE", "STRING", "ENUM", "JSON", "BSON"})


class Statistics:
    """Field numbers."""

    MAX, MIN, NULL_COUNT, MAX_VALUE, MIN_VALUE, MAX_EXACT, MIN_EXACT = 1, 2, 3, 5, 6, 7, 8


_LOW = (Statistics.MIN, Statistics.MIN_VALUE)
_HIGH = (Statistics.MAX, Statistics.MAX_VALUE)
_OLDER = (Statistics.MIN, Statistics.MAX)
_VALUES = (Statistics.MIN_VALUE, Statistics.MAX_VALUE)
_EXACT = (Statistics.MIN_EXACT, Statistics.MAX_EXACT)
#: Of UTF-8, in bytes.
_LONGEST_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Order:
    """How a column's values compare: as numbers of `dtype`, or, where it is None, byte by byte."""

    dtype: np.dtype[Any] | None = None
    is_signed: bool = False

    def of_numbers(self, values: npt.NDArray[Any]) -> Extremes:
        """Of numbers that stay; no NaN is one."""
        if values.dtype.kind == "f" and len(values):
            values = values[~np.isnan(values)]
        return (values.min(), values.max()) if len(values) else None

    def encoded(self, extremes: tuple[Any, Any]) -> tuple[bytes, bytes]:
        """As statistics hold them; a zero is -0.0 as least and +0.0 as greatest, as parquet.thrift has it."""
        low, high = extremes
        if self.dtype is None:
            return bytes(low), bytes(high)
        if self.dtype.kind == "f":
            low, high = (-0.0 if low == 0 else low), (0.0 if high == 0 else high)
        return np.array(low, self.dtype).tobytes(), np.array(high, self.dtype).tobytes()


def order_of(leaf: Any) -> Order | None:
    """The order of a leaf column of Parquet's schema; None for those whose extremes are not computed here."""
    kind = leaf.physical_type
    if kind == "BOOLEAN":
        return Order(np.dtype(np.bool_), is_signed=True)
    if kind in _SIGNED:
        if str(leaf.converted_type).startswith("UINT"):
            return Order(np.dtype(_UNSIGNED[kind]))
        return Order(np.dtype(_SIGNED[kind]), is_signed=True)
    return Order() if kind == "BYTE_ARRAY" and leaf.logical_type.type in _BY_BYTES else None


def united(one: Extremes, other: Extremes) -> Extremes:
    """The extremes of both together."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def are_touched(old: Typed, lost: Extremes, order: Order | None) -> bool:
    """Whether bounds may be values that went, or made of one: writers shorten long bounds, the greatest with its last
    character raised. `lost` are the extremes of the values that went.
    """
    if lost is None or order is None:
        return False
    lows = [value_of(old, place) for place in _LOW if place in old]
    highs = [value_of(old, place) for place in _HIGH if place in old]
    if not all(isinstance(bound, bytes) for bound in (*lows, *highs)):
        return True
    return any(_touches_low(bound, lost[0], order) for bound in lows) or any(
        _touches_high(bound, lost[1], order) for bound in highs
    )


def _touches_low(bound: Any, value: Any, order: Order) -> bool:
    if order.dtype is None:
        return bool(value <= bound or value.startswith(bound))
    return bool(len(bound) != order.dtype.itemsize or not value > np.frombuffer(bound, order.dtype)[0])


def _touches_high(bound: Any, value: Any, order: Order) -> bool:
    if order.dtype is None:
        kept = max(0, len(bound) - _LONGEST_CHARACTER)
        return bool(value >= bound or value[:kept] == bound[:kept])
    return bool(len(bound) != order.dtype.itemsize or not value < np.frombuffer(bound, order.dtype)[0])


def with_nulls(old: Typed, null_count: int | None, order: Order | None) -> Typed:
    """Statistics whose bounds stay, with another null count."""
    new: Typed = {}
    if Statistics.NULL_COUNT in old and null_count is not None:
        new[Statistics.NULL_COUNT] = (I64, null_count)
    if order is not None:
        stays = (*_VALUES, *_EXACT, *(_OLDER if order.is_signed else ()))
        new |= {place: old[place] for place in stays if place in old}
    return new


def renewed(old: Typed, null_count: int | None, extremes: Extremes, order: Order | None) -> Typed:
    """Statistics that hold what the old ones held, as far as it is known for what stays."""
    new = with_nulls(old, null_count, None)
    if extremes is None or order is None:
        return new
    low, high = order.encoded(extremes)
    if len(low) + len(high) > _LARGEST_BYTES:
        return new
    # What the older fields mean for values without a sign was never settled.
    places = (*_VALUES, *_OLDER) if order.is_signed else _VALUES
    new |= {place: (BINARY, low if place in _LOW else high) for place in places if place in old}
    return new | {place: bool_of(True) for place in _EXACT if place in old}


class ColumnIndex:
    """Field numbers."""

    NULL_PAGES, MIN_VALUES, MAX_VALUES, BOUNDARY_ORDER, NULL_COUNTS = 1, 2, 3, 4, 5


def boundary_order(pages: list[tuple[Any, Any]]) -> int:
    """0 for pages without order, 1 ascending, 2 descending (parquet.thrift: BoundaryOrder)."""
    pairs = list(pairwise(pages))
    if all(one[0] <= other[0] and one[1] <= other[1] for one, other in pairs):
        return 1
    if all(one[0] >= other[0] and one[1] >= other[1] for one, other in pairs):
        return 2
    return 0

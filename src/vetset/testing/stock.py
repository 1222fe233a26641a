"""The harmless stock from which synthetic rows are put together: words, hosts, directories, sizes.

In it: constants, and the tables made of them. Not in it: chance, and how a row is built.
Rules: every host lies under a name reserved for examples and tests (RFC 2606, RFC 6761), so no address leads anywhere;
words name things, places and weather; every path is already in the WHATWG normal form. A change here changes every
synthetic data set, so it is a change of version.
"""

# ruff: noqa: RUF001 - captions in other scripts hold letters that resemble ASCII ones, on purpose

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

ADJECTIVES: Sequence[str] = (
    "amber", "ancient", "autumn", "blue", "brass", "bright", "broad", "ceramic", "clear", "copper", "coral", "cotton",
    "crisp", "distant", "early", "emerald", "fine", "folded", "foggy", "fresh", "frosted", "gentle", "glass", "golden",
    "granite", "green", "hand-made", "heavy", "hollow", "indigo", "ivory", "lacquered", "large", "late", "linen",
    "little", "long", "marble", "mild", "misty", "modern", "mossy", "narrow", "old", "orange", "pale", "plain",
    "polished", "quiet", "rainy", "red", "round", "rustic", "silver", "slate", "small", "smooth", "snowy", "steep",
    "stone", "striped", "sunny", "tall", "woven",
)  # fmt: skip

NOUNS: Sequence[str] = (
    "almanac", "anchor", "apple tart", "armchair", "atlas", "barn", "basket", "bell tower", "bicycle", "bookshelf",
    "bridge", "bread loaf", "brooch", "cabin", "camera", "canoe", "carpet", "castle", "cheese board", "clock",
    "compass", "courtyard", "desk lamp", "dresser", "fern", "ferry", "fountain", "garden gate", "glacier", "guitar",
    "harbour", "hedge", "iron stove", "kettle", "kite", "lantern", "library", "lighthouse", "locomotive", "maple tree",
    "market hall", "meadow", "microscope", "mill wheel", "mountain", "museum", "notebook", "orchard", "paper boat",
    "pavilion", "pebble beach", "pine forest", "pocket watch", "pottery", "quilt", "railway", "river", "roof tiles",
    "sailing boat", "sundial", "teapot", "telescope", "tractor", "typewriter",
)  # fmt: skip

PLACES: Sequence[str] = (
    "by the canal", "on a wooden table", "in the morning fog", "under a cloudy sky", "at the flower market",
    "along the coast road", "in the workshop", "near the old mill", "on a white background", "after the first snow",
    "in the botanical garden", "beside the station", "seen from the hill", "in the reading room", "at low tide",
    "in late summer",
)  # fmt: skip

TAILS: Sequence[str] = (
    "", "", "", "", "", "", " - stock photo", " | Example Furniture", " (set of 4)", ", 50 x 70 cm",
    " wallpaper 1920x1080", " - Model 12, 3rd edition", ' "Sample" print', " & accessories",
)  # fmt: skip

#: Beginnings of captions beyond ASCII: accents, other scripts, right to left, combining marks, beyond the BMP.
FOREIGN: Sequence[str] = (
    "naïve café à l'été", "Straßenbahn über der Brücke", "señal en el camino", "żółta łódź na jeziorze",
    "старый велосипед у моста", "παλιό ρολόι στο λιμάνι", "静かな庭の石灯籠", "山中的小桥流水", "오래된 도서관의 책장",
    "قارب شراعي عند الميناء", "מגדלור ליד הים", "पुरानी घड़ी", "cafe\u0301 in Zu\u0308rich", "🚲 ride along the river",
    "𝔊𝔞𝔯𝔡𝔢𝔫 𝔤𝔞𝔱𝔢", "🏔️ mountain view 🌲", "𠮷野の桜", "İstanbul çayı",
)  # fmt: skip

LANGUAGES: Sequence[str] = (
    "de", "fr", "es", "ja", "ru", "zh", "pt", "it", "nl", "pl", "tr", "cs", "vi", "id", "fa", "sv", "el", "hu", "fi",
)  # fmt: skip

EXTENSIONS: Sequence[str] = (".jpg",) * 12 + (".jpeg", ".png", ".png", ".JPG")
SUFFIXES: Sequence[str] = ("", "", "", "", "", "-768x576", "-1024x683", "_large", "_l", "-scaled", "_800x800")
QUERIES: Sequence[str] = ("",) * 17 + ("?w=640&h=480", "?v=1530284301", "?itok=Xy_3kQz")
SIDES: Sequence[int] = (
    200,
    225,
    240,
    256,
    300,
    320,
    360,
    400,
    480,
    500,
    512,
    600,
    640,
    683,
    768,
    800,
    1024,
    1200,
    1600,
)

_SUBDOMAINS = ("images", "cdn", "www", "static", "media", "i0", "photos", "assets")
_SUFFIXES = ("example", "example.com", "test", "example.org", "example", "invalid", "example.net", "example")
_ROOTS = (
    "/wp-content/uploads", "/images/large", "/media/catalog/product", "/s/files/1/0042", "/sites/default/files/public",
    "/uploads", "/i/Photos", "/img",
)  # fmt: skip
_HOSTS = 4096


def directories() -> list[str]:
    """Directories as content systems make them, by year, month and section, each with slashes at both ends."""
    years, months = range(2008, 2023), ("01", "02", "04", "05", "07", "09", "10", "12")
    return [f"{root}/{year}/{month}/" for root, year, month in product(_ROOTS, years, months)]


def hosts() -> list[str]:
    """Distinct host names, the most used first."""
    names = []
    for rank in range(_HOSTS):
        adjective = ADJECTIVES[rank % len(ADJECTIVES)]
        noun = NOUNS[rank * 7 % len(NOUNS)].replace(" ", "")
        kind = rank % len(_SUFFIXES)
        names.append(f"{_SUBDOMAINS[rank // 8 % len(_SUBDOMAINS)]}.{adjective}-{noun}{rank}.{_SUFFIXES[kind]}")
    return names


def slugs() -> list[str]:
    """File name beginnings: two words, joined as file names are."""
    return [f"{adjective}-{noun.replace(' ', '-')}-" for adjective, noun in product(ADJECTIVES, NOUNS)]


def captions() -> list[str]:
    """Caption beginnings: two words, as written."""
    return [f"{adjective.capitalize()} {noun}" for adjective, noun in product(ADJECTIVES, NOUNS)]

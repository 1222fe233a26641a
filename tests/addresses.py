"""Addresses that must never be connected to, in all blocks and spellings, and the ways by which a stranger may name one.

Made from the registries' text anew, not from the product's list: `SPECIAL_4` and `SPECIAL_6` are the blocks, `wrapped` what
an IPv4 address can hide in, `spelled_4` and `spelled_6` how an address may be written in a link, `cases` all of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

#: The blocks of IANA's registry of special-purpose IPv4 addresses, multicast, and places where clouds keep secrets.
SPECIAL_4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "168.63.129.16/32", "169.254.169.254/32", "100.100.100.200/32", "192.0.0.192/32",
)  # fmt: skip
#: The blocks of IANA's registry of special-purpose IPv6 addresses, and the space outside of 2000::/3.
SPECIAL_6 = (
    "::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32",
    "2001:1::1/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28",
    "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fd00:ec2::254/128",
    "fd20:ce::254/128", "fe80::/10", "fec0::/10", "ff00::/8", "ff02::1/128", "4000::/3", "8000::/1", "200::/7", "400::/6",
)  # fmt: skip

WAYS = ("direct", "redirect", "dns", "dns and redirect", "mixed answers", "flip-flop")


Address = IPv4Address | IPv6Address


def samples(block: str, chance: random.Random, count: int = 1) -> list[Address]:
    """First, last and some more addresses of a block."""
    net = ip_network(block)
    first, last = int(net.network_address), int(net.broadcast_address)
    numbers = {first, last, (first + last) // 2, *(chance.randint(first, last) for _ in range(count))}
    return [type(net.network_address)(number) for number in sorted(numbers)]


def wrapped(inner: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses in which an IPv4 address may stand."""
    number = int(inner)
    return [
        IPv6Address(value)
        for value in (
            number,  # compatible
            (0xFFFF << 32) | number,  # mapped
            (0xFFFF << 48) | number,  # translated (SIIT)
            (0x64FF9B << 96) | number,  # NAT64
            (0x64FF9B0001 << 80) | number,  # NAT64, local
            (0x2002 << 112) | (number << 80),  # 6to4
            (0x20010000 << 96) | (0xFFFFFFFF ^ number),  # Teredo, its client
            (0x20010000 << 96) | (number << 64),  # Teredo, its server
            (0x2A0000110000 << 80) | (0x00005EFE << 32) | number,  # ISATAP
            (0x2A0000110000 << 80) | (0x02005EFE << 32) | number,
        )
    ]


def spelled_4(address: IPv4Address) -> list[str]:
    """Spellings that some reader takes for the address."""
    number, parts = int(address), [int(part) for part in str(address).split(".")]
    a, b, c, d = parts
    wide = str(address).translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"})
    return [
        str(address),
        f"{address}.",
        str(number),
        hex(number),
        f"0X{number:08X}",
        f"0{number:o}",
        ".".join(f"0x{part:x}" for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        ".".join(f"{part:03d}" if part < 8 else str(part) for part in parts),
        f"{a}.{b}.{(c << 8) | d}",
        f"{a}.{(b << 16) | (c << 8) | d}",
        f"0x{a:x}.{b}.0{c:o}.{d}",
        wide,
        wide.replace(".", "\u3002"),
        "".join(f"%{ord(character):02X}" for character in str(address)),
    ]


def spelled_6(address: IPv6Address) -> list[str]:
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    head = address.exploded.rsplit(":", 2)[0]
    return [
        f"[{address}]",
        f"[{address.exploded}]",
        f"[{address.exploded.upper()}]",
        f"[{head}:{last}]",
        f"[{address}%25lo]",
    ]


@dataclass(frozen=True)
class Case:
    """One link, and what a stranger has prepared behind it."""

    number: int
    way: str
    address: str
    spelling: str

    @property
    def host(self) -> str:
        return f"c{self.number}.case.test"

    @property
    def url(self) -> str:
        if self.way == "direct":
            return f"http://{self.spelling}/{self.number}"
        if self.way in {"redirect", "dns and redirect"}:
            return f"http://sound.test/{self.number}"
        return f"http://{self.host}/{self.number}"

    @property
    def location(self) -> str:
        """Where the sound host redirects to."""
        place = self.host if self.way == "dns and redirect" else self.spelling
        user = "someone:secret@" if self.number % 3 == 0 else ""
        return f"{'https' if self.number % 5 == 0 else 'http'}://{user}{place}/x"

    def answers(self, asked: int, sound: str) -> Sequence[str]:
        """What the name server says of this case's host, the n-th time."""
        if self.way == "mixed answers":
            return (self.address, sound) if self.number % 2 else (sound, self.address)
        if self.way == "flip-flop":
            return (sound,) if (asked + self.number // len(WAYS)) % 2 else (self.address,)
        return (self.address,)

    @property
    def wanted(self) -> frozenset[str]:
        """The outcomes that are right."""
        if self.way == "mixed answers":
            return frozenset({"fetched", "blocked_address"})
        if self.way == "flip-flop":  # the system's resolver drops some answers that are link-local
            return frozenset({"fetched", "blocked_address", "dns"})
        return frozenset({"blocked_address"})


def cases(count: int, seed: int) -> Iterator[Case]:
    """First every block, wrapping, spelling and way, then as many by chance as are missing; `count` 0: the first part."""
    chance, number = random.Random(seed), 0
    for address, spelling in _exhaustive(chance):
        for way in WAYS:
            if count and number >= count:
                return
            yield Case(number, way, address, spelling)
            number += 1
    while number < count:
        drawn = _drawn(chance)
        yield Case(number, chance.choice(WAYS), str(drawn), chance.choice(_spelled(drawn)))
        number += 1


def some(count: int, seed: int) -> list[Case]:
    """A few hundred of the first part, spread over it."""
    whole = list(cases(0, seed))
    return random.Random(seed).sample(whole, count)


def _exhaustive(chance: random.Random) -> Iterator[tuple[str, str]]:
    for block in SPECIAL_4:
        for inner in samples(block, chance):
            assert isinstance(inner, IPv4Address)
            hidden: list[Address] = [inner, *wrapped(inner)]
            for address in hidden:
                yield from ((str(address), spelling) for spelling in _spelled(address))
    for block in SPECIAL_6:
        for outer in samples(block, chance, 3):
            yield from ((str(outer), spelling) for spelling in _spelled(outer))


def _spelled(address: Address) -> list[str]:
    return spelled_4(address) if isinstance(address, IPv4Address) else spelled_6(address)


def _drawn(chance: random.Random) -> Address:
    if chance.random() < 0.6:
        inner = chance.choice(samples(chance.choice(SPECIAL_4), chance))
        assert isinstance(inner, IPv4Address)
        hidden: list[Address] = [inner, *wrapped(inner)]
        return chance.choice(hidden)
    return chance.choice(samples(chance.choice(SPECIAL_6), chance))

"""Which network addresses may be connected to: our own list, since those of libraries have gaps.

In it: one pure function over an address as text, as a socket gives it. Not in it: names, sockets, any look-up.
Rules: IPv6 is an allow-list (2000::/3, less the blocks that are no part of the public net), so that what nobody thought
of is refused; an IPv4 address inside an IPv6 address is unwrapped and judged too; what cannot be read is refused.
Sources: IANA's registries of special-purpose addresses (RFC 6890 and its updates), and threats, findings 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NO_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host on this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # shared by carriers (RFC 6598); one cloud keeps its metadata here
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # one cloud's own services, seen from its machines
            "169.254.0.0/16",  # link-local (RFC 3927); most clouds keep their metadata here
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.31.196.0/24",  # AS112 (RFC 7535)
            "192.52.193.0/24",  # multicast tunnels (RFC 7450)
            "192.88.99.0/24",  # relays of 6to4, given up (RFC 7526)
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112 (RFC 7534)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and the broadcast address
        ),
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_NO_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID and others (RFC 2928)
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4, given up (RFC 7526): what it leads to is an IPv4 address
            "2620:4f:8000::/48",  # AS112 (RFC 7534)
            "3ffe::/16",  # the 6bone, given back (RFC 3701)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
#: Blocks whose last 32 bits are an IPv4 address that is really connected to: it alone decides.
_MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4-mapped: the system connects by IPv4 (RFC 4291)
_NAT64 = IPv6Network("64:ff9b::/96")  # how machines with IPv6 alone reach IPv4 (RFC 6052)

_LAST_32 = (1 << 32) - 1
#: An interface that says that IPv4 is wrapped in it (ISATAP, RFC 5214), with and without its universal bit.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


@lru_cache(maxsize=65_536)
def is_public(text: str) -> bool:
    """Whether an address, as a socket gives it, lies on the public net. What is no address does not."""
    try:
        address = ip_address(text)  # 127.1, 0x7f.1 and their like are no addresses to it
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_4(address)
    if address.scope_id is not None:
        return False
    return _is_public_6(address)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in block for block in _NO_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address in _MAPPED or address in _NAT64:
        return _is_public_4(IPv4Address(int(address) & _LAST_32))
    if address not in _PUBLIC_6 or any(address in block for block in _NO_PUBLIC_6):
        return False
    return all(_is_public_4(inner) for inner in _wrapped(address))


def _wrapped(address: IPv6Address) -> Iterator[IPv4Address]:
    """IPv4 addresses that a public-looking one may lead to."""
    number = int(address)
    if (number >> 32) & _LAST_32 in _ISATAP:
        yield IPv4Address(number & _LAST_32)

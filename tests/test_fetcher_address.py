"""Which addresses may be connected to: the product's list against the registries', and what a socket is asked for."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import addresses
from tests.campaign_addresses import campaign
from tests.networks import needs_network
from tests.tools import needed
from vetset.fetcher.address import is_public

#: What libraries let through (threats, findings 1 and 2), and what they take for no address while a resolver does not.
FINDINGS = (
    "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::", "::10.0.0.1", "fec0::1", "192.88.99.1", "224.0.0.1", "ff02::1",
    "::127.0.0.1", "::ffff:0:a00:1", "3fff::1", "5f00::1", "::ffff:127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433",
    "①②⑦.⓪.⓪.①", "", "localhost", "11.0.0.1.", " 11.0.0.1", "fe80::1%lo", "2a00:11::1%lo", "1.1.1.1/32",
)  # fmt: skip
PUBLIC = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "172.15.255.255", "172.32.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1",
    "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:11::1", "2620:4f:7fff::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    "2a00::5efe:808:808",
)  # fmt: skip


@pytest.mark.parametrize("text", FINDINGS)
def test_what_libraries_let_through_is_refused(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_is_not_refused(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize("block", [*addresses.SPECIAL_4, *addresses.SPECIAL_6])
def test_no_address_of_a_special_block_is_public(block: str) -> None:
    for address in addresses.samples(block, random.Random(block), 50):
        assert not is_public(str(address))
        if isinstance(address, IPv4Address):
            assert not any(is_public(str(outer)) for outer in addresses.wrapped(address))


@pytest.mark.parametrize("block", [*addresses.SPECIAL_4, *addresses.SPECIAL_6])
def test_the_edges_of_a_block_are_its_own(block: str) -> None:
    """Just outside a block another block begins, or the public net: whichever it is, the registries decide."""
    net = ip_network(block)
    kind = type(net.network_address)
    others = [ip_network(other) for other in (*addresses.SPECIAL_4, *addresses.SPECIAL_6)]
    for number in (int(net.network_address) - 1, int(net.broadcast_address) + 1):
        if not 0 <= number <= int(kind("255.255.255.255") if kind is IPv4Address else IPv6Address("ffff::")):
            continue
        address = kind(number)
        special = any(other.version == address.version and address in other for other in others)
        reserved = isinstance(address, IPv6Address) and address not in ip_network("2000::/3")
        if not reserved:
            assert is_public(str(address)) is not special, address


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_the_standard_library_refuses(address: IPv4Address | IPv6Address) -> None:
    if is_public(str(address)):
        inner = getattr(address, "ipv4_mapped", None) or address
        assert inner.is_global
        assert not inner.is_multicast


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_what_it_maps(address: IPv4Address) -> None:
    assert is_public(f"::ffff:{address}") is is_public(str(address))
    assert is_public(f"64:ff9b::{address}") is is_public(str(address))


def test_the_cases_hold_every_block_spelling_and_way() -> None:
    whole = list(addresses.cases(0, 1))
    assert len(whole) > 10_000
    assert {case.way for case in whole} == set(addresses.WAYS)
    for block in (*addresses.SPECIAL_4, *addresses.SPECIAL_6):
        net = ip_network(block)
        assert any(ip_address(case.address) in net for case in whole if ip_address(case.address).version == net.version)


@pytest.mark.parametrize("robots", [False, True])
def test_no_address_that_is_not_public_is_ever_connected_to(robots: bool, tmp_path: Path) -> None:
    """A few hundred of the campaign's cases; judged by what strace saw."""
    needed("strace")
    needs_network(tmp_path / "possible")
    found = campaign(addresses.some(300, 4 + robots), tmp_path, seed=1, robots=robots)
    assert found.foreign == []
    assert found.wrong == []
    assert found.to_loopback == 0
    assert found.connects.total() > 50  # the sound host was reached: strace saw what it is to see

"""P10: nothing but a public address, and never this machine's own, is in reach of a command."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import psutil
import pytest

from phasegate.infra.sandbox.addresses import own_addresses, reachable_address

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::6810:85e5", "2a00:1450:4001:830::200e", "2001:4860:4860::8888"]
PRIVATE = [
    "10.20.30.40",
    "172.16.5.5",
    "172.31.255.254",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.254",
    "192.0.2.9",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.1",
    "fc00::1",
    "fdff:1234::1",
    "2001:db8::5",
    "3fff:fff::1",
]
NEVER = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.0.5",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.9",
    "192.0.0.192",
    "192.88.99.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::93.184.216.34",
    "::ffff:10.1.1.1",
    "::ffff:93.184.216.34",
    "::ffff:0:192.168.0.1",
    "64:ff9b::a00:1",
    "64:ff9b::5db8:d822",
    "64:ff9b:1::a00:1",
    "64:ff9b:1:fffe::c0a8:1",
    "100::1",
    "2001::5ef5:79fb:0:59d:a247:fe01",
    "2001:0:a00:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2002:7f00:1::1",
    "2002:5db8:d822::1",
    "2a00:1450::5efe:10.0.0.1",
    "2a00:1450::200:5efe:127.0.0.1",
    "2a00:1450:0:1:300:5efe:a00:1",
    "fd00:1::5efe:10.0.0.1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%1",
    "febf::1",
    "fec0::2",
    "feff:ffff::1",
    "ff02::1",
    "ff0e::1",
    "5f00::1",
    "4000::1",
    "127.1",
    "010.0.0.1",
    "0x7f.0.0.1",
    "2130706433",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reachable_as_it_was_checked(address: str) -> None:
    assert reachable_address(address) == address
    assert reachable_address(address, private=True) == address


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_reachable_only_where_policy_names_its_host(address: str) -> None:
    """Mutation tried: `_PRIVATE` empty."""
    assert reachable_address(address) is None
    assert reachable_address(address, private=True) == address


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", NEVER)
def test_an_address_of_the_machine_its_link_or_a_translator_is_never_reachable(address: str, private: bool) -> None:
    """Mutations tried: each network of `_NEVER`, `_UNICAST`, `_carries_ipv4` and the zone left out."""
    assert reachable_address(address, private=private) is None


@pytest.mark.parametrize("own", ["93.184.216.34", "2606:4700::1", "10.9.9.9"])
def test_an_address_of_an_interface_is_never_reachable(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation tried: `own_addresses` empty."""
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    entries = {
        "eth7": [
            SimpleNamespace(family=family, address=own),
            SimpleNamespace(family=socket.AF_INET6, address="fe80::1%eth7"),
            SimpleNamespace(family=psutil.AF_LINK, address="02:00:00:00:00:01"),
        ]
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: entries)
    assert reachable_address(own, private=True) is None
    assert reachable_address("8.8.8.8") == "8.8.8.8"


def test_own_addresses_are_those_of_this_machine() -> None:
    assert "127.0.0.1" in {str(address) for address in own_addresses()}

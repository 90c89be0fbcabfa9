"""Addresses that a sandbox's proxy connects to: public ones, and private ones of hosts that policy names with a port.

Called by the proxy for every address of a name. It must not know names, policy or HTTP.
Source: IANA's registries of special-purpose addresses (RFC 6890), and the documents named below.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import psutil

_Address = IPv4Address | IPv6Address

_UNICAST = tuple(map(ip_network, ("0.0.0.0/0", "2000::/3", "fc00::/7")))
"""Of IPv6, global and unique local unicast: all else is loopback, link-local, site-local, mapped, compatible, NAT64."""
_NEVER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network: some systems take it for loopback
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and the metadata services of most clouds
            "192.0.0.0/24",  # protocol assignments, and a cloud's metadata service
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "100.100.100.200/32",  # metadata service
            "168.63.129.16/32",  # metadata service
            "2001::/23",  # protocol assignments: Teredo (RFC 4380), benchmarking, ORCHID
            "2002::/16",  # 6to4 (RFC 3056)
            "fd00:ec2::/32",  # metadata service
            "fd20:ce::/32",  # metadata service
        ),
    )
)
"""Out of reach for everybody: this machine, its link, metadata services, and what is translated to IPv4."""
_PRIVATE = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by a provider's customers (RFC 6598)
            "172.16.0.0/12",
            "192.0.2.0/24",  # documentation, as the three below
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001:db8::/32",
            "3fff::/20",
            "fc00::/7",
        ),
    )
)
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFCFFFFFF
"""Bits 64 to 95 of an address that carries an IPv4 address in its interface identifier, and those that count."""


def reachable_address(address: str, *, private: bool = False) -> str | None:
    """The form in which an address may be connected to.

    Args:
        address: As a resolver returns it.
        private: True if it may be one of a private network.

    Returns:
        The address as it was checked; `None` if nobody may connect to it.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address) and (ip.scope_id is not None or _carries_ipv4(ip)):
        return None
    if not _is_in(ip, _UNICAST) or _is_in(ip, _NEVER) or (not private and _is_in(ip, _PRIVATE)):
        return None
    return None if ip in own_addresses() else str(ip)


def own_addresses() -> frozenset[_Address]:
    """The addresses of this machine's interfaces: a service that listens on all of them is in reach there."""
    return frozenset(
        ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family.name in {"AF_INET", "AF_INET6"}
    )


def _carries_ipv4(ip: IPv6Address) -> bool:
    return (int(ip) >> 32) & _ISATAP_MASK == _ISATAP


def _is_in(ip: _Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(ip in network for network in networks)

"""Destination of a request to the sandbox's proxy, and the hosts that a command may name there.

Called by the proxy with requests that h11 has parsed. A destination has one reading, or the request is malformed: a
server behind the proxy cannot read another host, path or length in it. Source: RFC 9110, RFC 9112, RFC 3986.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import h11

_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_AUTHORITY = re.compile(rb"(?i)(?P<host>%b(?:\.%b)*)(?::(?P<port>[1-9][0-9]{0,4}))?" % (_LABEL, _LABEL))
_TARGET = re.compile(rb"(?i)http://(?P<authority>[^/?#]*)(?P<path>(?:[/?][!$-\[\]-~]*)?)")
"""Absolute form. Path and query are any visible ASCII but quotes, fragments and backslashes."""
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_VERSIONS = (b"1.0", b"1.1")
_STANDARD_PORTS = (80, 443)
_HIGHEST_PORT = 65535
_LONGEST_NAME = 253
_SHOWN = 80


class RefusedRequest(Exception):
    """The request goes nowhere; the message says why."""

    status = "403 Forbidden"


class MalformedRequest(RefusedRequest):
    """The request is none that has one reading."""

    status = "400 Bad Request"


@dataclass(frozen=True)
class Destination:
    """Host and port that a request names, and the rest of its target.

    Attributes:
        host: In small letters.
        port: From 1 to 65535.
        path: Path and query; an empty string for a tunnel.
    """

    host: str
    port: int
    path: str

    @property
    def is_tunnel(self) -> bool:
        """True if the request is CONNECT."""
        return not self.path

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        return self.host if self.port == 80 else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, request: h11.Request) -> Destination:
        """Read a request's destination.

        Raises:
            MalformedRequest: The request has no destination, or more than one reading.
            RefusedRequest: It names an address.
        """
        headers = dict(request.headers)
        if request.http_version not in _VERSIONS:
            raise MalformedRequest("not a request of HTTP/1")
        if b"transfer-encoding" in headers and (b"content-length" in headers or request.http_version == b"1.0"):
            raise MalformedRequest("the request has no clear length: Transfer-Encoding stands beside another rule")
        tunnel = request.method == b"CONNECT"
        authority, path = (request.target, b"") if tunnel else _parts(request.target)
        host, port = _host_and_port(authority)
        if tunnel and (b"transfer-encoding" in headers or int(headers.get(b"content-length", b"0"))):
            raise MalformedRequest("CONNECT has no body")
        if port is None and tunnel:
            raise MalformedRequest("CONNECT needs a port")
        port = port or _STANDARD_PORTS[0]
        if b"host" in headers:
            named, named_port = _host_and_port(headers[b"host"])
            if named != host or (named_port or (port if tunnel else _STANDARD_PORTS[0])) != port:
                raise MalformedRequest(f"the Host header names another host than {host}:{port}")
        return cls(host, port, path.decode("ascii"))


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts that a command may reach.

    Attributes:
        patterns: `example.org`, `*.example.org`, `example.org:8443`; without a port: 80 and 443.
        any_public: True if every host at public addresses is allowed, too.
    """

    patterns: Sequence[str]
    any_public: bool = False

    def allow(self, destination: Destination) -> bool:
        """True if a command may reach the host at this port."""
        return self.any_public or any(_fits(pattern, destination) for pattern in self.patterns)

    def allow_private(self, destination: Destination) -> bool:
        """True if the host may have a private address: policy names this very host and port, for setup."""
        return self.any_public and f"{destination.host}:{destination.port}" in self.patterns


def _parts(target: bytes) -> tuple[bytes, bytes]:
    """Authority and path of a target in absolute form."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise MalformedRequest("not a proxy request")
    return match["authority"], b"/" + match["path"].removeprefix(b"/")


def _host_and_port(authority: bytes) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    shown = authority.rpartition(b"@")[2].decode("ascii", "replace")[:_SHOWN] or "nothing"  # without a login
    if authority.startswith(b"["):
        raise RefusedRequest(f"{shown} is not a host's name: addresses are not let through")
    if match is None or len(match["host"]) > _LONGEST_NAME:
        raise MalformedRequest(f"{shown} is not a host's name, or has no valid port")
    host, port = match["host"].decode("ascii").lower(), int(match["port"]) if match["port"] else None
    if port and port > _HIGHEST_PORT:
        raise MalformedRequest(f"{shown} has no valid port")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):  # 127.1, 0x7f000001 and 2130706433 are such, too
        raise RefusedRequest(f"{host[:_SHOWN]} is not a host's name: addresses are not let through")
    return host, port


def _fits(pattern: str, destination: Destination) -> bool:
    name, _, own_port = pattern.partition(":")
    if destination.port not in ((int(own_port),) if own_port else _STANDARD_PORTS):
        return False
    return destination.host.endswith(name[1:]) if name.startswith("*.") else destination.host == name

"""P10: the proxy sends on one checked request a connection, written anew; it refuses what has two readings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.integration.sandbox.conftest import Opened

URL = b"http://allowed.example.org/p?q=1"
HOST = b"Host: allowed.example.org\r\n"


def get(target: bytes = URL, headers: bytes = HOST, version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + headers + b"\r\n"


def bare(target: bytes) -> bytes:
    """A request without Host, which another rule could refuse."""
    return get(target, headers=b"", version=b"HTTP/1.0")


def post(headers: bytes, body: bytes, first: bytes = HOST) -> bytes:
    return b"POST " + URL + b" HTTP/1.1\r\n" + first + headers + b"\r\n" + body


def connect(target: bytes, headers: bytes = b"", version: bytes = b"HTTP/1.0") -> bytes:
    return b"CONNECT " + target + b" " + version + b"\r\n" + headers + b"\r\n"


@dataclass(frozen=True)
class Bad:
    """A request that goes nowhere."""

    why: str
    request: bytes
    status: int = 400


SECOND = b"GET http://allowed.example.org/second HTTP/1.1\r\nHost: allowed.example.org\r\n\r\n"
MALFORMED = [
    Bad("bare line feed after the request line", b"GET " + URL + b" HTTP/1.1\n" + HOST + b"\r\n"),
    Bad("bare line feed in a value", get(headers=HOST + b"Accept: x\nX-Smuggled: y\r\n")),
    Bad("bare line feeds alone", b"GET " + URL + b" HTTP/1.1\nHost: allowed.example.org\n\n"),
    Bad("bare line feed before the end", b"GET " + URL + b" HTTP/1.1\r\n" + HOST + b"\n"),
    Bad("bare carriage return in a value", get(headers=HOST + b"Accept: x\rHost: other.example.org\r\n")),
    Bad("carriage return doubled", get(headers=HOST + b"Accept: x\r\r\n")),
    Bad("null in a value", get(headers=HOST + b"Accept: x\0y\r\n")),
    Bad("vertical tab in a value", get(headers=HOST + b"Accept: x\x0by\r\n")),
    Bad("delete in a value", get(headers=HOST + b"Accept: x\x7fy\r\n")),
    Bad("a second Host that is equal", get(headers=HOST + HOST)),
    Bad("a second Host in other letters", get(headers=HOST + b"hOST: sub.wild.example.org\r\n")),
    Bad("no Host", get(headers=b"Accept: */*\r\n")),
    Bad("an empty Host", get(headers=b"Host:\r\n")),
    Bad("Host of another port", get(headers=b"Host: allowed.example.org:8443\r\n")),
    Bad("Host of another name", get(headers=b"Host: sub.wild.example.org\r\n")),
    Bad("Host with two names", get(headers=b"Host: allowed.example.org, sub.wild.example.org\r\n")),
    Bad("Host with a login", get(headers=b"Host: u@allowed.example.org\r\n")),
    Bad("Host of the tunnel is another", connect(b"allowed.example.org:443", b"Host: sub.wild.example.org:443\r\n")),
    Bad("space before the colon", get(headers=HOST + b"Accept : */*\r\n")),
    Bad("tab before the colon", get(headers=b"Host\t: allowed.example.org\r\n")),
    Bad("space before the name", b"GET " + URL + b" HTTP/1.1\r\n Host: allowed.example.org\r\n\r\n"),
    Bad("line folded with a space", get(headers=HOST + b"Accept: a,\r\n b\r\n")),
    Bad("line folded with a tab", get(headers=HOST + b"Accept:\r\n\tHost: other.example.org\r\n")),
    Bad("no name before the colon", get(headers=HOST + b": x\r\n")),
    Bad("no colon", get(headers=HOST + b"Accept\r\n")),
    Bad("name in brackets", get(headers=HOST + b"X[0]: y\r\n")),
    Bad("length and chunks", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SECOND)),
    Bad("chunks and length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 90\r\n", b"0\r\n\r\n" + SECOND)),
    Bad("two lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!")),
    Bad("two lengths in one", post(b"Content-Length: 5, 6\r\n", b"hello!")),
    Bad("length with a sign", post(b"Content-Length: +5\r\n", b"hello")),
    Bad("length below zero", post(b"Content-Length: -1\r\n", b"")),
    Bad("length in hex", post(b"Content-Length: 0x5\r\n", b"hello")),
    Bad("length of 5000 digits", post(b"Content-Length: " + b"9" * 5000 + b"\r\n", b"hello")),
    Bad("chunked with another coding", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    Bad("chunked twice", post(b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n")),
    Bad("a coding that only looks like chunked", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n")),
    Bad("chunked with a vertical tab", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    Bad(
        "chunks in HTTP/1.0",
        b"POST " + URL + b" HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Bad("chunk with a size that is none", post(b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + SECOND)),
    Bad("chunk longer than its size", post(b"Transfer-Encoding: chunked\r\n", b"2\r\nhello\r\n0\r\n\r\n")),
    Bad("chunk ended by a bare line feed", post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\n0\r\n\r\n")),
    Bad("HTTP/0.9", b"GET http://allowed.example.org/\r\n\r\n"),
    Bad("HTTP/2.0", get(version=b"HTTP/2.0")),
    Bad("HTTP/1.2", get(version=b"HTTP/1.2")),
    Bad("HTTP/11", get(version=b"HTTP/11")),
    Bad("version in small letters", get(version=b"http/1.1")),
    Bad("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Bad("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    Bad("nothing but an empty line", b"\r\n\r\n"),
    Bad("an empty line first", b"\r\n" + get()),
    Bad("two spaces", b"GET  " + URL + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    Bad("a tab for a space", b"GET\t" + URL + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    Bad("a space in the target", get(b"http://allowed.example.org/a b")),
    Bad("a tab in the target", get(b"http://allowed.example.org\t/")),
    Bad("method that is no token", b"G@T " + URL + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    Bad("origin form", get(b"/p")),
    Bad("asterisk form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    Bad("https without a tunnel", bare(b"https://allowed.example.org/")),
    Bad("no scheme", bare(b"//allowed.example.org/")),
    Bad("another scheme", bare(b"ftp://allowed.example.org/")),
    Bad("one slash", bare(b"http:/allowed.example.org/")),
    Bad("three slashes", bare(b"http:///allowed.example.org/")),
    Bad("login", bare(b"http://sub.wild.example.org@allowed.example.org/")),
    Bad("login with a password", bare(b"http://user:secret@allowed.example.org/")),
    Bad("backslash before the path", bare(b"http://allowed.example.org\\.evil.example.org/")),
    Bad("backslash in the path", bare(b"http://allowed.example.org/a\\..\\b")),
    Bad("backslashes for slashes", bare(b"http:\\\\allowed.example.org/")),
    Bad("fragment", bare(b"http://allowed.example.org/#a")),
    Bad("fragment with a login", bare(b"http://allowed.example.org#@evil.example.org/")),
    Bad("percent in the host", bare(b"http://allowed%2eexample.org/")),
    Bad("percent-encoded slash in the host", bare(b"http://allowed.example.org%2f.evil.example.org/")),
    Bad("percent-encoded null in the host", bare(b"http://allowed.example.org%00/")),
    Bad("host beyond ASCII", bare("http://allowed.example.org。/".encode())),
    Bad("letters that fold to ASCII", bare("http://ＡＬＬＯＷＥＤ.example.org/".encode())),
    Bad("a dot at the end", bare(b"http://allowed.example.org./")),
    Bad("two dots at the end", bare(b"http://allowed.example.org../")),
    Bad("two dots inside", bare(b"http://allowed..example.org/")),
    Bad("a dot at the start", bare(b"http://.wild.example.org/")),
    Bad("a hyphen at the start", bare(b"http://-x.wild.example.org/")),
    Bad("a label of 64", bare(b"http://" + b"a" * 64 + b".wild.example.org/")),
    Bad("a name of 300", bare(b"http://" + b"a." * 150 + b"wild.example.org/")),
    Bad("two hosts", bare(b"http://allowed.example.org,evil.example.org/")),
    Bad("semicolon", bare(b"http://allowed.example.org;evil.example.org/")),
    Bad("empty host", bare(b"http:///p")),
    Bad("port alone", bare(b"http://:80/")),
    Bad("port 0", bare(b"http://allowed.example.org:0/")),
    Bad("empty port", bare(b"http://allowed.example.org:/")),
    Bad("port 65536", bare(b"http://allowed.example.org:65536/")),
    Bad("port 65616, which is 80 in 16 bits", bare(b"http://allowed.example.org:65616/")),
    Bad("port with a zero first", bare(b"http://allowed.example.org:080/")),
    Bad("port with a sign", bare(b"http://allowed.example.org:+80/")),
    Bad("two ports", bare(b"http://allowed.example.org:80:80/")),
    Bad("tunnel without a port", connect(b"allowed.example.org")),
    Bad("tunnel with an empty port", connect(b"allowed.example.org:")),
    Bad("tunnel to port 0", connect(b"sub.wild.example.org:0")),
    Bad("tunnel to port 00443", connect(b"allowed.example.org:00443")),
    Bad("tunnel to port 65979", connect(b"allowed.example.org:65979")),
    Bad("tunnel with a path", connect(b"allowed.example.org:443/")),
    Bad("tunnel with a query", connect(b"allowed.example.org:443?x")),
    Bad("tunnel with a scheme", connect(b"https://allowed.example.org:443")),
    Bad("tunnel with a login", connect(b"u@allowed.example.org:443")),
    Bad("tunnel with a body", connect(b"allowed.example.org:443", b"Content-Length: 5\r\n") + b"hello"),
    Bad(
        "tunnel with chunks", connect(b"allowed.example.org:443", HOST + b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1")
    ),
    Bad("tunnel in small letters", b"connect allowed.example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    Bad("a head of more than 64 KiB", get(headers=HOST + b"X: " + b"x" * 65_536 + b"\r\n")),
    Bad("many headers of more than 64 KiB", get(headers=HOST + b"".join(b"X%d: y\r\n" % n for n in range(9_000)))),
    Bad("a head without an end", b"GET " + URL + b" HTTP/1.1\r\nX: " + b"x" * 200_000),
    Bad("another host", get(b"http://evil.example.org/", b"Host: evil.example.org\r\n"), 403),
    Bad(
        "a name that ends as an allowed one",
        get(b"http://xallowed.example.org/", b"Host: xallowed.example.org\r\n"),
        403,
    ),
    Bad("a wildcard's own name", get(b"http://wild.example.org/", b"Host: wild.example.org\r\n"), 403),
    Bad("another port", get(b"http://allowed.example.org:8080/", b"Host: allowed.example.org:8080\r\n"), 403),
    Bad("tunnel to another port", connect(b"allowed.example.org:22"), 403),
    Bad("address in brackets", get(b"http://[::ffff:7f00:1]/", b"Host: [::ffff:7f00:1]\r\n"), 403),
    Bad("address as one number", get(b"http://3232235777/", b"Host: 3232235777\r\n"), 403),
    Bad("address in octal", get(b"http://0300.0250.1.1/", b"Host: 0300.0250.1.1\r\n"), 403),
    Bad("tunnel to an address", connect(b"169.254.169.254:80"), 403),
    Bad("tunnel to an address in brackets", connect(b"[::1]:443"), 403),
]


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.why)
async def test_a_request_with_two_readings_goes_nowhere(case: Bad, opened: Opened) -> None:
    """Mutations tried: `_FORBIDDEN` without line feeds, folds, control characters; the Host header not compared, or its
    port; a dot at a host's end; any digits for a port; Transfer-Encoding beside Content-Length, or in HTTP/1.0; any
    version; backslashes and fragments in paths; a tunnel with a body, without a port; numbers for names.
    """
    async with opened() as harness:
        answer = await harness.send(case.request)
        assert answer.startswith(b"HTTP/1.1 %d " % case.status), answer
        assert b"\r\nConnection: close\r\n" in answer
        assert harness.upstream.heads == []
        assert len(harness.proxy.refused) == 1
        assert "secret" not in str(harness.proxy.refused)


@dataclass(frozen=True)
class Sent:
    """A request, and what the server gets in its place."""

    why: str
    request: bytes
    head: list[str]
    body: bytes = b""


GET = ["GET /p?q=1 HTTP/1.1", "Host: allowed.example.org"]
POST = ["POST /p?q=1 HTTP/1.1", "Host: allowed.example.org"]
REWRITTEN = [
    Sent("as it is", get(), GET),
    Sent("other letters", get(b"HTTP://Allowed.EXAMPLE.org/p?q=1", b"HOST: ALLOWED.example.org\r\n"), GET),
    Sent("the standard port", get(b"http://allowed.example.org:80/p?q=1"), GET),
    Sent("Host with the standard port", get(headers=b"Host: allowed.example.org:80\r\n"), GET),
    Sent("HTTP/1.0 without Host", get(headers=b"", version=b"HTTP/1.0"), GET),
    Sent(
        "another port",
        get(b"http://allowed.example.org:8443/", b"Host: allowed.example.org:8443\r\n"),
        ["GET / HTTP/1.1", "Host: allowed.example.org:8443"],
    ),
    Sent("no path", get(b"http://allowed.example.org"), ["GET / HTTP/1.1", "Host: allowed.example.org"]),
    Sent("a query alone", get(b"http://allowed.example.org?x=@y:1"), ["GET /?x=@y:1 HTTP/1.1", GET[1]]),
    Sent("an at sign in the path", get(b"http://allowed.example.org/@a/b%2fc"), ["GET /@a/b%2fc HTTP/1.1", GET[1]]),
    Sent("other headers", get(headers=HOST + b"Accept: */*\r\nX-A:\t b \r\n"), [*GET, "accept: */*", "x-a: b"]),
    Sent(
        "headers for one connection",
        get(
            headers=HOST + b"Connection: Upgrade, X-Hop\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Hop: 1\r\n"
            b"Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        ),
        GET,
    ),
    Sent("an upgrade that Connection does not name", get(headers=HOST + b"Upgrade: websocket\r\n"), GET),
    Sent("a second request behind it", get() + SECOND, GET),
    Sent(
        "a second request behind its body",
        post(b"Content-Length: 5\r\n", b"hello" + SECOND),
        [*POST, "content-length: 5"],
        b"hello",
    ),
    Sent(
        "a second request as its body",
        post(b"Content-Length: %d\r\n" % len(SECOND), SECOND),
        [*POST, f"content-length: {len(SECOND)}"],
        SECOND,
    ),
    Sent("a second request where no body is", post(b"", SECOND), POST),
    Sent("a second request behind no body", post(b"Content-Length: 0\r\n", SECOND), [*POST, "content-length: 0"]),
    Sent("one length twice", post(b"Content-Length: 5\r\n" * 2, b"hello"), [*POST, "content-length: 5"], b"hello"),
    Sent(
        "chunks with extensions, a trailer and a second request",
        post(b"Transfer-Encoding: CHUNKED\r\n", b'3;a="b"\r\nhel\r\n02\r\nlo\r\n0\r\nHost: x\r\n\r\n' + SECOND),
        [*POST, "transfer-encoding: chunked"],
        b"3\r\nhel\r\n2\r\nlo\r\n",
    ),
    Sent(
        "a body that waits to be asked for",
        post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"hello"),
        [*POST, "content-length: 5"],
        b"hello",
    ),
]


@pytest.mark.parametrize("case", REWRITTEN, ids=lambda case: case.why)
async def test_the_server_gets_one_request_that_was_written_anew(case: Sent, opened: Opened) -> None:
    """Mutations tried: bytes behind the head sent on; headers of `_ONE_HOP` and `Connection` left in; Host copied."""
    async with opened() as harness:
        answer = await harness.send(case.request)
        assert answer.endswith(b"hello"), answer
        ((head, body),) = harness.upstream.requests
        lines = head.split("\n")
        assert ([lines[0], *(name_in_small(line) for line in lines[1:])], body) == (
            [case.head[0], *(name_in_small(line) for line in [*case.head[1:], "Connection: close"])],
            case.body,
        )
        assert harness.proxy.refused == {}


def name_in_small(line: str) -> str:
    name, _, value = line.partition(":")
    return f"{name.lower()}:{value}"


@pytest.mark.parametrize("cuts", [1, 3])
async def test_a_head_in_pieces_is_the_same_head(cuts: int, opened: Opened) -> None:
    """Mutation tried: each piece looked at by itself, by which its line ends are bare."""
    async with opened() as harness:
        for request, expected in ((get(), b"200"), (MALFORMED[1].request, b"400")):
            reader, writer = await asyncio.open_unix_connection(harness.path)
            for start in range(0, len(request), cuts):
                writer.write(request[start : start + cuts])
                await asyncio.sleep(0)
            assert (await asyncio.wait_for(reader.read(), 30)).split(b" ")[1] == expected
            writer.close()


async def test_a_tunnel_passes_bytes_both_ways_and_nothing_of_its_head(opened: Opened) -> None:
    """Mutation tried: the head sent on, too."""
    async with opened() as harness:
        for version, headers in ((b"HTTP/1.0", b""), (b"HTTP/1.1", b"Host: allowed.example.org\r\n")):
            inner = b"GET /in HTTP/1.1\r\nHost: allowed.example.org\r\n\r\n"
            answer = await harness.send(connect(b"Allowed.example.org:443", headers, version) + inner, ended=True)
            assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
            assert bytes(harness.upstream.received[-1]) == inner
            assert harness.dialer.dialed[-1] == ("93.184.216.34", 443)


@dataclass(frozen=True)
class Answered:
    """An answer of a server, and what the client gets."""

    why: str
    answer: bytes
    got: bytes
    request: bytes = get()


ANSWERS = [
    Answered(
        "chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n"
    ),
    Answered(
        "chunks for HTTP/1.0",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"\r\n\r\nhi",
        get(version=b"HTTP/1.0"),
    ),
    Answered("no content", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    Answered(
        "head alone",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        b"content-length: 7\r\nconnection: close\r\n\r\n",
        b"HEAD" + get()[3:],
    ),
    Answered(
        "early hints", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"\r\n\r\nhi"
    ),
    Answered(
        "a second answer", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\nno", b"\r\n\r\nhi"
    ),
    Answered(
        "an upgrade nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhi", b"502 Bad Gateway"
    ),
    Answered("no HTTP", b"SSH-2.0-x\r\n\r\n", b"502 Bad Gateway"),
]


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.why)
async def test_an_answer_is_written_anew(case: Answered, opened: Opened) -> None:
    async with opened() as harness:
        harness.upstream.answer = case.answer
        answer = await harness.send(case.request)
        assert case.got.lower() in answer.lower()
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert b"no" not in answer.partition(b"\r\n\r\n")[2] or b"phasegate:" in answer

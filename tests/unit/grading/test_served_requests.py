"""Requests are read from records and from the text of tests, and answers compared without what chance decides."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pytest

from phasegate.infra.grading.served.comparison import apart, differs, said
from phasegate.infra.grading.served.exchanges import (
    Conversation,
    RecordedExchanges,
    ServedAnswer,
    ServedRequest,
    bounded,
    conversations,
)
from phasegate.infra.grading.served.literals import read_requests


def line(**other: object) -> str:
    told = {
        "test": "tests/test_a.py::test_a",
        "file": "tests/test_a.py",
        "method": "get",
        "path": "/a?b=1",
        "headers": [["Accept", "*/*"], ["Host", "localhost"]],
        "body": "",
        "status": 200,
        "answered": [["Content-Type", "text/plain"]],
        "answer": base64.b64encode(b"yes").decode(),
    }
    return json.dumps(told | other)


def test_a_record_is_read() -> None:
    exchanges = RecordedExchanges()
    exchanges.add(line(), "p1")
    (talk,) = conversations(exchanges, {"tests/test_a.py": ("AC1",)}, {})
    answer = ServedAnswer(200, (("content-type", "text/plain"),), b"yes")
    request = ServedRequest("GET", "/a?b=1", (("accept", "*/*"),), b"", answer)
    assert talk == Conversation("tests/test_a.py", (request,), ("AC1",), is_sealed=True)


@pytest.mark.parametrize(
    "bad",
    [
        "no JSON",
        "[]",
        line(path="a"),
        line(path="/a b"),
        line(path="/" + "a" * 3000),
        line(method="GET /x"),
        line(status="many"),
        line(headers=[["Upgrade", "websocket"]]),
        line(headers=[{}]),
    ],
)
def test_a_record_that_is_none_is_left_out(bad: str) -> None:
    exchanges = RecordedExchanges()
    exchanges.add(bad, "p1")
    assert exchanges.by_test == {}


def test_a_header_that_would_break_a_line_is_left_out() -> None:
    exchanges = RecordedExchanges()
    exchanges.add(line(headers=[["A", "b\r\nC: d"], ["E f", "g"], ["H", "i"]]), "p1")
    ((request,),) = exchanges.by_test.values()
    assert request.headers == (("h", "i"),)


def test_requests_of_an_unknown_file_go_to_the_sealed_file_that_names_their_path() -> None:
    exchanges = RecordedExchanges()
    for path in ("/carts", "/teas/7", "/health"):
        exchanges.add(line(test="", file="", path=path), "p1")
    sealed = {"a.test.ts": ("AC1",), "b.test.ts": ("AC2",)}
    made = conversations(exchanges, sealed, {"a.test.ts": "post('/carts') /api/health", "b.test.ts": "get(`/teas/7`)"})
    assert [(one.file, [request.path for request in one.requests]) for one in made] == [
        ("a.test.ts", ["/carts"]),
        ("b.test.ts", ["/teas/7"]),
        ("", ["/health"]),
    ]


def test_conversations_are_bounded_and_none_is_held_twice() -> None:
    talks = [Conversation("", (ServedRequest("GET", f"/{number // 2}"),)) for number in range(400)]
    kept = bounded(talks)
    assert len(kept) == 60
    assert len({one.requests for one in kept}) == 60


@dataclass(frozen=True)
class Text:
    name: str
    text: str
    paths: tuple[str, ...]


TEXTS = [
    Text("go", 'req := httptest.NewRequest("GET", "/shout?name=Ann", nil)', ("GET /shout?name=Ann",)),
    Text("go by constant", "req, _ := http.NewRequest(http.MethodGet, server.URL+`/x`, nil)", ("GET /x",)),
    Text("go by call", 'resp, err := http.Get(server.URL + "/shout")', ("GET /shout",)),
    Text("rust", 'let req = test::TestRequest::get().uri("/shout").to_request();', ("GET /shout",)),
    Text("java", 'mockMvc.perform(get("/shout")).andExpect(status().isOk());', ("GET /shout",)),
    Text("java by address", 'client.send(HttpRequest.newBuilder().GET().uri(u("http://localhost:80/x")))', ("GET /x",)),
    Text("head", 'http.Head(server.URL + "/x")', ("HEAD /x",)),
    Text("a body", 'http.Post(server.URL+"/shout", "text/plain", body)', ()),
    Text("a body by name", 'httptest.NewRequest("POST", "/shout", body)', ()),
    Text("a file", 'client := x; content := os.Get("/tmp/file")', ()),
    Text("no request", 'value := values.get("/shout")', ()),
    Text("a pattern", 'client.get("/items/{id}")', ()),
]


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_requests_are_read_off_the_text_of_tests(case: Text) -> None:
    made = list(read_requests({"a_test.go": case.text}, {"a_test.go": ("AC1",)}))
    assert tuple(one.requests[0].name for one in made) == case.paths
    assert all(one.is_sealed and one.criteria == ("AC1",) for one in made)


def answer(text: str, kind: str = "application/json", status: int = 200) -> ServedAnswer:
    return ServedAnswer(status, (("content-type", kind),), text.encode())


@dataclass(frozen=True)
class Pair:
    name: str
    one: ServedAnswer
    other: ServedAnswer
    differ: bool


PAIRS = [
    Pair("status", answer("{}"), answer("{}", status=201), differ=True),
    Pair("text", answer('{"a": 1}'), answer('{"a": 2}'), differ=True),
    Pair("order of keys", answer('{"a": 1, "b": 2}'), answer('{"b": 2,"a": 1}'), differ=False),
    Pair("time", answer('{"at": "2026-01-02T03:04:05Z"}'), answer('{"at": "2026-01-02T03:04:07Z"}'), differ=False),
    Pair("seconds", answer('{"at": 1795972076.3}'), answer('{"at": 1795972077.9}'), differ=False),
    Pair(
        "identifier",
        answer(f'"{"1" * 8}-1111-1111-1111-{"1" * 12}"'),
        answer(f'"{"2" * 8}-1111-1111-1111-{"1" * 12}"'),
        differ=False,
    ),
    Pair("port", answer('"http://127.0.0.1:4711/x"'), answer('"http://localhost:4712/x"'), differ=False),
    Pair("folder", answer('"/srv/one/x"'), answer('"/srv/other/x"'), differ=False),
    Pair("kind", answer("<p>", "text/html"), answer("<p>", "text/plain"), differ=True),
    Pair("charset", answer("<p>", "text/html; charset=utf-8"), answer("<p>", "text/html"), differ=False),
]


@pytest.mark.parametrize("case", PAIRS, ids=lambda case: case.name)
def test_answers_are_compared_without_chance(case: Pair) -> None:
    assert differs(case.one, case.other, roots=("/srv/one", "/srv/other")) == case.differ


def test_answers_are_said_in_a_few_words() -> None:
    assert said(ServedAnswer(302, (("location", "/x"),), b"")) == "302 to /x"
    assert said(ServedAnswer(error="BadStatusLine")) == "no answer (BadStatusLine)"
    long = "word " * 40
    assert apart(answer(f"{long}one"), answer(f"{long}two"))[0].endswith("one")

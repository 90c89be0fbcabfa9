"""Tickets from files and standard input, good and bad."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.infra.errors import TicketError
from phasegate.infra.tickets.read import read_ticket
from phasegate.infra.tickets.ticket import MAX_BYTES, Ticket


def no_stdin() -> bytes:
    raise AssertionError("standard input was not asked for")


def from_stdin(content: bytes) -> Ticket:
    return read_ticket("-", stdin=lambda: content, environment={})


def from_file(path: Path | str) -> Ticket:
    return read_ticket(str(path), stdin=no_stdin, environment={})


@dataclass(frozen=True)
class Case:
    text: str
    title: str
    body: str


@pytest.mark.parametrize(
    "case",
    [
        Case("Greet by name", "Greet by name", "Greet by name"),
        Case("# Greet by name #\n\nMore.\n", "Greet by name", "# Greet by name #\n\nMore."),
        Case("Please do:\n\n## Greet by name\n", "Greet by name", "Please do:\n\n## Greet by name"),
        Case("\n\n  First line \nsecond", "First line", "First line \nsecond"),
        Case("#tag is no heading", "#tag is no heading", "#tag is no heading"),
        Case("#   \nBelow an empty heading", "#", "#   \nBelow an empty heading"),
        Case("---\ntitle: From above\n---\n# A heading\n", "From above", "# A heading"),
        Case("---\ntitle:\n---\n# A heading\n", "A heading", "# A heading"),
        Case("---\n---\nBody", "Body", "Body"),
        Case("---\ntitle: T\n...\nBody", "T", "Body"),
        Case("---\r\ntitle: T\r\n---\r\nOne\r\nTwo\r\n", "T", "One\nTwo"),
        Case("---\ntitle: 2026-01-01\n---\n", "2026-01-01", ""),
        Case("---\ntitle: |\n  two\n  lines\n---\n", "two lines", ""),
        Case("\ufeff# With a byte order mark", "With a byte order mark", "# With a byte order mark"),
        Case("x" * 300, "x" * 199 + "…", "x" * 300),
        Case("Rule below\n\n---\n\nMore", "Rule below", "Rule below\n\n---\n\nMore"),
    ],
)
def test_title_and_body(case: Case):
    ticket = from_stdin(case.text.encode())
    assert (ticket.title, ticket.body) == (case.title, case.body)


def test_front_matter_says_who_what_and_under_which_key(tmp_path: Path):
    path = tmp_path / "ticket.md"
    path.write_text(
        "---\ntitle: Greet\nkey: SHOP-7\nlabels: [api, ' small ']\nauthor: Ana\n"
        "priority: 1\nsprint: {name: x}\n---\nBody"
    )
    assert from_file(path) == Ticket(
        title="Greet",
        body="Body",
        key="SHOP-7",
        labels=("api", "small"),
        author="Ana",
        source="file",
        native_ref=json.dumps({"priority": "1", "sprint": {"name": "x"}}),
    )


def test_labels_may_be_one_text_with_commas():
    assert from_stdin(b"---\nlabels: api, small,\n---\nBody").labels == ("api", "small")


def test_a_ticket_without_a_key_gets_the_same_one_for_the_same_content(tmp_path: Path):
    path = tmp_path / "ticket.md"
    path.write_text("Greet")
    assert from_file(path).key == from_file(path).key
    assert from_file(path).key.startswith("FILE-")
    assert from_stdin(b"Greet").key.startswith("STDIN-")
    assert from_stdin(b"Greet").key != from_stdin(b"Greet!").key


def test_a_pipe_can_be_read_like_a_file():
    reading, writing = os.pipe()
    os.write(writing, b"# Greet")
    os.close(writing)
    try:
        assert from_file(f"/proc/self/fd/{reading}").title == "Greet"
    finally:
        os.close(reading)


def test_exactly_one_mebibyte_is_read():
    assert len(from_stdin(b"x" * MAX_BYTES).body) == MAX_BYTES


def test_a_ticket_survives_its_canonical_form():
    ticket = from_stdin("---\nlabels: [a]\n---\n# Grüße".encode())
    assert Ticket.from_canonical(ticket.canonical()) == ticket


def test_a_ticket_is_shown_with_its_key():
    assert from_stdin(b"---\nkey: K-1\nauthor: Ana\nlabels: [a, b]\n---\nGreet").markdown() == (
        "# K-1: Greet\n\nby Ana · a, b\n\nGreet\n"
    )


@dataclass(frozen=True)
class Bad:
    content: bytes
    message: str


@pytest.mark.parametrize(
    "bad",
    [
        Bad(b"", "is empty"),
        Bad(b" \n\t\n", "is empty"),
        Bad(b"\xef\xbb\xbf", "is empty"),
        Bad(b"one\ntwo \xff", r"is not UTF-8 \(line 2\)"),
        Bad("ü".encode("utf-16"), r"is not UTF-8 \(line 1\)"),
        Bad(b"x" * (MAX_BYTES + 1), "is over 1 MiB"),
        Bad(b"---\ntitle: x\n", "line 1: it is opened here and never closed"),
        Bad(b"---\nkey: K-1\n---\n  \n", "says nothing"),
        Bad(b"---\ntitle: x\nlabels: [a\n---\nBody", "line 3"),
        Bad(b"---\n\ntitle: x: y\n---\nBody", "line 3"),
        Bad(b"---\n- a\n---\nBody", "must be lines of `key: value`"),
        Bad(b"---\njust text\n---\nBody", "must be lines of `key: value`"),
        Bad(b"---\ntitle: [a]\n---\nBody", "title must be text"),
        Bad(b"---\nlabels: {a: b}\n---\nBody", "labels must be a list of texts"),
        Bad(b"---\nlabels: [[a]]\n---\nBody", "labels must be a list of texts"),
        Bad(b"---\na: &x [1]\nb: [*x, *x]\n---\nBody", "line 3: aliases"),
        Bad(b"---\na: " + b"[" * 500 + b"]" * 500 + b"\n---\nBody", "line 2: it is nested more than 20 deep"),
        Bad(b"---\na: " + b"x" * 70_000 + b"\n---\nBody", "longer than 65,536 characters"),
        Bad(b"---\n? [a, b]\n: c\n---\nBody", "line 2: a key must be text"),
        Bad(b"---\na: \x07\n---\nBody", "front matter is invalid"),
    ],
)
def test_bad_content_gets_one_clear_message(bad: Bad):
    with pytest.raises(TicketError, match=bad.message) as raised:
        from_stdin(bad.content)
    assert raised.value.remedy
    assert raised.value.exit_code == 2


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(TicketError, match=r"There is no ticket file .*none\.md"):
        from_file(tmp_path / "none.md")


@pytest.mark.parametrize("reference", ["", "a\0b", "/dev/null/below"])
def test_what_cannot_be_a_path(reference: str):
    with pytest.raises(TicketError):
        from_file(reference)


def test_a_folder(tmp_path: Path):
    with pytest.raises(TicketError, match="is a folder"):
        from_file(tmp_path)


def test_a_name_too_long_for_the_system():
    with pytest.raises(TicketError, match="cannot be read: File name too long"):
        from_file("x" * 5000)


def test_a_trackers_key_says_what_is_possible():
    with pytest.raises(TicketError, match="KEY-123 looks like a tracker's key") as raised:
        from_file("KEY-123")
    assert "https://github.com/OWNER/REPO/issues/N" in raised.value.remedy


def test_a_file_called_like_a_trackers_key_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "KEY-123").write_text("Greet")
    monkeypatch.chdir(tmp_path)
    assert from_file("KEY-123").title == "Greet"


def test_a_short_issue_reference_is_answered_with_its_address():
    with pytest.raises(TicketError) as raised:
        from_file("ana/shop#12")
    assert "https://github.com/ana/shop/issues/12" in raised.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/ana/shop",
        "https://github.com/ana/shop/issues",
        "https://github.com/ana/shop/issues/new",
        "https://github.com/ana/shop/issues/12/extra",
        "https:///ana/shop/issues/1",
        "HTTPS://example.org/",
    ],
)
def test_an_address_that_is_no_issues(url: str):
    with pytest.raises(TicketError, match="not the address of a GitHub issue"):
        from_file(url)


def test_a_pull_requests_address():
    with pytest.raises(TicketError, match="pull request, not an issue"):
        from_file("https://github.com/ana/shop/pull/12")


@pytest.mark.parametrize("key", ["title", "labels", "key", "author", "more"])
@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff\ud800", r"a\ud800b"])
def test_half_of_a_character_becomes_the_replacement(key: str, escape: str):
    """Mutation tried: without `mend_text` in the reader."""
    ticket = from_stdin(f'---\n{key}: "{escape}"\n---\nGreet'.encode())
    assert ticket.canonical().encode()
    assert "\ufffd" in f"{ticket.title}{ticket.labels}{ticket.key}{ticket.author}{ticket.native_ref}"


def test_a_nul_becomes_the_replacement():
    ticket = from_stdin(b"---\ntitle: Greet\n---\nby\0name")
    assert ticket.body == "by\ufffdname"


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1/a/b/issues/1",
        "https://[::1/",
        "https://]/a/b/issues/1",
        f"https://github.com/a/b/issues/{'1' * 5_000}",
        f"https://github.com/a/b/issues/{'1' * 19}",
        "https://github.com/a/b/issues/\u0661",
        "https://[v1.a]/a/b/issues/x",
        "https://github.com:99999999/a/b/issues/x",
    ],
)
def test_an_address_that_no_parser_takes(url: str):
    """Mutation tried: without the handler of `urlsplit`'s error."""
    with pytest.raises(TicketError, match="not the address of a GitHub issue"):
        read_ticket(url, stdin=lambda: b"", environment={})

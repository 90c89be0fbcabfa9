"""A script file that does not hold is refused, with the file, the line and the key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
import yaml

from phasegate.agents.rehearsal.script import Script
from phasegate.agents.rehearsal.script_file import load_script, read_script
from phasegate.infra.errors import ScriptError

GOOD = """\
version: 1
stages:
  prd:
    - text: First I read.
      tools: [{name: read_file, args: {path: app.py, on: 2026-11-22}}]
    - expect: "def greet"
      finish: {title: Ü}
  implementation#2:
    - finish: {summary: again}
faults:
  - {stage: prd, turn: 2, kind: cut_stream, times: 1}
"""
UNFOLDING = "title: {a: &a [" + "x, " * 400 + "], b: &b [" + "*a, " * 400 + "], c: [" + "*b, " * 400 + "]}"
"""A title of a few kilobytes that unfolds to millions."""


@dataclass
class Case:
    name: str
    old: str
    new: str
    place: str
    says: str


CASES = [
    Case("unknown key", "finish: {title: Ü}", "finnish: {}", "line 7, stages.prd[1].finnish", "unknown key"),
    Case("wrong type", "text: First I read.", "text: [a]", "line 4, stages.prd[0].text", "must be text"),
    Case("number for text", "text: First I read.", "text: 1", "line 4, stages.prd[0].text", "must be text"),
    Case("bad regex", "def greet", "def greet(", "line 6, stages.prd[1].expect", "not a regular expression"),
    Case("unknown stage", "prd:", "prod:", "line 3, stages.prod", "no such stage"),
    Case("attempt 0", "implementation#2", "implementation#0", "line 8, stages.implementation#0", "no such stage"),
    Case("unsupported version", "version: 1", "version: 2", "line 1, version", "reads version 1"),
    Case("no version", "version: 1\n", "", "line 1, version", "is missing"),
    Case("empty turn", "finish: {title: Ü}", "finish:", "line 6, stages.prd[1]", "needs `text`, `tools` or `finish`"),
    Case("two ends", "finish: {title: Ü}", "finish: {}\n      tools: [{name: x}]", "stages.prd[1]", "not both"),
    Case("no turns", "- finish: {summary: again}", "[]", "line 8, stages.implementation#2", "at least 1 item"),
    Case("turns no list", "    - finish: {summary: again}", "    finish: {}", "implementation#2", "must be a list"),
    Case("no tool name", "{name: read_file, args", "{args", "line 5, stages.prd[0].tools[0].name", "is missing"),
    Case("bytes", "title: Ü", "title: [{a: !!binary aGk=}]", "line 7, stages.prd[1].finish.title[0].a", "JSON"),
    Case("infinity", "title: Ü", "title: .inf", "line 7, stages.prd[1].finish", "infinity"),
    Case("key no text", "title: Ü", "1: Ü", "line 7, stages.prd[1].finish", "must be text"),
    Case("key twice", "  implementation#2:", "  prd:", "line 8, stages.prd", "given twice"),
    Case("unknown fault", "cut_stream", "cut", "line 11, faults[0].kind", "'cut_stream'"),
    Case("fault beyond", "turn: 2", "turn: 3", "line 11, faults[0].turn", "prd has no such turn"),
    Case("fault at nothing", "stage: prd, turn", "stage: testing, turn", "line 11, faults[0].turn", "no such turn"),
    Case("turn 0", "turn: 2", "turn: 0", "line 11, faults[0].turn", "greater than or equal to 1"),
    Case("bad YAML", "version: 1", "version: [1", "script.yaml, line", "bad YAML"),
    Case("NUL", "First", "Fi\0rst", "script.yaml", "bad YAML"),
    Case("tag", "First I read.", "!!python/object:os.system {}", "line 4", "bad YAML"),
    Case("empty integer", "turn: 2", "turn: !!int ''", "line 11, faults[0].turn", "!!int"),
    Case("boolean of a word", "title: Ü", "title: !!bool x", "line 7, stages.prd[1].finish.title", "!!bool"),
    Case("integer of an underscore", "times: 1", "times: !!int _", "line 11, faults[0].times", "!!int"),
    Case("5,000 digits", "times: 1", f"times: {'1' * 5_000}", "line 11", "more than 400 digits"),
    Case(
        "half a character", "title: Ü", 'title: "\\ud800"', "line 7, stages.prd[1].finish.title", "half of a character"
    ),
    Case("900 lists", "title: Ü", f"title: {'[' * 900}{']' * 900}", "line 7", "nested more than 60 deep"),
    Case("aliases", "title: Ü", UNFOLDING, "line 7", "more than 100,000 values"),
    Case("long pattern", "def greet", "(" * 5_000, "line 6, stages.prd[1].expect", "not a regular expression"),
    Case("large repeat", "def greet", "a{99999999999}", "line 6, stages.prd[1].expect", "not a regular expression"),
    Case("itself", "{summary: again}", "&me {summary: *me}", "implementation#2[0].finish", "holds itself"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_does_not_hold(case: Case, tmp_path: Path) -> None:
    assert case.old in GOOD
    path = tmp_path / "script.yaml"
    path.write_text(GOOD.replace(case.old, case.new, 1))
    with pytest.raises(ScriptError) as caught:
        load_script(path)
    assert str(path) in caught.value.message
    assert case.place in caught.value.message
    assert case.says in caught.value.message


def test_malformed_call_needs_a_call() -> None:
    text = "version: 1\nstages: {prd: [{text: hello}]}\nfaults:\n- {stage: prd, turn: 1, kind: malformed_call}"
    with pytest.raises(ScriptError, match=r"line 4, faults\[0\].turn: that turn of prd calls nothing"):
        read_script(text, "script.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b"- a\n", "must be a mapping"),
        (b"version: 1\n\xff", r"not UTF-8 text \(line 2\)"),
        (b"#" * (4 * 1024 * 1024 + 1), "longer than 4 MiB"),
    ],
)
def test_what_is_no_script_at_all(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_bytes(content)
    with pytest.raises(ScriptError, match=says):
        load_script(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(ScriptError, match="cannot be read"):
            load_script(path)


def test_the_digest_is_of_the_content() -> None:
    script = read_script(GOOD, "a.yaml")
    assert read_script("# remark\n" + GOOD.replace("[{name", "[ {name"), "b.yaml").digest == script.digest
    assert read_script(GOOD.replace("Ü", "U"), "a.yaml").digest != script.digest
    assert Script.model_validate_json(script.model_dump_json()) == script


def test_turns_of_an_attempt() -> None:
    script = read_script(GOOD, "a.yaml")
    assert [len(script.turns("prd", attempt)) for attempt in (1, 2)] == [2, 2]
    assert [len(script.turns("implementation", attempt)) for attempt in (1, 2, 3)] == [0, 1, 0]
    assert script.turns("prd", 1)[0].calls()[0].args == {"path": "app.py", "on": "2026-11-22"}


def test_the_json_schema_agrees() -> None:
    schema = Script.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = yaml.load(GOOD.replace("2026-11-22", "today"), yaml.SafeLoader)
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"stages": {"prod": [{"text": "x"}]}}, schema)
    turn = schema["$defs"]["Turn"]["properties"]
    assert all("description" in field for field in turn.values())

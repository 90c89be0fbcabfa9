"""Cases: what an agent, or the change that it makes, hands to the engine. Played by `model`, measured by `measure`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Turn = Mapping[str, Any]
"""A turn of a model: `text`, and `calls` as pairs of a tool's name and its arguments."""

_MEBIBYTE = 1024 * 1024
_JAVASCRIPT = "var a=function(b,c){return b.d+c[0]?'x':\"y\"};if(a){a.e=1}else{throw new Error('f:'+a)}"
_REPORT = """import pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
message = "x" * int(sys.argv[3])
for number in range(int(sys.argv[2])):
    cases = "<testcase classname='tests' name='a'/><testcase classname='tests' name='b'><failure message='no'>"
    (folder / f"{number}.xml").write_text(f"<testsuite name='s'>{cases}{message}</failure></testcase></testsuite>")
"""
_MANY_CASES = """import sys
case = "<testcase classname='tests' name='t%d' file='tests/plain.sh'><failure message='it fails'/></testcase>"
print("<testsuite name='s'>" + "".join(case % number for number in range(100_000)) + "</testsuite>",
      file=open(sys.argv[1], "w"))
"""


def _run(command: str) -> Turn:
    return {"calls": [("run", {"command": command})]}


def _python(code: str, *arguments: str) -> Turn:
    return _run(f"python3 - {' '.join(arguments)} <<'END'\n{code}\nEND")


def _write(path: str, content: str) -> Turn:
    return {"calls": [("write_file", {"path": path, "content": content})]}


def _file(expression: str, path: str = "made.txt") -> Turn:
    return _python(f"open({path!r}, 'w').write({expression})")


@dataclass(frozen=True)
class Case:
    """Case of the measure.

    Attributes:
        words: What it is, for the table.
        implementation: Makes the turns of the implementer before it hands in.
        criterion: Makes the statement of the PRD's criterion.
        report: Script that writes the change's test report, instead of a short one; takes its path.
        arguments: Further arguments of that script.
        page: True to make the pages and the diff that people read, too.
    """

    words: str
    implementation: Callable[[], list[Turn]] = list
    criterion: Callable[[], str] = lambda: "it says Good day"
    report: str = ""
    arguments: str = ""
    page: bool = True
    policy: str = ""

    def turns(self) -> dict[str, list[Turn]]:
        """Turns of each stage's model, the last one with its result."""
        criterion = {"id": "AC1", "statement": self.criterion()}
        sealed = {"path": "tests/polite.sh", "content": 'grep -q "Good day" greeting.txt\n', "criteria": ["AC1"]}
        edit = {"path": "greeting.txt", "old": "Hello", "new": "Good day"}
        reporting = [_write("report.py", self.report)] if self.report else []
        return {
            "prd": [{"calls": [("finish", {"title": "Greet", "acceptance_criteria": [criterion]})]}],
            "testing": [{"calls": [("finish", {"files": [sealed]})]}],
            "implementation": [
                {"calls": [("edit_file", edit)]},
                *self.implementation(),
                *reporting,
                {"calls": [("finish", {"summary": "done"})]},
            ],
        }


_ODD_NAMES = """import os, socket
os.makedirs("odd", exist_ok=True)
os.chdir("odd")
open(chr(0x85) * 127, "w").write("next lines")
open(b"\\xff\\xfe" * 100, "w").write("no text")
open("a\\nb\\tc", "w").write("controls")
os.mkfifo("pipe")
here = socket.socket(socket.AF_UNIX)
here.bind("socket")
"""
_MANY_FILES = """import os
for folder in range(200):
    os.makedirs(f"many/{folder}")
    for number in range(100):
        open(f"many/{folder}/{number}.py", "w").write(f"NUMBER = {folder * number}\\n")
"""

CASES: Mapping[str, Case] = {
    "plain": Case("nothing odd"),
    "mask-sk": Case(
        "256 kB of `sk-sk-…`, written and printed",
        lambda: [
            _write("made.txt", "sk-" * 87_000),
            _run("cat made.txt"),
            {"calls": [("read_file", {"path": "made.txt"})]},
        ],
    ),
    "mask-eyj": Case("256 kB of `eyJ-`, written", lambda: [_write("made.txt", "eyJ-" * 64_000)]),
    "mask-2mb": Case("2 MB of `sk-` in a file", lambda: [_file("'sk-' * 700_000")]),
    "mask-20mb": Case("20 MB of words with one `sk-` in a file", lambda: [_file("'hello word ' * 1_800_000 + 'sk-'")]),
    "minified": Case(
        "1 MB of minified JavaScript in one line, written, read, searched and edited",
        lambda: [
            _write("made.js", _JAVASCRIPT * (_MEBIBYTE // len(_JAVASCRIPT))),
            {"calls": [("read_file", {"path": "made.js"}), ("search", {"pattern": "function"})]},
            {"calls": [("edit_file", {"path": "made.js", "old": "nothing of it", "new": ""})]},
        ],
    ),
    "reports": Case("40 reports of 30 MB", report=_REPORT, arguments="40 30000000"),
    "message": Case("one message of 60 MB in a report", report=_REPORT, arguments="1 60000000"),
    "findings": Case("100,000 failing tests in a report", report=_MANY_CASES),
    "pipes": Case("a command of 100,000 pipes", lambda: [_run("|".join(["true"] * 100_001))]),
    "delta": Case(
        "one delta of 8 MB", lambda: [{"text": "word " * (8 * _MEBIBYTE // 5), "calls": [("list_files", {})]}]
    ),
    "files": Case("a change of 20,000 files", lambda: [_python(_MANY_FILES)]),
    "names": Case("a name of 127 × U+0085, one of no UTF-8, a socket and a pipe", lambda: [_python(_ODD_NAMES)]),
    "diff": Case(
        "a file of 50 MB of lines",
        lambda: [_python("open('made.txt','w').writelines(f'line {n} of many\\n' for n in range(2_700_000))")],
    ),
    "log": Case("a line of 10 MB in a command's output", lambda: [_run("python3 -c \"print('log ' * 2_500_000)\"")]),
    "prd": Case("a PRD of 10 MB", criterion=lambda: "it says Good day " * (10 * _MEBIBYTE // 17)),
}


def encoded(turn: Turn, number: int) -> tuple[str, list[dict[str, Any]]]:
    """Text and calls of a turn, as Chat Completions have them."""
    calls = [
        {
            "id": f"call_{number}_{at}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for at, (name, arguments) in enumerate(turn["calls"])
    ]
    return turn.get("text", ""), calls

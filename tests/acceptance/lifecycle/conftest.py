"""A user's own repository, ticket and script, and the installed command: nothing the project has seen before."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.repositories import first_commit

APP = '''"""A small greeter."""
import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse


def greet(name):
    return f"Hello, {name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlparse(self.path)
        name = parse_qs(url.query).get("name", ["world"])[0]
        body = json.dumps({"ok": True} if url.path == "/healthz" else {"greeting": greet(name)}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()
'''
TEST = """from app import greet


def test_greets_by_name():
    assert greet("Ana") == "Hello, Ana"
"""
QUICKLY_GRADED = """
[grading]
ablation_time = "0s"
coverage = false
base = "warn"
flaky_reruns = 0
served = false
"""
POLICY = f"""{QUICKLY_GRADED}
[project]
test = "pytest -q --junitxml={{junit}}"
[deploy]
start = "python3 app.py --port {{port}}"
health = "/healthz"
[[monitor.metrics]]
name = "errors"
path = "/?name=Bo"
requests = 5
interval = "200ms"
count = 2
failure_condition = "error_rate > 0.05"
"""
TICKET = """---
title: Greet politely
---
`greet` should take `polite`, and then say "Good day, NAME".
"""
SEALED = """from app import greet


def test_polite():
    assert greet("Bo", polite=True) == "Good day, Bo"


def test_plain():
    assert greet("Bo", polite=False) == "Hello, Bo"
"""
OLD = '    return f"Hello, {name}"'
NEW = '    return f"Good day, {name}" if polite else f"Hello, {name}"'


def edit(path: str, old: str, new: str) -> dict[str, Any]:
    """A scripted turn with one edit."""
    return {"tools": [{"name": "edit_file", "args": {"path": path, "old": old, "new": new}}]}


SIGNATURE = edit("app.py", "def greet(name):", "def greet(name, polite=False):")
IMPLEMENTATION = [
    {"tools": [{"name": "read_file", "args": {"path": "app.py"}}]},
    SIGNATURE,
    edit("app.py", OLD, NEW),
    {"tools": [{"name": "run", "args": {"command": "pytest -q"}}]},
    {"expect": "1 passed", "finish": {"summary": "greet takes polite"}},
]
PRD_TURNS = [
    {"text": "First I read what is there.", "tools": [{"name": "read_file", "args": {"path": "app.py"}}]},
    {
        "expect": "def greet",
        "finish": {"title": "Greet politely", "acceptance_criteria": [{"id": "AC1", "statement": "polite greets so"}]},
    },
]


def script(**changes: list[dict[str, Any]]) -> dict[str, Any]:
    """A rehearsal of the whole lifecycle, with some stages' turns replaced; `_2` stands for `#2`."""
    stages: dict[str, Any] = {
        "prd": PRD_TURNS,
        "implementation": IMPLEMENTATION,
        "testing": [
            {"tools": [{"name": "search", "args": {"pattern": "def \\w+\\(name"}}]},
            {
                "expect": "app.py:8",
                "finish": {"files": [{"path": "tests/test_polite.py", "content": SEALED, "criteria": ["AC1"]}]},
            },
        ],
        "deployment": [{"finish": {"summary": "A new greeting.", "steps": ["cut over"], "checks": ["GET /"]}}],
    }
    stages.update({name.replace("_2", "#2"): turns for name, turns in changes.items()})
    return {"version": 1, "stages": stages}


def git(folder: Path, *arguments: str) -> str:
    """git, as the user runs it."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@dataclass
class Project:
    """A user's repository with a ticket beside it."""

    top: Path
    ticket: Path

    def script(self, content: dict[str, Any], name: str = "script.yaml") -> Path:
        """Write a script beside the repository."""
        path = self.top.parent / name
        path.write_text(yaml.safe_dump(content))
        return path

    def state(self) -> dict[str, Any]:
        """State of the repository that phasegate must leave as it is."""
        return {
            "status": git(self.top, "status", "--porcelain"),
            "head": git(self.top, "rev-parse", "HEAD"),
            "branch": git(self.top, "symbolic-ref", "HEAD"),
            "stash": git(self.top, "stash", "list"),
            "index": (self.top / ".git" / "index").read_bytes(),
            "files": {path.name: path.read_bytes() for path in self.top.rglob("*.py")},
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A committed repository, with a policy."""
    top = tmp_path / "greeter"
    (top / "tests").mkdir(parents=True)
    (top / "app.py").write_text(APP)
    (top / "conftest.py").write_text("")
    (top / "tests" / "test_app.py").write_text(TEST)
    (top / "phasegate.toml").write_text(POLICY)
    first_commit(top)
    ticket = tmp_path / "ticket.md"
    ticket.write_text(TICKET)
    return Project(top, ticket)

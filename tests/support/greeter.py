"""Small project for runs in tests: a greeter, its policy, a ticket about it, and the answers of its agents.

The greeter says what stands in `greeting.txt`. Its tests are shell scripts, so a grade takes milliseconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.support.repositories import first_commit, git

from phasegate.infra.identity import Person

REQUESTER, APPROVER = Person("ana", "local"), Person("bo", "local")

SERVICE = """import socket, sys
text = open("greeting.txt").read()
if "crash" in text:
    sys.exit(3)
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listening.accept()
    try:  # whoever measures may be gone before they have asked, or before they are answered
        path = (connection.recv(4096).split(b" ") + [b""])[1]
        status = "500 No" if "broken" in text and path != b"/healthz" else "200 OK"
        connection.sendall(f"HTTP/1.1 {status}\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n".encode())
    except OSError:
        pass
    connection.close()
"""
RUNNER = """cases=""
for file in tests/*.sh; do
  name=$(basename "$file" .sh)
  if sh "$file"; then said=""; else said="<failure message='it fails'/>"; fi
  cases="$cases<testcase classname='tests' name='$name' file='$file'>$said</testcase>"
done
echo "<testsuite name='all'>$cases</testsuite>" > "$1"
"""
QUICK_GRADES = """
[project]
test = "sh run-tests.sh {junit}"
[sandbox]
backend = "none"
[grading]
base = "warn"
flaky_reruns = 0
plain_process = false
served = false
"""
"""Beginning of a policy under which shell scripts are the tests, and a grade takes milliseconds."""
POLICY = f"""{QUICK_GRADES}[deploy]
start = "python3 -I -S serve.py {{port}}"
health = "/healthz"
[[monitor.metrics]]
name = "errors"
path = "/"
requests = 2
interval = "10ms"
count = 1
"""
NO_ERRORS = 'failure_condition = "error_rate > 0.05"\n'
PRD = {"title": "Greet politely", "acceptance_criteria": [{"id": "AC1", "statement": "it says Good day"}]}
SEALED = {"path": "tests/polite.sh", "content": 'grep -q "Good day" greeting.txt\n', "criteria": ["AC1"]}


def edit(old: str, new: str) -> dict[str, Any]:
    """A scripted turn that changes the greeting."""
    return {"tools": [{"name": "edit_file", "args": {"path": "greeting.txt", "old": old, "new": new}}]}


def implementation(greeting: str, before: str = "Hello") -> list[dict[str, Any]]:
    return [edit(before, greeting), {"finish": {"summary": greeting}}]


def calls(name: str, **args: Any) -> dict[str, Any]:
    """A scripted turn that calls one tool."""
    return {"tools": [{"name": name, "args": args}]}


STAGES: Mapping[str, list[dict[str, Any]]] = {
    "prd": [{"tools": [{"name": "read_file", "args": {"path": "greeting.txt"}}]}, {"finish": PRD}],
    "implementation": implementation("Good day"),
    "testing": [{"finish": {"files": [SEALED]}}],
    "deployment": [{"finish": {"summary": "A greeting.", "steps": ["cut over"], "checks": ["GET /"]}}],
    "monitoring": [{"finish": {"summary": "It is broken.", "suspected_hunk": "greeting.txt:1"}}],
}
"""Turns of each stage's agent, as a rehearsal script has them."""


def push_as_colleague(top: Path, branch: str, name: str, text: str) -> str:
    """Push a commit to a branch from a clone of one's own, as another person does.

    Returns:
        The commit.
    """
    clone = Path(tempfile.mkdtemp(prefix="colleague-", dir=top.parent))
    git(top.parent, "clone", "-q", str(top), str(clone))
    if git(clone, "branch", "-r", "--list", f"origin/{branch}"):
        git(clone, "switch", "-q", "-c", "work", f"origin/{branch}")
    (clone / name).write_text(text)
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", f"Change {name}")
    git(clone, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
    return git(clone, "rev-parse", "HEAD")


def write_greeter(
    folder: Path,
    *,
    policy: str = POLICY + NO_ERRORS,
    stages: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    files: Mapping[str, str] | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write a committed repository, with a ticket and a script beside it.

    Args:
        folder: Gets `greeter/`, `ticket.md` and `script.yaml`.
        policy: Content of `phasegate.toml`.
        stages: Turns of agents, instead of those in `STAGES`.
        files: Further files of the repository.
        faults: Faults on the way of the scripted answers.

    Returns:
        The repository's folder.
    """
    top = folder / "greeter"
    content = {
        "greeting.txt": "Hello\n",
        "serve.py": SERVICE,
        "run-tests.sh": RUNNER,
        "phasegate.toml": policy,
        "tests/plain.sh": "test -s greeting.txt\n",
        **(files or {}),
    }
    first_commit(top, content)
    (folder / "ticket.md").write_text("---\ntitle: Greet politely\n---\nSay Good day.\n")
    script = {"version": 1, "stages": {**STAGES, **(stages or {})}, "faults": [dict(fault) for fault in faults]}
    (folder / "script.yaml").write_text(yaml.safe_dump(script))
    return top

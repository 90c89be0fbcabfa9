"""Nothing heavy is loaded before a command needs it."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from phasegate.flows.cli.root import SECTIONS, phasegate

HEAVY = {"prefect", "langgraph", "sqlalchemy", "alembic", "httpx", "pydantic", "rich", "kubernetes", "uvicorn"}
COMMANDS = [name for commands in SECTIONS.values() for name in commands]


LOOK = """
import json, sys
from phasegate.flows.cli import main

found = {}
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 0, words
    found[" ".join(words)] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(found), file=sys.stderr)
"""


def test_help_loads_nothing_heavy():
    words = [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)]
    done = subprocess.run([sys.executable, "-c", LOOK, json.dumps(words)], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stderr)
    assert {" ".join(call): [] for call in words} == {
        call: sorted(set(names) & HEAVY) for call, names in loaded.items()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_a_sentence_and_an_example(name: str):
    with click.Context(phasegate) as context:
        command = phasegate.get_command(context, name)
    assert command is not None
    assert name == command.name
    assert any("--json" in parameter.opts for parameter in command.params)
    assert (command.help or "").strip()
    assert f"phasegate {name}" in (command.epilog or "")


def test_an_unknown_command_is_unknown():
    with click.Context(phasegate) as context:
        assert phasegate.get_command(context, "steal") is None

"""docs/commands.md, generated from the help texts: `python -m tests.support.command_reference`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from phasegate.flows.cli.root import EXIT_CODES, SECTIONS, phasegate

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
_HEAD = """# Commands

Generated from `phasegate COMMAND --help` by `python -m tests.support.command_reference`. `RUN` is an id, its first
letters, or `latest`: in a repository that is its newest run, elsewhere the newest of the machine. Every command with a
result has `--json`.

"""
_WIDTH = 110


def page() -> str:
    """The page as it has to be."""
    top = click.Context(phasegate, info_name="phasegate", **phasegate.context_settings)
    parts = [_HEAD + EXIT_CODES + "\n"]
    for section, names in SECTIONS.items():
        parts.append(f"## {section}\n")
        for name in names:
            command = phasegate.get_command(top, name)
            assert command is not None, name
            parts.append(f"### {name}\n\n{_described(command, click.Context(command, top, info_name=name))}")
    return "\n".join(parts)


def _described(command: click.Command, context: click.Context) -> str:
    """Summary of a command as a sentence, and its whole help as a block."""
    context.terminal_width = _WIDTH
    context.max_content_width = _WIDTH
    text = re.sub(r"(?m)[ \t]+$", "", command.get_help(context)).strip("\n")
    return f"{command.get_short_help_str(200)}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page())

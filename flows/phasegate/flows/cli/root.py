"""The `phasegate` command and its table of contents; a command's module is imported when the command is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Start here": {
        "demo": "demo",
        "init": "init",
        "doctor": "doctor",
    },
    "Runs": {
        "run": "run",
        "runs": "runs",
        "show": "show",
        "watch": "watch",
        "diff": "diff",
        "logs": "logs",
    },
    "Gates": {"approve": "decide", "revise": "decide", "reject": "decide"},
    "Talking to agents": {"steer": "tell", "answer": "tell"},
    "Carrying on": {
        "pause": "requests",
        "resume": "requests",
        "replay": "replay",
        "cancel": "requests",
        "rollback": "requests",
        "checkpoints": "checkpoints",
        "rewind": "rewind",
    },
    "The machine": {"up": "engine", "down": "engine", "status": "status", "clean": "clean"},
    "Checking": {"audit": "audit", "export": "export", "schema": "schema"},
}
"""Section of the help to command name to the module of `cli.commands` that has it."""

EXIT_CODES = (
    "Exit codes: 0 done · 1 failed, rejected or cancelled · 2 usage, configuration or no engine · "
    "3 waiting for a person · 4 rolled back · 5 paused, or needs an operator · 130 interrupted."
)


class _Contents(click.Group):
    """A group that knows its commands by name and imports each when asked for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help."""
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or return None if there is no such command."""
        for commands in SECTIONS.values():
            if cmd_name in commands:
                module = importlib.import_module(f"phasegate.flows.cli.commands.{commands[cmd_name]}")
                command = getattr(module, cmd_name)
                assert isinstance(command, click.Command), cmd_name  # noqa: S101  the table above is ours
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's commands, a block per section."""
        for section, names in SECTIONS.items():
            rows: list[tuple[str, str]] = []
            for name in names:
                command = self.get_command(ctx, name)
                rows.append((name, "" if command is None else command.get_short_help_str(90)))
            with formatter.section(section):
                formatter.write_dl(rows)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"phasegate {version('phasegate')}")
    ctx.exit()


@click.group(
    cls=_Contents,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
    invoke_without_command=False,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def phasegate() -> None:
    """From ticket to running in production with development agents nobody has to trust.

    A person files a ticket; agents write the PRD, the change, its tests and the release; a person says go at each gate;
    whatever was done can be undone. See it all at once with `phasegate demo`.
    """

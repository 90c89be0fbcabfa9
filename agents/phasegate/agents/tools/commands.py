"""`search` and `run`: what goes through the sandbox, a hostile pattern included."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from phasegate.agents.tools.failure import ToolFailure
from phasegate.agents.tools.files import Arguments
from phasegate.agents.tools.folder import Folder
from phasegate.infra.sandbox import Sandbox

_SEARCH_TIMEOUT = timedelta(seconds=20)
_SHOWN_MATCHES = 200
_OUTPUT_BYTES = 16_000


class Search(Arguments):
    """Search text files for a regular expression."""

    pattern: str = Field(min_length=1)
    """A Perl-compatible regular expression, matched line by line."""
    path: str = "."
    """File or folder to search, relative to the repository's root."""


class RunCommand(Arguments):
    """Run a shell command at the repository's root, in a sandbox without network."""

    command: str = Field(min_length=1)
    """The command line."""


async def search(folder: Folder, sandbox: Sandbox, arguments: Search) -> str:
    """Matching lines as `path:line:text`, at most 200."""
    where = folder.name(folder.inside(arguments.path))
    command = ["grep", "-rnIP", f"-m{_SHOWN_MATCHES}", "--exclude-dir=.git", "--exclude-dir=node_modules"]
    result = await sandbox.run(
        [*command, "--exclude-dir=.venv", "-e", arguments.pattern, "--", where],
        folder=folder.root,
        timeout=_SEARCH_TIMEOUT,
        output_limit=_OUTPUT_BYTES,
    )
    if result.exit_code not in {0, 1} or result.timed_out:
        raise ToolFailure(f"the search failed: {result.output.strip() or 'it took too long'}")
    lines = [line.removeprefix("./") for line in result.output.splitlines()]
    if len(lines) > _SHOWN_MATCHES:
        lines = [
            *lines[:_SHOWN_MATCHES],
            f"… {len(lines) - _SHOWN_MATCHES} more matches: narrow the pattern or the path",
        ]
    return "\n".join(lines) or "(no match)"


async def run_command(folder: Folder, sandbox: Sandbox, arguments: RunCommand, *, limit: timedelta) -> str:
    """The command's output and exit code; it is stopped when it takes longer than `limit`."""
    result = await sandbox.run(arguments.command, folder=folder.root, timeout=limit, output_limit=_OUTPUT_BYTES)
    ended = f"stopped after {limit.total_seconds():.0f} s" if result.timed_out else f"exit code {result.exit_code}"
    return f"{result.output.rstrip()}\n[{ended}]".lstrip("\n")

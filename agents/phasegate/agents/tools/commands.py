"""`search` and `run`: the tools that work in the sandbox, hostile patterns included."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from pydantic import Field

from phasegate.agents.tools.failure import ToolFailure
from phasegate.agents.tools.files import Arguments
from phasegate.agents.tools.folder import Folder
from phasegate.agents.tools.guardrails import Guardrails
from phasegate.infra.command_rules import only_reads, signs_in
from phasegate.infra.errors import ServiceFailed
from phasegate.infra.policy.services import ServicePolicy
from phasegate.infra.sandbox import Sandbox, run_with_services
from phasegate.infra.system.threads import uninterrupted

_SEARCH_TIMEOUT = timedelta(seconds=20)
_SHOWN_MATCHES = 200
_OUTPUT_BYTES = 16_000
_NAMED_FILES = 8
_NAMED_BYTES = 256 * 1024


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


async def run_command(
    folder: Folder,
    sandbox: Sandbox,
    guardrails: Guardrails,
    arguments: RunCommand,
    *,
    limit: timedelta,
    services: Sequence[ServicePolicy] = (),
) -> str:
    """The command's output and exit code; it is stopped when it takes longer than `limit`.

    Args:
        folder: Where it runs.
        sandbox: What it runs in.
        guardrails: Takes the record.
        arguments: The command.
        limit: Wall clock.
        services: Services for the project's tests; started fresh for a command that does more than read files.

    Raises:
        ToolFailure: A service did not come up.
    """
    command = arguments.command
    # the files before it runs: it may remove them
    named, reads_only = await uninterrupted(lambda: (list(_named_files(folder, command)), only_reads(command)))
    needed = () if reads_only else services
    try:
        result = await run_with_services(
            sandbox, needed, command, folder=folder.root, timeout=limit, output_limit=_OUTPUT_BYTES
        )
    except ServiceFailed as error:
        raise ToolFailure(f"not run, for no fault of yours: {error.message}") from error

    def look_for_signs() -> None:
        signs = signs_in(command, result, files=named, sensitive_words=guardrails.sensitive_words)
        guardrails.attempted(command, signs, refused=result.refused, exit_code=result.exit_code)

    await uninterrupted(look_for_signs)
    ended = f"stopped after {limit.total_seconds():.0f} s" if result.timed_out else f"exit code {result.exit_code}"
    if result.stopped:
        ended = f"stopped: {result.stopped}"
    lines = [result.output.rstrip(), *(f"[proxy: {refusal}]" for refusal in result.refused), f"[{ended}]"]
    return "\n".join(line for line in lines if line)


def _named_files(folder: Folder, command: str) -> Iterator[str]:
    """The text of the workspace's files that a command names, such as a script it starts."""
    words = list(dict.fromkeys(re.split(r"[\s'\";&|<>()=`$]+", command)))
    count = 0
    for word in words:
        if not word or count == _NAMED_FILES:
            continue
        try:
            path = folder.inside(word)
            if path.is_file() and path.stat().st_size <= _NAMED_BYTES:
                count += 1
                yield path.read_text(errors="replace")
        except (ToolFailure, OSError, ValueError):  # no file of the workspace
            continue

"""The project's setup command, with the credentials that policy hands to it and to nothing else.

Called for grading's checkouts and for agents' worktrees. The credentials come from the engine's environment; they are
masked in what the command said, and a setup that writes one into the checkout is refused, since tests and agents read
there. It must not know what is set up.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox.port import BuildCaches, CommandResult, Sandbox
from phasegate.infra.secrets import Secrets

_LOGIN = re.compile(r"://([^/\s@]+)@")
_NO_SECRET = re.compile(r"(?i)_USER(NAME)?$")
_REFUSED = 1
_FILES = 20_000
_LARGEST = 1024**2
_BYTES = 64 * 1024**2
_CLOCK_SECONDS = 1.0  # by which a file system's clock may lag behind


async def run_setup(
    sandbox: Sandbox,
    policy: Policy,
    folder: Path,
    *,
    inside: Path | None = None,
    on_done: Callable[[], None] | None = None,
    caches: BuildCaches | None = None,
) -> CommandResult:
    """Run `project.setup` in a fresh checkout.

    Args:
        sandbox: Where.
        policy: Names the command, its variables, and whether it reaches the network.
        folder: The checkout.
        inside: Place at which the command finds the checkout; `None`: where it is.
        caches: As for the sandbox.
        on_done: Called once the command has ended, before anything is read of what it left.

    Returns:
        How it ended; with exit code 1 where it left a credential in the checkout, of which the output tells.
    """
    handed = {name: os.environ[name] for name in policy.project.setup_environment if name in os.environ}
    credentials = _credentials(handed)
    began = time.time() - _CLOCK_SECONDS
    done = await sandbox.run(
        policy.project.setup,
        folder=folder,
        timeout=policy.project.test_timeout,
        network=policy.sandbox.setup_network,
        environment=handed,
        inside=inside,
        caches=caches,
    )
    if on_done:
        await asyncio.to_thread(on_done)
    done = replace(done, output=credentials.mask_known(done.output + _refusals(done)))
    leftover = await asyncio.to_thread(_left_behind, folder, credentials, began) if handed else ""
    if done.exit_code != 0 or not leftover:
        return done
    output = f"{done.output.rstrip()}\nIt left {leftover}, where tests and agents would read it."
    return replace(done, exit_code=_REFUSED, output=output.lstrip())


def _refusals(done: CommandResult) -> str:
    """Addresses that a failed setup was refused, for its output: tools do not repeat the proxy's answer."""
    if done.exit_code == 0 or not done.refused:
        return ""
    refused = "".join(f"\n- {reason}" for reason in done.refused)
    return (
        f"\nThe sandbox's proxy refused:{refused}\nA host with a private address needs `HOST:PORT` in sandbox.network."
    )


def _credentials(handed: Mapping[str, str]) -> Secrets:
    """Secret parts of the variables: of an address its login, of another value all of it."""
    known: dict[str, str] = {}
    for name, value in handed.items():
        login = _LOGIN.search(value)
        if login is None:
            if "://" not in value and not _NO_SECRET.search(name):
                known[name] = value
            continue
        secret = login[1].partition(":")[2] or login[1]
        known |= {name: value, f"the login in {name}": secret, f"the login in {name}, decoded": unquote(secret)}
    return Secrets(known)


def _left_behind(folder: Path, credentials: Secrets, began: float) -> str:
    """The first credential in a file that was written since, and that file; of large checkouts a part is read."""
    total = 0
    for number, (path, size) in enumerate(_written(folder, began)):
        total += size
        if number >= _FILES or total > _BYTES:
            return ""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # not to be read by its owner either
            continue
        if name := credentials.known_in(text):
            return f"{name} in {path.relative_to(folder)}"
    return ""


def _written(folder: Path, began: float) -> Iterator[tuple[Path, int]]:
    """Regular files changed since then, those near the root first, without the largest."""
    pending = deque([folder])
    while pending:
        try:
            entries = sorted(os.scandir(pending.popleft()), key=lambda entry: entry.name)
        except OSError:  # as above
            continue
        for entry in entries:
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode) and entry.name != ".git":
                pending.append(Path(entry.path))
            elif stat.S_ISREG(about.st_mode) and about.st_ctime >= began and about.st_size <= _LARGEST:
                yield Path(entry.path), about.st_size

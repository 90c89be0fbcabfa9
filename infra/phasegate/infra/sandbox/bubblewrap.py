"""Commands shut in by bubblewrap: system folders and toolchains to read, the workspace to write, and nothing else.

Made by `open_sandbox`. What is not listed here does not exist inside: homes, other projects,
phasegate's state, sockets of services. Source: bwrap(1); arguments take effect in the order they are given.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Self

from phasegate.infra.errors import SandboxMissing
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import bridge
from phasegate.infra.sandbox.cache_folders import laid_caches
from phasegate.infra.sandbox.closed_files import Closed, ClosedFiles, Tree
from phasegate.infra.sandbox.environment import allowed_environment, as_arguments, search_path
from phasegate.infra.sandbox.git_view import git_link, git_view
from phasegate.infra.sandbox.identity import Identity
from phasegate.infra.sandbox.limits import groups_bound_memory
from phasegate.infra.sandbox.overlay import Mount, mounted
from phasegate.infra.sandbox.port import OUTPUT_LIMIT, BuildCaches, CommandResult
from phasegate.infra.sandbox.process import Transcript, run_limited
from phasegate.infra.sandbox.proxy import Dialer, Proxy, SystemDialer
from phasegate.infra.sandbox.status import SandboxStatus
from phasegate.infra.sandbox.system_call_filter import opened_filter
from phasegate.infra.sandbox.toolchains import SYSTEM, rustup_home, toolchains

HOME = Path("/tmp/home")  # noqa: S108 - in the sandbox's own /tmp
_BRIDGE, _PROXY = "/run/phasegate/bridge.py", "/run/phasegate/proxy.sock"
_KEY_LISTS = ("/proc/keys", "/proc/key-users")
"""Lists of keys that their owner may see, wherever they are."""
_WAIT = 'while :; do while read -r key value; do [ "$key$value" = Seccomp:2 ] && break 2; done </proc/1/status; done'
_FILTERED_FIRST = ("/bin/sh", "-c", f'{_WAIT}; exec "$@"', "sh")
"""Words that run a command once bwrap's own process inside has the filter, too: before, a tracer could use it."""
_SETUP_FAILED = 1
"""Exit code of bwrap where it cannot shut a command in, e.g. since a closed file is gone meanwhile."""
_FURTHER_SETUPS = 2
_TRIAL_SECONDS = 20
_DEEP = ("/etc", "/opt", "/usr/local", "/nix/var")
"""Trees of the system in which administrators and services keep files."""
_SHALLOW = ("/usr", "/lib", "/lib32", "/lib64", "/libx32")
"""Trees of the system's packages, which keep nothing secret."""


@dataclass(frozen=True)
class Bubblewrap:
    """Commands run in namespaces of their own.

    Attributes:
        policy: Limits, and the variables that are handed in.
        state_folder: phasegate's own; never visible inside, but for the workspace that a command is given.
        program: bwrap.
        shell: The arguments that are the same for every command.
        tools: The toolchains' folders.
        closed: Files in the folders above that no command may see.
        dialer: How the proxy reaches the hosts that policy names.
    """

    name: ClassVar[str] = "bubblewrap"
    policy: SandboxPolicy
    state_folder: Path
    program: str
    shell: tuple[str, ...]
    tools: tuple[Path, ...]
    closed: ClosedFiles
    dialer: Dialer = field(default_factory=SystemDialer)

    @classmethod
    def open(cls, policy: SandboxPolicy, state_folder: Path) -> Self:
        """Find bwrap and what commands need to see, and try it once.

        Raises:
            SandboxMissing: bwrap is not installed, or does not work here, or there is no filter for this machine.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise SandboxMissing("bubblewrap is not installed: there is no bwrap on PATH")
        tools = tuple(toolchains())
        state = state_folder.absolute()
        closed = ClosedFiles(_trees(tools), state, used=[*tools, *map(Path, search_path())])
        sandbox = cls(policy, state, program, tuple(_mounts(policy, tools)), tools, closed)
        try:
            with opened_filter() as descriptor:
                done = subprocess.run(
                    [program, *sandbox.shell, *_filtered(descriptor), "--remount-ro", "/", "--", "/bin/sh", "-c", ":"],
                    capture_output=True,
                    timeout=_TRIAL_SECONDS,
                    check=False,
                    env={},
                    pass_fds=[descriptor],
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxMissing(f"bubblewrap does not work here: {error}") from error
        if done.returncode != 0:
            message = done.stderr.decode(errors="replace").strip()
            raise SandboxMissing(
                f"bubblewrap does not work here: {message}",
                remedy="Allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, or an AppArmor "
                'profile for bwrap), or set `[sandbox] backend = "none"` in phasegate.toml to run without a sandbox.',
            )
        return sandbox

    async def run(
        self,
        command: str | Sequence[str],
        *,
        folder: Path,
        timeout: timedelta,  # noqa: ASYNC109 - the port's
        network: bool = False,
        environment: Mapping[str, str] | None = None,
        on_output: Callable[[str], None] | None = None,
        writable: Sequence[Path] = (),
        output_limit: int = OUTPUT_LIMIT,
        inside: Path | None = None,
        beneath: Path | None = None,
        caches: BuildCaches | None = None,
        identity: Identity | None = None,
    ) -> CommandResult:
        """As the port says."""
        compiled = caches.workspace if caches else None
        workspace = Mount(folder, tuple(place for place in (compiled, beneath) if place is not None))
        homes = await asyncio.to_thread(laid_caches, caches) if caches else {}
        tools = [identity.tools] if identity and identity.tools else []
        mounting = mounted([workspace, *homes.values(), *tools])
        given = allowed_environment(self.policy.environment, HOME)
        if rustup_home() in self.tools:
            given["RUSTUP_HOME"] = str(rustup_home())
        hosts = self.policy.network
        proxy = Proxy.to_any_public(self.dialer, hosts) if network else Proxy(hosts, self.dialer)
        isolated = not network and not hosts
        async with _egress(proxy, isolated=isolated) as (shown, wrapper), _names(identity, wrapper) as named:

            async def shut_in(closed: Closed) -> tuple[CommandResult, bool]:
                filtering = opened_filter(bounds_sharing=not groups_bound_memory())
                with filtering as descriptor, SandboxStatus() as status:
                    own = [*shown, *named, *_homes(homes), *_filtered(descriptor), *status.arguments]
                    places = (workspace.mountpoint, inside or folder)
                    first = () if "--as-pid-1" in own else _FILTERED_FIRST
                    with _argument_file(self._walls(places, writable, own, closed)) as walls:
                        begin = [*mounting, self.program, "--args", str(walls), "--chdir", str(places[1].absolute())]
                        done = await run_limited(
                            [*begin, "--", *first, *wrapper, *as_arguments(command)],
                            policy=self.policy,
                            folder=folder,
                            # bwrap itself gets no more than the command, which can read the environment of process 1
                            environment=given | dict(environment or {}),
                            seconds=timeout.total_seconds(),
                            transcript=Transcript(output_limit, on_output),
                            writable=[*writable, *([caches.written] if caches else [])],
                            descriptors=[descriptor, status.descriptor, walls],
                        )
                    return done, status.has_started

            result, has_started = await shut_in(await asyncio.to_thread(self.closed.current))
            for _ in range(_FURTHER_SETUPS):
                if has_started or result.exit_code != _SETUP_FAILED:
                    break
                result, has_started = await shut_in(await asyncio.to_thread(self.closed.current, again=True))
        return replace(result, refused=tuple(proxy.refused))

    def _walls(
        self, workspace: tuple[Path, Path], writable: Sequence[Path], shown: Sequence[str], closed: Closed
    ) -> list[str]:
        """Arguments of bwrap for one command."""
        own, inside = workspace[0].absolute(), workspace[1].absolute()
        masks = [word for file in closed.files for word in ("--ro-bind", "/dev/null", file)]
        masks += [word for place in closed.folders for word in ("--tmpfs", place)]
        # not before, since places of the command may lie below one of them
        shut = [word for place in closed.folders for word in ("--remount-ro", place)]
        return [*self.shell, *shown, *masks, *self._places(own, inside, writable), *shut]

    def _places(self, folder: Path, inside: Path, writable: Sequence[Path]) -> Iterator[str]:
        """The folders of this one command, after the walls."""
        shown = (*map(Path, SYSTEM), *self.tools)
        if any(self.state_folder.is_relative_to(place) for place in shown):
            yield from ("--tmpfs", str(self.state_folder))
        places = (folder, *(place.absolute() for place in writable))
        yield from git_view(folder, places, self.state_folder / "sandbox")
        for place in places:
            yield from ("--bind", str(place), str(inside if place == folder else place))
        yield from git_link(folder, places)
        yield from ("--remount-ro", "/")


@asynccontextmanager
async def _egress(proxy: Proxy, *, isolated: bool) -> AsyncGenerator[tuple[list[str], list[str]]]:
    """Run the proxy, unless the command is isolated from every host.

    Yields:
        Arguments that show the proxy's socket inside, and words before the command that start the bridge to it.
    """
    if isolated:
        yield [], []
        return
    with tempfile.TemporaryDirectory(prefix="phasegate-") as scratch:  # a socket's path has to be short
        path = Path(scratch) / "proxy"
        async with proxy.listening(path):
            shown = ["--ro-bind", str(bridge.__file__), _BRIDGE, "--ro-bind", str(path), _PROXY]
            yield shown, [sys.executable, "-I", "-S", _BRIDGE, _PROXY]


@asynccontextmanager
async def _names(identity: Identity | None, wrapper: Sequence[str]) -> AsyncGenerator[list[str]]:
    """Arguments for the names of a command, whose files are there as long as it runs."""
    if identity is None:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="phasegate-") as scratch:
        first = ["--as-pid-1"] if identity.is_first and not wrapper else []
        yield [*first, *identity.arguments(Path(scratch))]


@contextmanager
def _argument_file(words: Sequence[str]) -> Generator[int]:
    """Descriptor of a file with bwrap's arguments, which bwrap closes.

    A command can read the arguments of process 1, and these name the host's paths.
    """
    with os.fdopen(os.memfd_create("arguments"), "wb") as file:
        file.write(b"".join(os.fsencode(word) + b"\0" for word in words))
        file.flush()
        file.seek(0)
        yield file.fileno()


def _filtered(descriptor: int) -> list[str]:
    return ["--seccomp", str(descriptor)]


def _homes(mounts: Mapping[str, Mount]) -> Iterator[str]:
    for folder, mount in mounts.items():
        yield from ("--bind", str(mount.mountpoint), str(HOME / folder))


def _mounts(policy: SandboxPolicy, tools: Sequence[Path]) -> Iterator[str]:
    # dropping all capabilities matters to root, who keeps them otherwise and could take the walls down
    yield from ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
    for place in map(Path, SYSTEM):
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), str(place))
        elif place.exists():
            yield from ("--ro-bind", str(place), str(place))
    # a command that is root outside could set the machine's own switches below /proc/sys, without any capability
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
    for listing in _KEY_LISTS:
        yield from ("--ro-bind-try", "/dev/null", listing)
    yield from ("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu")
    for scratch, share in (("/tmp", 1), ("/dev/shm", 4), ("/run", 16)):  # noqa: S108 - each sandbox has its own
        yield from ("--size", str(policy.memory // share), "--perms", "1777", "--tmpfs", scratch)
    yield from ("--symlink", "/tmp", "/var/tmp", "--symlink", "/run", "/var/run", "--dir", str(HOME))  # noqa: S108 - as above
    for tool in tools:
        yield from ("--ro-bind", str(tool.resolve()), str(tool))
        if tool.resolve() != tool:
            yield from ("--ro-bind", str(tool.resolve()), str(tool.resolve()))


def _trees(tools: Sequence[Path]) -> list[Tree]:
    """Trees of the system in which others may have put files, and the toolchains' folders."""
    system = [Tree(Path(place), is_deep=place in _DEEP) for place in (*_DEEP, *_SHALLOW)]
    return [*system, *(Tree(place) for tool in tools for place in {tool, tool.resolve()})]

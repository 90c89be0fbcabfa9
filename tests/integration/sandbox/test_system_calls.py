"""P10: a command reaches no keyring, no host of a virtual machine, and no namespace of its own making."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, bubblewrap, open_sandbox

LONG = timedelta(seconds=60)
SESSION, USER = -3, -4
"""Keyrings that every process has. Source: keyctl(2)."""
ADD_KEY, KEYCTL = {"x86_64": (248, 250)}.get(platform.machine(), (217, 219))
SEARCH, READ, INVALIDATE = 10, 11, 21
CALL = """\
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    return int(libc.syscall(number, *arguments)), ctypes.get_errno()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state" / "workspace").mkdir(parents=True)
    return tmp_path / "state" / "workspace"


@pytest.fixture
def sandbox(folder: Path) -> Sandbox:
    return open_sandbox(SandboxPolicy(), folder.parent)


async def output(sandbox: Sandbox, folder: Path, script: str) -> str:
    done = await sandbox.run(["python3", "-c", CALL + script], folder=folder, timeout=LONG)
    return done.output


def add_key(name: bytes, ring: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(ADD_KEY, b"user", name, b"hunter2", 7, ring))


def remove_key(key: int) -> None:
    ctypes.CDLL(None).syscall(KEYCTL, INVALIDATE, key)


def has_key(name: bytes, ring: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(KEYCTL, SEARCH, ring, b"user", name, 0)) > 0


@pytest.mark.parametrize("ring", [SESSION, USER])
async def test_keys_of_the_engine_s_session_are_out_of_reach(sandbox: Sandbox, folder: Path, ring: int) -> None:
    """Mutation tried: bwrap without `--seccomp`."""
    key = add_key(b"phasegate-test", ring)
    if key < 0:
        pytest.skip("this machine's kernel has no keyrings, or allows none")
    script = (
        f"print(call({KEYCTL}, {SEARCH}, {ring}, b'user', b'phasegate-test', 0), call({KEYCTL}, {READ}, {key}, 0, 0))"
    )
    said = await output(sandbox, folder, script)
    listed = await sandbox.run("cat /proc/keys /proc/key-users", folder=folder, timeout=LONG)
    remove_key(key)
    assert said == f"{(-1, errno.EPERM)} {(-1, errno.EPERM)}\n"
    assert "phasegate-test" not in listed.output


@pytest.mark.parametrize("ring", [SESSION, USER])
async def test_no_key_outlives_a_command(sandbox: Sandbox, folder: Path, ring: int) -> None:
    """Mutation tried: bwrap without `--seccomp`."""
    name = f"phasegate-left-{os.getpid()}"
    said = await output(sandbox, folder, f"print(call({ADD_KEY}, b'user', b'{name}', b'v', 1, {ring}))")
    assert said == f"{(-1, errno.EPERM)}\n"
    assert not has_key(name.encode(), ring)


async def test_the_host_of_a_virtual_machine_is_out_of_reach(sandbox: Sandbox, folder: Path) -> None:
    """A socket of the family VSOCK passes by network namespaces. Mutation tried: all families allowed."""
    script = """
import socket
for family in (socket.AF_VSOCK, socket.AF_ALG, socket.AF_PACKET):
    try:
        socket.socket(family, socket.SOCK_STREAM)
        print("opened", family)
    except OSError as error:
        print(error.errno)
"""
    assert await output(sandbox, folder, script) == f"{errno.EAFNOSUPPORT}\n" * 3


async def test_a_nested_user_namespace_holds_nothing_else(sandbox: Sandbox, folder: Path) -> None:
    """Mutations tried: `unshare` and `clone` not looked at; `mount` allowed."""
    command = "for flag in -m -n -p -i -u -C; do unshare -U $flag echo new; done; unshare -U echo user"
    done = await sandbox.run(command, folder=folder, timeout=LONG)
    assert done.output.splitlines()[-1] == "user"
    assert "new" not in done.output.splitlines()
    mounted = await sandbox.run("unshare -U mount -t tmpfs none /tmp || echo no", folder=folder, timeout=LONG)
    assert mounted.output.endswith("no\n")


async def test_a_command_waits_until_process_one_is_filtered(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command may trace it, and have it call what the command itself may not. Mutation tried: no wait for it."""
    done = await sandbox.run("grep Seccomp: /proc/1/status /proc/self/status", folder=folder, timeout=LONG)
    assert [line.split()[-1] for line in done.output.splitlines()] == ["2", "2"]
    monkeypatch.setattr(bubblewrap, "_filtered", lambda _: [])
    never = await sandbox.run("echo started", folder=folder, timeout=timedelta(seconds=1))
    assert (never.timed_out, never.output) == (True, "")

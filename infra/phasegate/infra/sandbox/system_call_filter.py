"""System-call filter of a command: a seccomp program that refuses what no build needs.

Called by the bubblewrap backend, which hands the program to bwrap. Namespaces do not reach what it refuses: keyrings,
sockets of a virtual machine's host, the code of the kernel that only an administrator's tools use. It must not know
what a command is for. Source: seccomp(2), bpf_jit instructions of `linux/bpf_common.h`.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from phasegate.infra.errors import SandboxMissing

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions: load a word, jump if it is equal, at least, or has one of the bits; return."""
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Places in `struct seccomp_data`; of an argument the lower half, which holds all flags."""
_UPPER_HALF = 4
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
"""Bit of a system call's number that chooses the x32 table."""
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
"""Namespaces but the user's: mounts, cgroups, names of the host, IPC, processes, network. Source: clone(2)."""
_TIME_NAMESPACE = 0x00000080
_FAMILIES = (socket.AF_UNSPEC, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""Families of sockets that a network namespace or a mount namespace shuts in."""

LARGEST_SEGMENT = 16 * 1024
"""Bytes of a System V segment where nothing else bounds their sum; Postgres needs less, and there may be 4,096."""

_UNIFIED = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "open_tree_attr": 467,
}
"""System calls of every machine that are refused."""
_ABSENT = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435}
"""System calls of every machine that callers do without: a ring passes no filter, and a filter reads no structure."""
_GENERIC = {
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "mount": 40,
    "umount2": 39,
    "pivot_root": 41,
    "setns": 268,
    "bpf": 280,
    "perf_event_open": 241,
    "userfaultfd": 282,
    "kexec_load": 104,
    "kexec_file_load": 294,
    "open_by_handle_at": 265,
}
"""System calls that are refused, by the table of machines without an older one of their own."""


@dataclass(frozen=True)
class MachineCalls:
    """Numbers of a kind of machine."""

    architecture: int
    """As the kernel's audit names it."""
    refused: tuple[int, ...]
    unshare: int
    clone: int
    socket: int
    socketpair: int
    shmget: int
    memfd_create: int
    has_x32: bool = False


def _generic(architecture: int) -> MachineCalls:
    refused = (*_GENERIC.values(), *_UNIFIED.values())
    return MachineCalls(
        architecture, refused, unshare=97, clone=220, socket=198, socketpair=199, shmget=194, memfd_create=279
    )


MACHINES = {
    "x86_64": MachineCalls(
        0xC000003E,
        # in the order of _GENERIC
        (248, 249, 250, 165, 166, 155, 308, 321, 298, 323, 246, 320, 304, *_UNIFIED.values()),
        unshare=272,
        clone=56,
        socket=41,
        socketpair=53,
        shmget=29,
        memfd_create=319,
        has_x32=True,
    ),
    "aarch64": _generic(0xC00000B7),
    "riscv64": _generic(0xC00000F3),
}
"""Kinds of machines, as uname(2) names them."""


def filter_program(machine: MachineCalls, *, bounds_sharing: bool = False) -> bytes:
    """Instructions for the kernel.

    - Another architecture's system calls end the process: their numbers mean something else.
    - Keys, mounts and the rest of `refused` fail with EPERM, as do new namespaces but that of a user.
    - Calls that callers do without fail with ENOSYS, sockets of other families with EAFNOSUPPORT.
    - `bounds_sharing`: segments above `LARGEST_SEGMENT` fail with ENOMEM, and files of memfd_create(2) with ENOSYS.
      A watch from outside sees neither a segment that is not attached nor a file that is on its way in a socket.
    """
    checks: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine.has_x32:
        checks += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for number in machine.refused:
        checks += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | errno.EPERM)]
    for number in _ABSENT.values():
        checks += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    for number, bits in ((machine.unshare, _NAMESPACES | _TIME_NAMESPACE), (machine.clone, _NAMESPACES)):
        checks += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_ANY_BIT, 0, 1, bits),
            (_RETURN, 0, 0, _REFUSE | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    allowed = [(_EQUAL, len(_FAMILIES) - place, 0, family) for place, family in enumerate(_FAMILIES)]
    for number in (machine.socket, machine.socketpair):
        checks += [
            (_EQUAL, 0, len(_FAMILIES) + 3, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            *allowed,
            (_RETURN, 0, 0, _REFUSE | errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        ]
    if bounds_sharing:
        checks += [
            (_EQUAL, 0, 1, machine.memfd_create),
            (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
            (_EQUAL, 0, 5, machine.shmget),
            (_LOAD, 0, 0, _SECOND_ARGUMENT + _UPPER_HALF),
            (_AT_LEAST, 2, 0, 1),
            (_LOAD, 0, 0, _SECOND_ARGUMENT),
            (_AT_LEAST, 0, 1, LARGEST_SEGMENT + 1),
            (_RETURN, 0, 0, _REFUSE | errno.ENOMEM),
        ]
    checks.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *check) for check in checks)


@contextmanager
def opened_filter(*, bounds_sharing: bool = False) -> Generator[int]:
    """Open a file with this machine's program, to be handed to a child process.

    Args:
        bounds_sharing: As of `filter_program`.

    Raises:
        SandboxMissing: phasegate has no table of system calls for this kind of machine.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise SandboxMissing(f"the sandbox has no system-call filter for machines of the kind {platform.machine()}")
    descriptor = os.memfd_create("phasegate-filter")
    try:
        os.write(descriptor, filter_program(machine, bounds_sharing=bounds_sharing))
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)

"""Filter of system calls, run by a small interpreter: machines of other kinds are checked on this one, too."""

from __future__ import annotations

import errno
import platform
import struct

import pytest

from phasegate.infra.errors import SandboxMissing
from phasegate.infra.sandbox.system_call_filter import (
    LARGEST_SEGMENT,
    MACHINES,
    MachineCalls,
    filter_program,
    opened_filter,
)

ALLOWED = 0x7FFF0000
KILLED = 0x80000000
NEW_USER, NEW_MOUNTS, NEW_NETWORK = 0x10000000, 0x00020000, 0x40000000
VSOCK, INET, NETLINK = 40, 2, 16
GETPID = {"x86_64": 39, "aarch64": 172, "riscv64": 172}


def refused(number: int) -> int:
    return 0x00050000 | number


def decide(
    machine: MachineCalls, number: int, argument: int = 0, second: int = 0, architecture: int | None = None
) -> int:
    """Run the program as the kernel does."""
    data = struct.pack("=IIQQQ", number, architecture or machine.architecture, 0, argument, second)
    program = list(struct.iter_unpack("=HBBI", filter_program(machine, bounds_sharing=True)))
    word, place = 0, 0
    while True:
        code, if_true, if_false, operand = program[place]
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            word = struct.unpack_from("=I", data, operand)[0]
        else:
            holds = {0x15: word == operand, 0x35: word >= operand, 0x45: bool(word & operand)}[code]
            place += if_true if holds else if_false
        place += 1


@pytest.mark.parametrize("kind", MACHINES)
def test_each_machine_refuses_the_same(kind: str) -> None:
    """Mutations tried: a jump one instruction short; the family allowed by the wrong argument."""
    machine = MACHINES[kind]
    assert {decide(machine, number) for number in machine.refused} == {refused(errno.EPERM)}
    assert decide(machine, GETPID[kind]) == ALLOWED
    assert decide(machine, GETPID[kind], architecture=0x40000003) == KILLED
    assert decide(machine, machine.socket, INET) == decide(machine, machine.socketpair, NETLINK) == ALLOWED
    assert decide(machine, machine.socket, VSOCK) == refused(errno.EAFNOSUPPORT)
    assert decide(machine, machine.unshare, NEW_USER) == decide(machine, machine.clone, NEW_USER | 17) == ALLOWED
    for call in (machine.unshare, machine.clone):
        for flags in (NEW_MOUNTS, NEW_USER | NEW_NETWORK):
            assert decide(machine, call, flags) == refused(errno.EPERM)
    assert {decide(machine, number) for number in (425, 435)} == {refused(errno.ENOSYS)}


@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("size", [LARGEST_SEGMENT + 1, 1 << 31, 1 << 32, (1 << 40) + 1])
def test_large_segments_are_refused_where_nothing_bounds_their_sum(kind: str, size: int) -> None:
    """Mutation tried: the lower half of the size alone compared."""
    machine = MACHINES[kind]
    assert decide(machine, machine.shmget, 0, size) == refused(errno.ENOMEM)
    assert decide(machine, machine.shmget, 0, LARGEST_SEGMENT) == ALLOWED
    assert decide(machine, machine.memfd_create) == refused(errno.ENOSYS)


def test_the_second_table_of_a_machine_is_no_way_round() -> None:
    """Mutation tried: no check of the bit."""
    assert decide(MACHINES["x86_64"], 0x40000000 | 250) == KILLED


def test_a_machine_without_a_table_has_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation tried: no filter where there is no table."""
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(SandboxMissing, match="s390x"), opened_filter():
        pass

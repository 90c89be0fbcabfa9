"""P10: one limit holds over all memory of a command, and one over all that it writes, with a name or without."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, growth, limits, open_sandbox
from phasegate.infra.system.trees import remove_tree

LONG = timedelta(seconds=60)
MEBIBYTE = 1024**2
MEMORY = 256 * MEBIBYTE
DISK = 24 * MEBIBYTE

HEAP = "heap = [bytearray(150 << 20)]"
FILL = """
import mmap, os
def fill(part, mebibytes):
    for _ in range(mebibytes):
        part.write(bytes(1 << 20))
"""
FOLDER = "fill(open('/dev/shm/part', 'wb'), 60); fill(open('/tmp/part', 'wb'), 150)"
UNNAMED = "unnamed = open(os.memfd_create('x'), 'wb', buffering=0); fill(unnamed, 150); os.fork()"
UNTOUCHED = """
mapped = mmap.mmap(-1, 300 << 20)
if os.fork() == 0:
    fill(mapped, 300)
    os._exit(0)
os.wait()
"""
MAPPED = "mapped = mmap.mmap(-1, 150 << 20); fill(mapped, 150); os.fork()"
SEGMENT = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
assert libc.shmget(0, 10_000, 0o1600) >= 0
for _ in range(2):
    segment = libc.shmget(0, 150 << 20, 0o1600)
    if segment < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    place = libc.shmat(segment, None, 0)
    ctypes.memset(place, 1, 150 << 20)
    libc.shmdt(ctypes.c_void_p(place))
"""
WAIT = "\nimport time; print('kept', flush=True); time.sleep(10)"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state" / "workspace"
    folder.mkdir(parents=True)
    yield folder
    remove_tree(folder)


def opened(folder: Path, disk: int = DISK) -> Sandbox:
    return open_sandbox(SandboxPolicy(memory=MEMORY, disk=disk), folder.parent)


@pytest.fixture(params=["cgroup", "count"])
def bound(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Means by which memory is bounded."""
    how: str = request.param
    limits.groups_bound_memory.cache_clear()
    if how == "count":
        monkeypatch.setattr(limits, "new_groups", lambda *_, **__: [])
    elif not limits.groups_bound_memory():
        pytest.skip("this user may make no control group with memory here")
    yield how
    limits.groups_bound_memory.cache_clear()


@pytest.mark.parametrize(
    "parts",
    [(HEAP, FOLDER), (HEAP, UNNAMED), (HEAP, MAPPED), (UNNAMED, MAPPED), (FOLDER, MAPPED), (SEGMENT,), (UNTOUCHED,)],
    ids=["heap, files", "heap, memfd", "heap, mapped", "memfd, mapped", "files, mapped", "segments", "a child's"],
)
async def test_one_limit_holds_over_all_memory(parts: tuple[str, ...], bound: str, folder: Path) -> None:
    """Mutations tried: no group of memory; each kind left out of the count."""
    command = ["python3", "-c", "\n".join([FILL, *parts]) + WAIT]
    done = await opened(folder, 2 * MEMORY).run(command, folder=folder, timeout=LONG)
    if bound == "count" and not {SEGMENT, UNNAMED}.isdisjoint(parts):  # a watch from outside would not see all of it
        assert "kept" not in done.output
        assert re.search("Cannot allocate memory|Function not implemented", done.output)
    else:
        assert done.stopped == "more than 256 MiB of memory"


async def test_memory_that_a_child_ran_out_of_is_told(bound: str, folder: Path) -> None:
    """Mutation tried: no look after the command's end."""
    if bound == "count":
        return  # the kernel ends nothing that it does not count
    (folder / "fill.py").write_text(f"{FILL}\nfill(open('/tmp/part', 'wb'), 255); bytearray(60 << 20)")
    done = await opened(folder, 2 * MEMORY).run("python3 fill.py; exit 0", folder=folder, timeout=LONG)
    assert (done.stopped, done.exit_code != 0) == ("more than 256 MiB of memory", True)


def nameless(open_one: str) -> str:
    return f"import ctypes, os, socket\nparts = []\nfor number in range(3):\n    {open_one}\n"


WRITE = "os.write(part, bytes(20 << 20)); os.fsync(part)"
TEMPORARY = nameless(f"part = os.open('.', os.O_TMPFILE | os.O_RDWR); {WRITE}")
REMOVED = nameless(f"part = os.open('x', os.O_CREAT | os.O_RDWR); os.unlink('x'); {WRITE}")
IN_FLIGHT = nameless(
    f"part = os.open('.', os.O_TMPFILE | os.O_RDWR); {WRITE}; pair = socket.socketpair(); parts += pair;"
    " socket.send_fds(pair[0], [b'x'], [part]); os.close(part)"
)
ONLY_MAPPED = nameless(
    f"part = os.open('.', os.O_TMPFILE | os.O_RDWR); {WRITE};"
    " ctypes.CDLL(None).mmap(None, ctypes.c_size_t(4096), 1, 1, part, ctypes.c_size_t(0)); os.close(part)"
)
DEEP = """
import os
for _ in range(2200):
    os.mkdir('dd'); os.chdir('dd')
for number in range(3):
    with open(str(number), 'wb') as part:
        part.write(bytes(20 << 20)); os.fsync(part.fileno())
"""
QUICK = "open('a', 'wb').write(bytes(20 << 20)); open('b', 'wb').write(bytes(20 << 20)); os.sync()"


@pytest.mark.parametrize(
    "script",
    [TEMPORARY, REMOVED, IN_FLIGHT, ONLY_MAPPED, DEEP],
    ids=["O_TMPFILE", "removed", "in flight", "mapped", "deep"],
)
async def test_files_without_a_name_count(script: str, folder: Path) -> None:
    """Mutations tried: open files, mapped ones and those in flight left out; a deep folder passed over."""
    done = await opened(folder).run(["python3", "-c", script + WAIT], folder=folder, timeout=LONG)
    assert done.stopped == "more than 24 MiB written"


@pytest.mark.parametrize("make", ["open(name, 'x')", "os.symlink('x', name)", "os.mknod(name)", "os.mkdir(name)"])
async def test_files_without_content_count(make: str, folder: Path) -> None:
    """Each takes an inode. Mutation tried: only blocks counted."""
    script = f"import os\nfor number in range(9000):\n    name = str(number); {make}\n"
    done = await opened(folder).run(["python3", "-c", script + WAIT], folder=folder, timeout=LONG)
    assert done.stopped == "more than 24 MiB written"


async def test_what_a_quick_command_wrote_counts(folder: Path) -> None:
    """Mutation tried: no look after the command's end."""
    done = await opened(folder).run(["python3", "-c", f"import os\n{QUICK}"], folder=folder, timeout=LONG)
    assert (done.stopped, done.exit_code != 0) == ("more than 24 MiB written", True)


async def test_what_others_write_is_no_growth_of_a_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation tried: each file without a name taken for one that cannot be counted."""
    room = itertools.chain([(100 * DISK, 0)], itertools.repeat((0, 0)))
    monkeypatch.setattr(growth, "_free_room", lambda _: next(room))
    script = "import tempfile\npart = tempfile.TemporaryFile(dir='.'); part.write(bytes(1 << 20)); part.flush()"
    command = ["python3", "-c", f"{script}\nimport time; time.sleep(1)"]
    done = await opened(folder).run(command, folder=folder, timeout=LONG)
    assert (done.stopped, done.exit_code) == ("", 0)

"""A command runs under another name of the machine and of the user, and as the first process, where it is told to.

Mutations tried: the names of the machine left as they are, its name left out of `/etc/hosts`, files that belong to
nobody.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.sandbox.identity import draw_identity

LOOKS = """\
import os, pathlib, pwd, socket
print(os.getpid(), socket.gethostname(), socket.gethostbyname(socket.gethostname()), os.getuid(), os.getgid())
print(pwd.getpwuid(os.getuid()).pw_name, pathlib.Path("own").owner(), os.environ["USER"])
pathlib.Path("new").write_text("")
"""


async def test_a_command_has_the_identity_that_was_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "own").write_text("")
    identity = draw_identity("small", is_first=True)
    done = await open_sandbox(SandboxPolicy(), tmp_path / "state").run(
        [sys.executable, "-I", "-c", LOOKS],
        folder=folder,
        timeout=timedelta(seconds=60),
        environment=identity.environment,
        identity=identity,
    )
    numbers = f"1 {identity.host} 127.0.1.1 {identity.user} {identity.group}"
    assert done.output == f"{numbers}\n{' '.join([identity.account] * 3)}\n"
    assert (folder / "new").stat().st_uid == os.getuid()
    assert identity.host.startswith("small-")
    assert identity.user != os.getuid()

"""P9: what a rewind takes out of the folder stays reachable, however often the rewind is cut off and made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phasegate.infra.workspace import Repository, Workspace

if TYPE_CHECKING:
    from tests.integration.workspace.conftest import UserRepository


def test_a_repeated_rewind_keeps_what_the_first_one_found(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    """P9. Mutations tried: refs that are there are moved again; `work` names the checkpoint, not the folder."""
    base, folder = user.git("rev-parse", "main"), tmp_path / "state" / "workspaces" / "r1"
    workspace = Workspace.create(repository, "r1", base, folder)
    (folder / "half.py").write_text("half\n")
    (folder / "app.py").write_text("print('two')\n")
    kept = workspace.set_aside(1)
    workspace.restore(base)
    assert not (folder / "half.py").exists()
    assert workspace.set_aside(1) == kept
    work = "refs/phasegate/r1/rewound/1/work"
    assert work in kept
    assert (repository.read_file(work, "half.py"), repository.read_file(work, "app.py")) == (
        b"half\n",
        b"print('two')\n",
    )
    (folder / "later.py").write_text("later\n")
    workspace.set_aside(2)
    assert repository.read_file("refs/phasegate/r1/rewound/2/work", "later.py") == b"later\n"
    assert repository.read_file(work, "half.py") == b"half\n"

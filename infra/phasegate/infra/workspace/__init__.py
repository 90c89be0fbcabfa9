"""The user's repository, an agent's folder in it, and how a change gets from one to the other.

Called by stages and effects. It must not know why a change is made, who approved it, or what a stage is.
"""

from phasegate.infra.workspace.change_set import ChangeSet, FileChange
from phasegate.infra.workspace.integrate import (
    Merge,
    branch_head,
    find_merge,
    find_revert,
    merge,
    merges_to,
    revert,
)
from phasegate.infra.workspace.protection import matches
from phasegate.infra.workspace.rebase import patch_id, rebase
from phasegate.infra.workspace.released import keep_released, released_change
from phasegate.infra.workspace.repository import BaseCommit, Repository
from phasegate.infra.workspace.workspace import Workspace

__all__ = [
    "BaseCommit",
    "ChangeSet",
    "FileChange",
    "Merge",
    "Repository",
    "Workspace",
    "branch_head",
    "find_merge",
    "find_revert",
    "keep_released",
    "matches",
    "merge",
    "merges_to",
    "patch_id",
    "rebase",
    "released_change",
    "revert",
]

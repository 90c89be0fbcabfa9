"""Age of a checkout's files, as in a release that was made some time ago.

Called by `plain_run`. The files of a checkout are as new as the run itself, which code under test can see.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from phasegate.infra.grading.integrity.moved_environment import TOOL_FOLDERS
from phasegate.infra.system.trees import walk

_DAY = 86_400
_FEWEST_DAYS, _MOST_DAYS = 4, 60


def age_files(folder: Path) -> None:
    """Set the times of all files back by the same span, drawn each time; those that tools keep stay as they are.

    Args:
        folder: The checkout. What lies in it is untrusted, so no link is followed.
    """
    drawn = _FEWEST_DAYS + secrets.randbelow(_MOST_DAYS - _FEWEST_DAYS)
    back = (drawn * _DAY + secrets.randbelow(_DAY)) * 10**9
    places = [str(folder)]
    for parent, folders, files in walk(folder):
        places += (os.path.join(parent, name) for name in (*files, *folders))  # noqa: PTH118  for each of many files
        folders[:] = [name for name in folders if name not in TOOL_FOLDERS]
    for place in places:
        about = os.lstat(place)
        os.utime(place, ns=(about.st_atime_ns - back, about.st_mtime_ns - back), follow_symlinks=False)

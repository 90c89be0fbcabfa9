"""Take a checkout's own path out of what a test run wrote.

Called by `junit`. Two runs of one suite in two folders must give equal ids, however the runner spells the folder.
It must not know what a test is.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

_MARKS = ("/", ".", "-", "_", "%2F")
_FEWEST_PARTS = 2
"""Folders that a path needs before its dotted or dashed spelling can be told from a plain word."""


def without_path(text: str, root: Path) -> str:
    """Return the text without the checkout's path: what stood below it becomes relative, the path itself `.`."""
    return _pattern(root).sub(lambda match: "" if match[0].endswith(_MARKS) else ".", text)


def relative_file(file: str, root: Path) -> str | None:
    """Return a file as the report names it, relative to the checkout where it lies in it."""
    return os.path.normpath(without_path(file, root)) if file.strip() else None


@lru_cache(maxsize=32)
def _pattern(root: Path) -> re.Pattern[str]:
    plain = sorted({str(root).strip("/"), os.path.realpath(root).strip("/")} - {""}, key=len, reverse=True)
    spellings: list[str] = []
    for path in plain:
        kept = dict.fromkeys((path, quote(path), path.encode("unicode_escape").decode()))
        spellings += [_spelling("(?:file://)?/?", spelled, "/") for spelled in kept]
        spellings.append(_spelling("(?:%2F)?", quote(path, safe=""), "%2F"))
        if path.count("/") + 1 >= _FEWEST_PARTS:
            for mark in ".-_":
                joined = dict.fromkeys((path.replace("/", mark), re.sub(r"\W", mark, path)))
                spellings += [_spelling(f"[{mark}/]?", spelled, mark) for spelled in joined]
    return re.compile(rf"(?<!\w)(?:{'|'.join(spellings)})" if spellings else r"(?!)")


def _spelling(before: str, path: str, mark: str) -> str:
    return rf"{before}{re.escape(path)}(?:{re.escape(mark)}(?=[^\s])|(?![\w-]))"

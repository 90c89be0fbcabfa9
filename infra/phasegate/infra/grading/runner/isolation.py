"""Runners that give each test file an interpreter or a module registry of its own, so that none disturbs another.

Called where outcomes of some files are known already. In doubt the answer is no. It must not know which files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from phasegate.infra.grading.runner.fail_fast import package, script_of

_NODE_TEST = re.compile(r"\bnode\s(?:[^;&|]*\s)?--test\b")
_RUNNER = re.compile(r"(?<![\w./-])(?:vitest|jest|mocha|ava|tap|jasmine|karma|bun|pytest|playwright|cypress)\b")
_ISOLATING = {"vitest", "jest"}
_SHARED = re.compile(r"isolat|single-?(?:thread|fork)|\bbrowser\b|\brunner\b", re.IGNORECASE)
"""Words of options that may take the isolation away."""
_SETTINGS = re.compile(r"(?:.*/)?(?:vite|vitest|jest)\S*\.(?:config|workspace)\.\w+")


def isolates_files(command: str, files: Mapping[str, Callable[[], bytes | None]]) -> bool:
    """True if no test file can disturb another one but through files.

    Args:
        command: The project's test command.
        files: The project's files by path, each with a function that reads it.
    """
    script = script_of(command, files)[1] or command
    runners = set(_RUNNER.findall(script)) | ({"node"} if _NODE_TEST.search(script) else set[str]())
    if len(runners) != 1 or not runners <= {*_ISOLATING, "node"}:
        return False
    settings = [path for path in files if _SETTINGS.fullmatch(path)]
    texts = [script, *((files[path]() or b"").decode(errors="replace") for path in settings)]
    texts += [json.dumps(package(files).get(name)) for name in runners if "package.json" in files]
    return not any(_SHARED.search(text) for text in texts)

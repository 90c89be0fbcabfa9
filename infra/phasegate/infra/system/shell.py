"""The shell text that commands are started with. Standard library only: the supervisor of a service uses it, too."""

from __future__ import annotations

from collections.abc import Sequence


def tolerant(steps: Sequence[str]) -> str:
    """Shell text that runs each step, and continues where one fails, as where a stricter limit already holds."""
    return "".join(f"{{ {step}; }} 2>/dev/null || :\n" for step in steps)


def replacing_the_shell(command: str) -> str:
    """`exec` the command when it is one program's call, so that no shell stands between it and its signals."""
    first = command.split(maxsplit=1)[0] if command.strip() else ""
    several = any(character in command for character in ";&|()<>`\n")
    return command if several or "=" in first or first in {"cd", "exec", "."} else f"exec {command}"

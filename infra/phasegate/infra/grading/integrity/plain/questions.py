"""Questions that files of the change ask about their surroundings: variables that are not set, the parent, `/proc`.

Runs inside the sandbox, in the process that loads the change. How a name is spelled in a file does not matter.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

_LIBRARY = os.path.dirname(os.__file__)
_PLACES = ("/proc", "/.git")


class AskedQuestions:
    """Questions that files of the change have asked so far."""

    def __init__(self, files: set[str]) -> None:
        """Listen to code that asks.

        Args:
            files: Paths of the change's product files.
        """
        self._files, self.asked = files, dict[str, None]()
        variables: Any = type(os.environ)
        look_up, parent = variables.__getitem__, os.getppid

        def look_up_noted(environment: Any, key: Any) -> Any:
            try:
                return look_up(environment, key)
            except KeyError:
                self._note(str(key))
                raise

        def parent_noted() -> int:
            self._note("the parent process")
            return parent()

        variables.__getitem__ = look_up_noted
        os.getppid = parent_noted
        sys.addaudithook(self._hear)

    def _hear(self, event: str, words: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and isinstance(words[0], str):
            place = next((candidate for candidate in _PLACES if candidate in f"/{words[0]}"), "")
            if place:
                self._note(place)

    def _note(self, name: str) -> None:
        """Note a question if the nearest caller outside of Python's own library is a file of the change."""
        here: Any = inspect.currentframe()
        frame: Any = here.f_back.f_back
        while frame is not None:
            file = frame.f_code.co_filename
            if not file.startswith("<frozen") and (not file.startswith(_LIBRARY) or "-packages" in file):
                if file in self._files:
                    self.asked[name] = None
                return
            frame = frame.f_back

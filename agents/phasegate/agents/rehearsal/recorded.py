"""An earlier run's model, played back: answers a request only if it is the recorded one.

The rehearsal server asks it for runs that rehearse another. It matches by stage, part, attempt and turn. It compares
the two requests byte for byte, except for the run's name, folder and commits, and for times. It reads the ledger and
records one thing there: the first request that departs.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from phasegate.agents.models.conversation import JsonObject
from phasegate.infra.ledger import Attempt, Ledger, Run
from phasegate.infra.ledger.events import EventKind, payloads

_LONGEST_DIFF = 200
_LONGEST_LINE = 400
_CONTEXT_LINES = 3
_CALL_ID = re.compile(r"\bcall_[0-9a-f]{32}\b")
"""The name this client gives a call whose server gave it none."""
_REBASING = "rebasing"
"""The part of an attempt that made a change once more, on the head of a branch that had moved."""
_DURATION = re.compile(r"\b\d+(\.\d+)?(?= ?(s|ms|seconds?)\b)")


class NotAsRecorded(Exception):
    """The request is not the one that was recorded, or there is none."""


@dataclass(frozen=True)
class RecordedReplies:
    """Replays the recorded answers of one run to another.

    Attributes:
        ledger: Holds both.
        original: The run that was recorded.
        run: The run that is answered.
    """

    ledger: Ledger
    original: Run
    run: Run

    def answer(self, thread: str, number: int, body: bytes) -> str:
        """The recorded response to a request.

        Args:
            thread: Whose request: `stage`, or `stage.part`.
            number: The attempt's number.
            body: The request.

        Raises:
            NotAsRecorded: It departs from the record.

        Effects:
            One `rehearsal.departed` event with the difference, where a recorded request is another.
        """
        here, there = f"{self.run.id}/{thread}/{number}", f"{self.original.id}/{thread}/{number}"
        turn = self.ledger.exchanges.usage(self.run.id, attempt_id=here).turns + 1
        where = f"{thread}, attempt {number}, turn {turn}"
        recorded, response = self.ledger.exchanges.request(there, turn), self.ledger.exchanges.response(there, turn)
        if recorded is None or response is None:
            if (original := self.ledger.attempts.find(there)) is not None and original.status != "finished":
                raise NotAsRecorded(f"{where}: the record ends before this turn.")
            self._depart(here, turn, "the record has no such turn", "")
            raise NotAsRecorded(f"{where}: the record has no such turn.")
        was, now = self._names(self.original).plain(recorded), self._names(self.run).plain(body.decode())
        if was != now:
            self._depart(here, turn, "the request is another", difference(was, now))
            raise NotAsRecorded(f"{where}: the request is not the recorded one.")
        return response

    def _depart(self, attempt_id: str, turn: int, why: str, diff: str) -> None:
        payload = payloads.RehearsalDeparture(attempt=attempt_id, turn=turn, why=why, diff=diff)
        self.ledger.note(self.run.id, EventKind.REHEARSAL_DEPARTED, payload=payload)

    def _names(self, run: Run) -> Names:
        attempts = self.ledger.attempts.list(run.id)
        with_changes = [
            attempt for attempt in attempts if attempt.stage == "implementation" or attempt.part == _REBASING
        ]
        return Names(run.id, run.repository, self._commits(with_changes))

    def _commits(self, attempts: list[Attempt]) -> Mapping[str, str]:
        """The commits a run's changes were collected in, and by which attempt."""
        return {
            str(self.ledger.artifacts.json(attempt.artifact)["commit"]): f"{attempt.part} {attempt.number}".strip()
            for attempt in attempts
            if attempt.artifact
        }


@dataclass(frozen=True)
class Names:
    """Names by which requests of two runs differ.

    Attributes:
        run_id: The run's id, in the thread's name, the branch, and the paths of the run's folders.
        repository: The repository's path.
        commits: The commits of each attempt's change, which hold a time; requests name them in full or by 12 digits.
    """

    run_id: str
    repository: str
    commits: Mapping[str, str] = field(default_factory=dict[str, str])

    def plain(self, request: str) -> str:
        """A request as indented JSON, with a word in place of each such name."""
        value = json.loads(request)
        self._drop_durations(value)
        text = json.dumps(value, indent=1, ensure_ascii=False)
        text = re.sub(rf"(?:/[^\s\"'\\:]*)?/(workspaces|scratch)/{re.escape(self.run_id)}\b", r"<\1>", text)
        text = text.replace(self.run_id, "<run>").replace(self.repository, "<repository>")
        for commit, number in self.commits.items():
            text = text.replace(commit, f"<change {number}>").replace(commit[:12], f"<change {number}>")
        calls = dict[str, str]()
        return _CALL_ID.sub(lambda match: calls.setdefault(match[0], f"<call {len(calls) + 1}>"), text)

    def _drop_durations(self, value: object) -> None:
        """Remove the durations of commands from the answers of tools, and nowhere else."""
        if isinstance(value, list):
            for entry in cast("Sequence[object]", value):
                self._drop_durations(entry)
        elif isinstance(value, dict):
            item = cast("JsonObject", value)
            for key in ("output", "content"):
                if _is_tool_answer(item) and isinstance(item.get(key), str):
                    item[key] = _DURATION.sub("<time>", item[key])
            for entry in item.values():
                self._drop_durations(entry)


def _is_tool_answer(item: Mapping[str, Any]) -> bool:
    """True if an item is a tool's output, in any of the three protocols."""
    return item.get("type") in {"function_call_output", "tool_result"} or item.get("role") == "tool"


def difference(was: str, now: str) -> str:
    """Unified diff of two requests, cut to a length that a person reads."""
    lines = difflib.unified_diff(_wrapped(was), _wrapped(now), "recorded", "rehearsed", lineterm="", n=_CONTEXT_LINES)
    shown = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} […]" for line in lines]
    more = len(shown) - _LONGEST_DIFF
    return "\n".join([*shown[:_LONGEST_DIFF], *([f"[… {more} more lines]"] if more > 0 else [])])


def _wrapped(text: str) -> list[str]:
    """Lines, with the line ends inside JSON's strings taken for ones too: else a prompt is a single line."""
    return text.replace("\\n", "\n").splitlines()

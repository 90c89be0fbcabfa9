"""Writes in the code: the kinds of all events, and all writes that name no crash points."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from phasegate.infra.ledger import RunStatus
from phasegate.infra.ledger.events import EventKind

FLOORS = Path(__file__).parents[2]
WRITERS = {"change", "note", "note_once", "writing"}
"""Methods whose second argument names what is written: an event's kind, or what a lease comes to."""
BY_TOOLS = {EventKind.TOOL_DENIED, EventKind.SANDBOX_ATTEMPTED, EventKind.SECRET_MASKED}
"""Kinds that an agent's tools hand to a writer."""
PATTERNS = {
    "run.{}": get_args(RunStatus),
    "gate.{}": ("void", "expired"),
    "run.{}-requested": ("pause", "cancel", "rollback"),
}
"""Values of a kind that the code puts together."""
NOT_IN_SCENES = {
    "run.recovered": "the engine that comes after a crash, whose own crashes test_crash_matrix makes",
    "attempt.adopted": "by replay",
    "effect.adopted": "by replay",
    "gate.carried": "by replay",
    "effect.rehearsed": "by replay --rehearse, which does nothing else",
    "gate.rehearsed": "by replay --rehearse",
    "rehearsal.departed": "by replay --rehearse of a run that departs",
    "run.rewind-requested": "by rewind",
    "run.rewound": "by rewind",
    "effect.stuck": "an effect that cannot be undone: a merge that later commits conflict with",
    "model.replaced": "a model that is down, limited or refuses; see tests/integration/loop/test_fallback.py",
    "gate.void": "a gate whose subject changes after it was opened",
    "gate.outdated": "another run's release while a plan waits; see tests/integration/gates",
    "gate.shown": "a person who looks at a run; nothing waits for it",
    "gate.overridden": "an admin's override",
    "gate.refused": "an attack",
    "decision.refused": "an attack, or a person who may not decide",
    "command.refused": "an attack, or a person who may not give the command",
    "state.refused": "a state forced in Prefect",
    "tool.denied": "an agent that asks for what policy denies; see tests/escapes",
    "sandbox.attempted": "a command that tries to get out; see tests/escapes",
    "secret.masked": "an agent that meets a secret; see tests/escapes",
    "write.refused": "the late write of an engine that another has replaced",
}
"""Kinds that no scene makes, and where they come from."""


def kinds_in_the_code() -> Iterator[str]:
    """The kind of every event that some code writes, and the changes of leases, which are no events."""
    yield from BY_TOOLS
    for floor in ("infra", "agents", "flows"):
        for path in (FLOORS / floor / "phasegate").rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text())):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from _kinds_in(function)


def _kinds_in(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for call in ast.walk(function):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in WRITERS
            and len(call.args) > 1
        ):
            kind = call.args[1]
            if isinstance(kind, ast.Name):
                parameters = [*function.args.args, *function.args.kwonlyargs]
                if any(parameter.arg == kind.id for parameter in parameters):
                    assert function.name in WRITERS, f"{function.name} hands a kind on: name it in WRITERS"
                for assigned in ast.walk(function):
                    if isinstance(assigned, ast.Assign) and ast.unparse(assigned.targets[0]) == kind.id:
                        yield from _constants(assigned.value)
            else:
                yield from _constants(kind)


def _constants(kind: ast.expr) -> Iterator[str]:
    for part in ast.walk(kind):
        if isinstance(part, ast.JoinedStr):
            pattern = "".join(str(text.value) if isinstance(text, ast.Constant) else "{}" for text in part.values)
            assert pattern in PATTERNS, f"say in PATTERNS what {ast.unparse(kind)} may come to"
            yield from (pattern.format(word) for word in PATTERNS[pattern])
        elif isinstance(part, ast.Attribute) and ast.unparse(part.value) == EventKind.__name__:
            yield EventKind[part.attr]
        elif isinstance(part, ast.Constant) and re.fullmatch(r"[a-z]+\.[a-z-]+", str(part.value)):
            yield str(part.value)


def stray_writes() -> list[str]:
    """Places that write to the ledger without naming a crash point."""
    return [
        f"{path.name}: {function.name} calls {call}"
        for path in sorted((FLOORS / "infra" / "phasegate" / "infra" / "ledger").glob("*.py"))
        if path.name not in _OPENERS
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for call in sorted(_methods_in(function) & _NOT_THERE | _written_while_reading(function))
    ]


_OPENERS = {"store.py", "transaction.py", "database.py"}
"""Modules that open connections and transactions, for all others."""
_NOT_THERE = {"connect", "begin", "_begin", "_begun", "_transaction", "to_write", "commit"}
"""Methods that only the store calls."""


def _methods_in(node: ast.AST) -> set[str]:
    calls = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {call.attr for call in calls if isinstance(call, ast.Attribute)}


def _written_while_reading(function: ast.FunctionDef) -> set[str]:
    calls = [call.func for call in ast.walk(function) if isinstance(call, ast.Call)]
    made = {call.id for call in calls if isinstance(call, ast.Name)}
    return made & {"insert", "update", "delete"} if "reading" in _methods_in(function) else set()

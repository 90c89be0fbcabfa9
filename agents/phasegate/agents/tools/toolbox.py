"""Toolbox of a stage: describes its tools to the model and carries out the model's calls.

Each stage's agent makes one, and the loop uses it. A call that cannot be carried out is answered and never raises: the
model reads the reason and continues.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from phasegate.agents.models.conversation import ToolCall, ToolResult, ToolSpec, encode_json
from phasegate.agents.tools.commands import RunCommand, Search, run_command, search
from phasegate.agents.tools.failure import ToolDenied, ToolFailure
from phasegate.agents.tools.files import (
    EditFile,
    ListFiles,
    ReadFile,
    WriteFile,
    edit_file,
    list_files,
    read_file,
    write_file,
)
from phasegate.agents.tools.folder import Folder
from phasegate.agents.tools.guardrails import Guardrails, PermissionNeeded, PermissionRequest
from phasegate.agents.tools.queries import Query, query
from phasegate.infra.metrics.tables import Tables
from phasegate.infra.policy.services import ServicePolicy
from phasegate.infra.sandbox import Sandbox
from phasegate.infra.system.threads import uninterrupted
from phasegate.infra.workspace import matches

_SUBJECT_CHARACTERS = 300
_LARGEST_DRAFT = 2 * 1024**2
"""Bytes of a result: people read it, and everybody downstream does."""
_CHANGING = frozenset({"write_file", "edit_file", "run"})


@dataclass(frozen=True)
class ToolOutcome:
    """The outcome of a call.

    Attributes:
        result: The answer to the model.
        finished: The draft, when the call was an accepted `finish`.
        changed: True if files may have changed.
        pending_permission: The request that a person must answer first; the call was not carried out.
    """

    result: ToolResult
    finished: dict[str, Any] | None = None
    changed: bool = False
    pending_permission: PermissionRequest | None = None


@dataclass(frozen=True)
class _Tool:
    arguments: type[BaseModel]
    perform: Callable[[Any], str | Awaitable[str]]


class Toolbox:
    """Tools over one folder, ending in `finish` with a typed draft."""

    def __init__(
        self,
        root: Path,
        *,
        names: Sequence[str],
        sandbox: Sandbox,
        draft: type[BaseModel],
        protected: Sequence[str] = (),
        command_timeout: timedelta = timedelta(minutes=2),
        services: Sequence[ServicePolicy] = (),
        guardrails: Guardrails | None = None,
        tables: Tables | None = None,
        validate_draft: Callable[[Any], str | Awaitable[str]] = lambda _: "",
    ) -> None:
        """Set up the tools.

        Args:
            root: The agent's folder.
            names: Names of its tools; `finish` is always added.
            sandbox: The sandbox that commands run in.
            draft: The type of the draft that `finish` takes.
            protected: Glob patterns of files that may not be written.
            command_timeout: Wall clock of one `run`.
            services: Started for each `run` that may need them.
            guardrails: Policy on the tools, and their records; None for policy's defaults without records.
            tables: The tables that `query` reads; None for empty ones.
            validate_draft: Gives the reason for refusing a well-formed draft, or an empty text; deterministic.
        """
        self._folder, self._draft, self._protected = Folder(root), draft, tuple(protected)
        self._guardrails, self._validate_draft = guardrails or Guardrails(), validate_draft
        folder = self._folder
        running = partial(run_command, folder, sandbox, self._guardrails, limit=command_timeout, services=services)
        tools: Mapping[str, _Tool] = {
            "list_files": _Tool(ListFiles, partial(list_files, folder)),
            "read_file": _Tool(ReadFile, partial(read_file, folder)),
            "search": _Tool(Search, partial(search, folder, sandbox)),
            "write_file": _Tool(WriteFile, partial(write_file, folder)),
            "edit_file": _Tool(EditFile, partial(edit_file, folder)),
            "run": _Tool(RunCommand, running),
            "query": _Tool(Query, partial(query, tables or Tables())),
        }
        permitted = self._guardrails.permissions.tools
        self._tools = {name: tools[name] for name in names if name in permitted}

    @property
    def specs(self) -> list[ToolSpec]:
        """The tools' descriptions for the model."""
        finish = f"End your work and hand in the result. {(self._draft.__doc__ or '').strip().splitlines()[0]}"
        return [
            *(_spec(name, tool.arguments.__doc__ or "", tool.arguments) for name, tool in self._tools.items()),
            _spec("finish", finish, self._draft),
        ]

    def pending_permission(self, call: ToolCall) -> PermissionRequest | None:
        """The request that a person must answer before a call can be carried out. Does nothing else.

        Returns:
            The request, or None if the call needs no answer.
        """
        command = (call["args"] or {}).get("command")
        if call["name"] != "run" or call["name"] not in self._tools or not isinstance(command, str):
            return None
        try:
            return self._guardrails.pending_permission(call["id"], command)
        except ToolDenied:  # which the call itself is answered with
            return None

    async def call(self, call: ToolCall) -> ToolOutcome:
        """Carry out one call."""
        name, args = call["name"], call["args"]
        if args is None:
            return ToolOutcome(_result(call, "the arguments are not a JSON object: send the call again", failed=True))
        if name not in {*self._tools, "finish"}:
            names = ", ".join([*self._tools, "finish"])
            self._guardrails.denied(name, _subject(args), "the stage has no such tool")
            return ToolOutcome(_result(call, f"there is no tool {name}; there are: {names}", failed=True))
        try:
            return await (self._finish(call, args) if name == "finish" else self._perform(call, name, args))
        except ValidationError as error:
            return ToolOutcome(_result(call, _explain(error), failed=True))
        except ToolFailure as error:
            if isinstance(error, ToolDenied):
                self._guardrails.denied(name, _subject(args), str(error))
            return ToolOutcome(_result(call, self._guardrails.masked(str(error), name), failed=True))
        except PermissionNeeded as needed:
            answer = f"not run yet: {needed.request.reason}, and nobody has answered"
            return ToolOutcome(_result(call, answer, failed=True), pending_permission=needed.request)

    async def _finish(self, call: ToolCall, args: dict[str, Any]) -> ToolOutcome:
        draft, problem = await uninterrupted(partial(self._read_draft, args))
        if why := problem if isinstance(problem, str) else await problem:
            return ToolOutcome(_result(call, f"not accepted: {why}", failed=True))
        return ToolOutcome(_result(call, "accepted"), finished=draft.model_dump(mode="json"))

    def _read_draft(self, args: dict[str, Any]) -> tuple[BaseModel, str | Awaitable[str]]:
        """The draft, and the reason to send it back."""
        size = len(encode_json(args))
        if size > _LARGEST_DRAFT:
            raise ToolFailure(
                f"not accepted: it has {size} bytes, and at most {_LARGEST_DRAFT} are read; say it shortly"
            )
        masked, leaks = self._guardrails.secrets.mask_all(args)
        self._guardrails.note_leaks(leaks, "the result handed in")
        draft = self._draft.model_validate(masked)
        return draft, self._validate_draft(draft)

    async def _perform(self, call: ToolCall, name: str, args: dict[str, Any]) -> ToolOutcome:
        begun = await uninterrupted(partial(self._begin, call, name, args))
        text = begun if isinstance(begun, str) else await begun
        shown = await uninterrupted(partial(self._guardrails.masked, text, f"the output of {name}"))
        return ToolOutcome(_result(call, shown), changed=name in _CHANGING)

    def _begin(self, call: ToolCall, name: str, args: dict[str, Any]) -> str | Awaitable[str]:
        """Hold a call against policy, and carry it out or begin to."""
        tool = self._tools[name]
        arguments = tool.arguments.model_validate(args)
        if isinstance(arguments, WriteFile | EditFile):
            self._require_writable(arguments.path)
        elif isinstance(arguments, RunCommand):
            self._guardrails.permit(call["id"], arguments.command)
        return tool.perform(arguments)

    def _require_writable(self, path: str) -> None:
        name = self._folder.name(self._folder.inside(path))
        if matches(self._protected, name):
            raise ToolDenied(f"{name} is protected by policy: leave it as it is")
        if not matches(self._guardrails.permissions.write, name):
            raise ToolDenied(f"{name} is not among the files that policy lets this stage write")


def _subject(args: dict[str, Any]) -> str:
    """The subject of a call, for the record."""
    telling = next((str(args[key]) for key in ("path", "command", "pattern", "sql") if key in args), "")
    return telling[:_SUBJECT_CHARACTERS]


@cache
def _spec(name: str, description: str, arguments: type[BaseModel]) -> ToolSpec:
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    return ToolSpec(name, description.strip(), schema)


def _result(call: ToolCall, output: str, *, failed: bool = False) -> ToolResult:
    return {"id": call["id"], "name": call["name"], "output": output, "failed": failed}


def _explain(error: ValidationError) -> str:
    problems = [f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()]
    return "the arguments do not hold; " + "; ".join(problems)

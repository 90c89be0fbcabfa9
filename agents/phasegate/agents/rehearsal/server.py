"""A model provider on loopback that answers from scripts or recordings, in all three wire protocols.

The engine keeps one open and gives each stage attempt its address as a base URL; the demo and the tests drive the
real model clients against it. It must not know runs beyond their id, and remembers nothing but how often each
fault has struck, so it may be restarted in the middle of a run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from phasegate.agents.models.conversation import JsonObject, encode_json
from phasegate.agents.models.failures import REHEARSAL_DEPARTED
from phasegate.agents.rehearsal.answers import (
    Dialect,
    Diverged,
    Position,
    ScriptedRequest,
    answer_to,
    due_fault,
    position,
    scripted_turn,
    tokens,
)
from phasegate.agents.rehearsal.dialects.chat_completions import ChatCompletionsDialect
from phasegate.agents.rehearsal.dialects.messages import MessagesDialect
from phasegate.agents.rehearsal.dialects.responses import ResponsesDialect
from phasegate.agents.rehearsal.loopback import LoopbackServer
from phasegate.agents.rehearsal.recorded import NotAsRecorded, RecordedReplies
from phasegate.agents.rehearsal.script import Fault, FaultKind, Script
from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import PhasegateError
from phasegate.infra.web.body import BodyLimitMiddleware
from phasegate.infra.web.login import new_secret

_DIALECTS: tuple[Dialect, ...] = (ResponsesDialect(), ChatCompletionsDialect(), MessagesDialect())
_BODY_LIMIT = 64 * 1024 * 1024
_BOUNDS = DocumentBounds(size=_BODY_LIMIT)

_STATUSES: dict[FaultKind, tuple[HTTPStatus, str, str]] = {
    "http_429": (HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "rehearsed: too many requests"),
    "http_500": (HTTPStatus.INTERNAL_SERVER_ERROR, "api_error", "rehearsed: the provider failed"),
}


class AttemptKey(NamedTuple):
    """A stage attempt, as the base URL names it."""

    run: str
    stage: str
    number: int


class RehearsalServer:
    """Plays scripts for as long as the context is open."""

    def __init__(
        self, scripts: Callable[[str], Script], recordings: Callable[[str], RecordedReplies | None] = lambda _run: None
    ) -> None:
        """Prepare, without listening yet.

        Args:
            scripts: Gives the script of a run id; may raise a PhasegateError, which the asking client is told.
            recordings: Gives what a run id is answered from instead of a script, if it is; may raise likewise.
        """
        self._scripts, self._recordings = scripts, recordings
        self._struck = Counter[tuple[AttemptKey, int]]()
        self._secret = new_secret()
        routes = [
            Route(
                f"/{self._secret}/{{run}}/{{stage}}/{{attempt:int}}/v1/{dialect.path}",
                partial(self._answer, dialect),
                methods=["POST"],
            )
            for dialect in _DIALECTS
        ]
        self._server = LoopbackServer(BodyLimitMiddleware(Starlette(routes=routes), _BODY_LIMIT))

    async def __aenter__(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; answers under way are cut."""
        await self._server.__aexit__(kind, error, trace)

    @property
    def times_injected(self) -> int:
        """The number of faults injected so far."""
        return self._struck.total()

    def base_url(self, run: str, stage: str, attempt: int) -> str:
        """The base URL to open a model client with for one stage attempt, whatever its provider.

        The official OpenAI SDK wants `/v1` after it. It holds a secret, since any user of the machine may ask a port
        of loopback.
        """
        return f"{self._server.url}/{self._secret}/{quote(run, safe='')}/{quote(stage, safe='')}/{attempt}"

    async def _answer(self, dialect: Dialect, request: Request) -> Response:
        body = await request.body()
        place = request.path_params
        attempt = AttemptKey(str(place["run"]), str(place["stage"]), int(place["attempt"]))
        try:
            document = read_json_table(body, "the request", _BOUNDS)
            question = dialect.read(document, tokens(len(body)))
        except ValueError as error:
            return _error(HTTPStatus.BAD_REQUEST, "invalid_request_error", f"The request cannot be read: {error}")
        at = position(question.utterances)
        try:
            if (recording := self._recordings(attempt.run)) is not None:
                return _as_recorded(recording.answer(attempt.stage, attempt.number, body))
            return self._play(dialect, question, document, attempt, at)
        except (Diverged, NotAsRecorded, PhasegateError) as error:
            message = error.message if isinstance(error, PhasegateError) else str(error)
            return _departed(message, attempt.stage, at.turn)

    def _play(
        self, dialect: Dialect, question: ScriptedRequest, document: JsonObject, attempt: AttemptKey, at: Position
    ) -> Response:
        """The scripted answer, or the fault that is due instead of it or within it.

        Raises:
            Diverged: The request does not match the script.
            PhasegateError: There is no script.
        """
        script = self._scripts(attempt.run)
        turn = scripted_turn(script, attempt.stage, attempt.number, at)
        fault = self._inject(script, attempt, at)
        if fault is not None and fault.kind in _STATUSES:
            return _error(*_STATUSES[fault.kind])
        malformed = fault is not None and fault.kind == "malformed_call" and bool(turn.calls())
        answer = answer_to(question, turn, attempt.stage, attempt.number, at, malformed=malformed)
        if question.streamed:
            return _Played("text/event-stream", dialect.stream(document, answer), fault)
        return _Played("application/json", _halves(encode_json(dialect.document(answer))), fault)

    def _inject(self, script: Script, attempt: AttemptKey, at: Position) -> Fault | None:
        """The fault that is due now, counted as having struck."""
        due = due_fault(script, attempt.stage, attempt.number, at, lambda place: self._struck[attempt, place])
        if due is None:
            return None
        place, fault = due
        self._struck[attempt, place] += 1
        return fault


class _Played(Response):
    """An answer in parts, with its fault half-way."""

    def __init__(self, media_type: str, parts: Sequence[bytes], fault: Fault | None) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._parts = parts
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for index, part in enumerate(self._parts):
            if index == len(self._parts) // 2 and self._fault is not None:
                if self._fault.kind == "cut_stream":
                    return  # uvicorn closes the connection of an answer that was not completed
                if self._fault.kind == "slow":
                    await asyncio.sleep(self._fault.seconds)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _as_recorded(response: str) -> Response:
    """A response as it was received then: a stream of events, or one document."""
    is_document = response.lstrip().startswith("{")
    return Response(response.encode(), media_type="application/json" if is_document else "text/event-stream")


def _halves(content: bytes) -> list[bytes]:
    middle = len(content) // 2
    return [content[:middle], content[middle:]]


def _error(status: HTTPStatus, kind: str, message: str) -> Response:
    headers = {"retry-after": "0"} if status == HTTPStatus.TOO_MANY_REQUESTS else None
    return JSONResponse({"error": {"type": kind, "message": message}}, status, headers)


def _departed(message: str, stage: str, turn: int) -> Response:
    error = {"type": REHEARSAL_DEPARTED, "message": message, "stage": stage, "turn": turn}
    return JSONResponse({"error": error}, HTTPStatus.UNPROCESSABLE_ENTITY)

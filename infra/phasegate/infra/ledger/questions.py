"""Questions of agents to people, and the answers. A question is about one call of one turn, and is answered once."""

from __future__ import annotations

from sqlalchemy import Select, select

from phasegate.infra.errors import NotAllowed
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.gates.command_checks import OVERTAKEN, Commands
from phasegate.infra.ledger.gates.commands import CommandRequest, refusal
from phasegate.infra.ledger.records import Attempt, Question, rehearsed_run
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store


class Questions:
    """The `questions` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store, self._commands = store, Commands(store)

    def ask(self, attempt: Attempt, turn: int, place: int, text: str) -> Question:
        """Put a question to the person in charge, or find it as it stands.

        A rehearsal is given the answer that its original was given.

        Args:
            attempt: Whose agent asks.
            turn: In which turn.
            place: Which of the turn's calls it is, from 0.
            text: The question.
        """
        question_id = f"{attempt.id}/{turn}/{place}"
        if (existing := self._find(question_id)) is not None:
            return self._counted(existing)
        answered = self._answered_before(attempt, question_id)
        payload = payloads.AgentQuestion(question=question_id, text=text)
        with self._store.change(
            attempt.run_id, EventKind.QUESTION_ASKED, actor=attempt.model, payload=payload
        ) as change:
            change.insert(
                schema.questions,
                id=question_id,
                run_id=attempt.run_id,
                attempt_id=attempt.id,
                turn=turn,
                text=text,
                asked_at=self._store.clock.now(),
                answer=answered.answer if answered else None,
                answered_by=answered.answered_by if answered else "",
                answered_at=answered.answered_at if answered else None,
            )
        return self._get(question_id)

    def answer(self, run_id: str, text: str, *, person: str, signature: str = "") -> Question:
        """Answer the oldest question of a run that is open.

        Args:
            run_id: The run.
            text: The answer.
            person: The person's name.
            signature: Over the canonical command, where identity is `ssh`.

        Raises:
            NotAllowed: No question is open. Or policy does not let this person answer, or the signature does not hold;
                that refusal is on record.
        """
        waiting = self.open(run_id)
        question_id = waiting[0].id if waiting else ""
        command = CommandRequest(run_id, "answer", person, {"question": question_id, "text": text}, signature)
        after = self._commands.require_allowed(command)
        payload = {**command.arguments, **command.signed}
        with self._store.change(run_id, EventKind.QUESTION_ANSWERED, actor=person, payload=payload) as change:
            self._commands.require_latest(change, command, after)
            opened = change.connection.execute(self._open(run_id)).scalars().first()
            if opened is None:
                raise NotAllowed(
                    f"no agent of run {run_id} waits for an answer", remedy=f'`phasegate steer {run_id} "…"` tells it.'
                )
            if opened != question_id:
                raise NotAllowed(OVERTAKEN, remedy=f"See its questions with `phasegate show {run_id}`.")
            change.update(
                schema.questions, opened, answer=text, answered_by=person, answered_at=self._store.clock.now()
            )
        return self._get(opened)

    def open(self, run_id: str) -> list[Question]:
        """The questions of a run that wait for an answer, oldest first."""
        with self._store.reading() as connection:
            waiting = list(connection.execute(self._open(run_id)).scalars())
        return [self._get(question_id) for question_id in waiting]

    def list(self, run_id: str) -> list[Question]:
        """A run's questions in the order they were asked."""
        query = (
            select(schema.questions).where(schema.questions.c.run_id == run_id).order_by(schema.questions.c.asked_at)
        )
        with self._store.reading() as connection:
            return [Question.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def _counted(self, question: Question) -> Question:
        """A question as it stands, without an answer that no person gave who may.

        Effects: such an answer is refused on record, and the question is open again.
        """
        if question.answer is None or self._recorded(question.run_id):
            return question
        facts = {"question": question.id, "text": question.answer}
        command = CommandRequest(question.run_id, "answer", question.answered_by, facts)
        why = self._commands.why_not_attested(command, EventKind.QUESTION_ANSWERED, question.id)
        if not why:
            return question
        payload = refusal(command, why, row=question.id)
        with self._store.change(question.run_id, EventKind.COMMAND_REFUSED, actor="engine", payload=payload) as change:
            change.update(schema.questions, question.id, answer=None, answered_by="", answered_at=None)
        return self._get(question.id)

    def _open(self, run_id: str) -> Select[str]:
        """Query for unanswered questions of attempts that have neither finished nor been discarded by a rewind."""
        question, attempt = schema.questions.c, schema.attempts.c
        return (
            select(question.id)
            .join(schema.attempts, attempt.id == question.attempt_id)
            .where(question.run_id == run_id, question.answer.is_(None))
            .where(attempt.status != "finished", attempt.superseded == 0)
            .order_by(question.asked_at, question.id)
        )

    def _find(self, question_id: str) -> Question | None:
        query = select(schema.questions).where(schema.questions.c.id == question_id)
        with self._store.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Question.model_validate(dict(row))

    def _get(self, question_id: str) -> Question:
        question = self._find(question_id)
        assert question is not None  # noqa: S101  written before
        return question

    def _answered_before(self, attempt: Attempt, question_id: str) -> Question | None:
        recorded = self._recorded(attempt.run_id)
        return self._find(f"{recorded}{question_id.removeprefix(attempt.run_id)}") if recorded else None

    def _recorded(self, run_id: str) -> str | None:
        """The run that a run rehearses, if it is a rehearsal."""
        query = select(schema.runs.c.origin).where(schema.runs.c.id == run_id)
        with self._store.reading() as connection:
            return rehearsed_run(connection.execute(query).scalar())

"""`phasegate steer|answer`: a person's messages to an agent, unasked or asked."""

from __future__ import annotations

import sys
from typing import Any

import click

from phasegate.flows.cli.options import example, json_option, run_argument, signing_options
from phasegate.infra.errors import UsageError

_LONGEST = 20_000


@click.command(
    epilog=example(
        'phasegate steer latest "leave the old endpoint as it is"',
        'phasegate steer run-5kq --now "stop: that is the wrong file"',
        "git diff | phasegate steer latest -",
    )
)
@run_argument
@click.argument("message")
@click.option("--now", is_flag=True, help="Cut what the agent is doing, a model call or a command, for it.")
@signing_options
@json_option
def steer(run: str, message: str, now: bool, as_json: bool, **signing: Any) -> int:
    """Tell a running agent something.

    It reads your message before its next model call; with --now that is at once. MESSAGE is the text, or - for standard
    input. It is kept until it is read: `phasegate show` has the receipt, queued, delivered at which turn, or expired
    with its stage. While no agent is at work it is for the next one. RUN is an id, the beginning of one, or "latest".
    """
    from phasegate.flows.cli.actions.handoff import hand_to_engine
    from phasegate.flows.cli.actions.signing import command_giver
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.redact import without_secrets
    from phasegate.flows.cli.session import opened
    from phasegate.flows.cli.views.event_text import attempt_name

    with opened() as session:
        record, text = session.run(run), without_secrets(_text(message, "steer"))
        if (giver := command_giver(session, record, "steer", signing, text=text, urgent=now)) is None:
            return 0
        queued = session.ledger.messages.queue(
            record.id, text, sender=giver.name, urgent=now, signature=giver.signature
        )
        if queued.attempt_id is None:
            receipt = "No agent is at work now: queued for the next one."
        elif now:
            receipt = f"Queued for {attempt_name(queued.attempt_id)}: what its agent is doing is cut for it."
        else:
            receipt = f"Queued for {attempt_name(queued.attempt_id)}: its agent reads it before its next model call."
        say(receipt, as_json=as_json)
        say(f"The receipt: phasegate show {record.id}", as_json=as_json)
        hand_to_engine(session, record.id, as_json=as_json)
        if as_json:
            document(queued.model_dump(mode="json"))
        return 0


@click.command(epilog=example('phasegate answer latest "two digits, as before"', "phasegate answer run-5kq --wait -"))
@run_argument
@click.argument("message")
@click.option("--wait", is_flag=True, help="Follow the run to its next stop and exit with its exit code.")
@signing_options
@json_option
def answer(run: str, message: str, wait: bool, as_json: bool, **signing: Any) -> int:
    """Answer what an agent asks.

    The run waits for an answer, and continues with your words. MESSAGE is the text, or - for standard input; it
    answers the oldest question that is open. Who may answer is for policy's `[commands]` to say; the answer is recorded
    under their name and is no decision: it opens no gate. RUN is an id, the beginning of one, or "latest".
    """
    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine
    from phasegate.flows.cli.actions.signing import command_giver
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.redact import without_secrets
    from phasegate.flows.cli.sanitize import one_line
    from phasegate.flows.cli.session import opened

    with opened() as session:
        record, text = session.run(run), without_secrets(_text(message, "answer"))
        position = session.ledger.newest(record.id).position
        question = next((question.id for question in session.ledger.questions.open(record.id)), "")
        if (giver := command_giver(session, record, "answer", signing, question=question, text=text)) is None:
            return 0
        answered = session.ledger.questions.answer(record.id, text, person=giver.name, signature=giver.signature)
        say(f"Answered: {one_line(answered.text, 200)}", as_json=as_json)
        hand_to_engine(session, record.id, as_json=as_json)
        if wait:
            return follow(session, record.id, as_json=as_json, after=position)
        if as_json:
            document(answered.model_dump(mode="json"))
        return 0


def _text(message: str, command: str) -> str:
    """The message of a person, from the argument or from standard input.

    Raises:
        UsageError: It says nothing, too much, or is no text.
    """
    try:
        text = (sys.stdin.buffer.read().decode() if message == "-" else message).strip()
        text.encode()
    except UnicodeError as error:
        raise UsageError("the message is not UTF-8 text") from error
    if not text or "\0" in text:
        raise UsageError("there is no message to pass on", remedy=f'Say something: phasegate {command} RUN "…"')
    if len(text) > _LONGEST:
        raise UsageError(
            f"the message has {len(text)} characters, and an agent is told {_LONGEST} at most",
            remedy="Put it into a file of the repository, and name that.",
        )
    return text

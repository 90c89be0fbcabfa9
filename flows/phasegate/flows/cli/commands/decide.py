"""`phasegate approve|revise|reject`: a person's decision on a gate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phasegate.flows.cli.options import example, json_option, run_argument, signing_options
from phasegate.infra.errors import UsageError

if TYPE_CHECKING:
    from phasegate.infra.ledger import Verdict

_PAST = {"approve": "Approved", "revise": "Sent back", "reject": "Rejected"}
_HOW = {
    (False, "local"): "",
    (False, "ssh"): ", signed",
    (True, "local"): ", as an override",
    (True, "ssh"): ", as a signed override",
}


def _decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        json_option,
        signing_options,
        click.option("--wait", is_flag=True, help="Follow the run to its next stop and exit with its exit code."),
        click.option("--note", default="", help="What you want to say with it; kept in the ledger."),
        click.argument("gate", metavar="[GATE]", required=False),
        run_argument,
    ):
        command = decorate(command)
    return command


@click.command(
    epilog=example(
        "phasegate approve latest prd",
        "phasegate approve run-5kq --wait",
        "phasegate approve latest --print --as ana@example.org > decision",
        "ssh-keygen -Y sign -n phasegate-decision -f ~/.ssh/id_ed25519 decision",
        "phasegate approve latest --signature decision.sig",
    )
)
@click.option("--override", is_flag=True, help="Pass the gate against its rules, as an admin; needs --note.")
@click.option(
    "--strike",
    multiple=True,
    metavar="TEST",
    help="At gate change: an amendment, or a file of characterization tests, that is not to hold; repeatable.",
)
@click.option(
    "--accept",
    multiple=True,
    metavar="TEST",
    help="At gate change: a regression or a loaded test file that you accept, as an admin; needs --note.",
)
@click.option("--keep-tests", is_flag=True, help="At gate change: commit the tests written for this run, too.")
@click.option("--subject", default="", metavar="DIGEST", help="Approve exactly this: the digest on the gate's page.")
@click.option("--for-stage", is_flag=True, help="At gate permission: for the rest of the stage, not for one call.")
@_decision_options
def approve(
    run: str, gate: str | None, note: str, wait: bool, as_json: bool, strike: tuple[str, ...], **how: Any
) -> int:
    """Say go at a gate.

    Without GATE the one that is open. Your approval holds for exactly what the gate asks about; if that changes, the
    gate opens again. It counts once you have been shown that, by `phasegate show` or here; a script names the digest of
    it with --subject. At gate budget it grants as much as the gate's page says, at gate permission it lets one command
    run. Where policy's identity is ssh, you sign it with your key.

    At gate change, --strike TEST drops an amendment: the test counts as before, the change is graded again, and the
    gate opens again. So does --strike FILE for tests written for this run, which are then not run. Where the grade
    failed on tests that passed before, or on test files that the product loads, --accept TEST --note WHY names each of
    them; that takes role admin, and the evidence stays as it is. Where tests were written that pin what was there
    before, --keep-tests commits them, too; they are left out otherwise.
    """
    if strike:
        if how.get("override") or how.get("accept") or how.get("keep_tests") or how.pop("subject"):
            raise UsageError(
                "--strike has the change graded again: leave out --override, --accept, --keep-tests and --subject"
            )
        return _decide("revise", run, gate, note, wait=wait, as_json=as_json, strike=strike, **how)
    return _decide("approve", run, gate, note, wait=wait, as_json=as_json, **how)


@click.command(epilog=example('phasegate revise latest prd --note "say what an expired link answers"'))
@_decision_options
def revise(run: str, gate: str | None, note: str, wait: bool, as_json: bool, **signing: Any) -> int:
    """Send what a gate asks about back, with a note.

    It goes to the stage that made it. Without GATE the one that is open. The gate opens again when the stage has
    answered the note. At gate permission it is a no, and the agent is told your note; gate budget has nothing to send
    back.
    """
    if not note.strip():
        raise UsageError(
            "to send something back, say what should be different", remedy='Add `--note "what should be different"`.'
        )
    return _decide("revise", run, gate, note, wait=wait, as_json=as_json, **signing)


@click.command(epilog=example('phasegate reject latest change --note "not worth the risk"'))
@_decision_options
def reject(run: str, gate: str | None, note: str, wait: bool, as_json: bool, **signing: Any) -> int:
    """End a run at its gate, and undo what it did to the world.

    Without GATE the one that is open. At gate permission the run continues: its agent is told that the command is
    refused, and your note.
    """
    return _decide("reject", run, gate, note, wait=wait, as_json=as_json, **signing)


def _decide(
    verdict: Verdict,
    reference: str,
    name: str | None,
    note: str,
    *,
    wait: bool,
    as_json: bool,
    override: bool = False,
    for_stage: bool = False,
    strike: tuple[str, ...] = (),
    accept: tuple[str, ...] = (),
    keep_tests: bool = False,
    subject: str = "",
    **signing: Any,
) -> int:
    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine
    from phasegate.flows.cli.actions.signing import DecisionAnswer, SigningOptions, bytes_to_sign, signed
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.redact import without_secrets
    from phasegate.flows.cli.sanitize import sanitize
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.named_tests import named_tests
    from phasegate.flows.views.pending import approvals_text

    with opened() as session:
        run, note = session.run(reference), without_secrets(note)
        gate = session.gate(run, name)
        tests = named_tests(session.ledger, gate, verdict, strike=strike, accept=accept, note=note, keep=keep_tests)
        answer = DecisionAnswer(gate, verdict, note, override, for_stage, tests)
        chosen = SigningOptions(**signing)
        if chosen.printing:
            sys.stdout.buffer.write(bytes_to_sign(session, answer, chosen))
            return 0
        if verdict == "approve" and (subject or chosen.signature is None):  # a signature names the subject itself
            from phasegate.flows.cli.actions.gate_page import require_shown

            require_shown(session, gate, subject, as_json=as_json)
        position = session.ledger.newest(run.id).position
        person, signature = signed(session, answer, chosen)
        decided = session.ledger.gates.decide(
            gate.id,
            verdict,
            person,
            note=note,
            override=override,
            for_stage=for_stage,
            tests=tests,
            signature=signature,
        )
        about = ", ".join(f"{sanitize(part)} {digest[:19]}" for part, digest in gate.subject.items())
        say(
            f"{'Struck' if strike else _PAST[verdict]}: gate {gate.gate} of run {run.id}, about {about}, "
            f"by {sanitize(person.name)}{_HOW[override, person.identity]}"
            f"{', for the rest of the stage' if for_stage else ''}{', with its tests' if keep_tests else ''}.",
            as_json=as_json,
        )
        if decided.status == "open":
            still = sanitize(approvals_text(decided, session.ledger.gates.decisions(run.id)))
            say(f"The gate needs {gate.quorum} approvals and stays open. {still}", as_json=as_json)
        hand_to_engine(session, run.id, as_json=as_json)
        if wait:
            return follow(session, run.id, as_json=as_json, after=position)
        if as_json:
            decision = session.ledger.gates.decisions(run.id)[-1]
            document({"gate": decided.model_dump(mode="json"), "decision": decision.model_dump(mode="json")})
        return 0

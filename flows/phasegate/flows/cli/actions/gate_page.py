"""Pages of gates, shown to a person before their approval counts.

Used by the commands that print a run, and by `approve`. An approval that names no digest is of what its person was
shown: the ledger records each round that was.
"""

from __future__ import annotations

from phasegate.flows.cli.output import document, show_page
from phasegate.flows.cli.session import Session
from phasegate.flows.views.branches import run_branches
from phasegate.flows.views.report import RunReport, report
from phasegate.infra.errors import UsageError
from phasegate.infra.ledger import Gate

_LEAST_DIGITS = 12


def print_run(session: Session, run_id: str, *, as_json: bool, pager: bool = False) -> None:
    """Print all of a run, with the page of the gate it waits at; through a pager if that is asked for and it is long.

    Effects: a `gate.shown` event, once for each gate and person.
    """
    shown = report(session.ledger, run_id)
    if as_json:
        document(shown.document())
    else:
        from phasegate.flows.cli.views.run_page import page

        show_page(page(shown, run_branches(shown)), pager=pager)
    record_shown(session, shown)


def record_shown(session: Session, shown: RunReport) -> None:
    """Record that this person has had the pages of a run's open gates."""
    for gate in shown.gates:
        if gate.status == "open":
            session.ledger.gates.record_shown(gate, session.person.name)


def require_shown(session: Session, gate: Gate, subject: str, *, as_json: bool) -> None:
    """Stop unless an approval names the gate's subject, or its person has had the page.

    Args:
        session: The person's.
        gate: The gate to approve.
        subject: The digest that they name, or its beginning; empty if they name none.
        as_json: Leave the page out: a program prints one document, and asks for the page first.

    Raises:
        UsageError: They name another subject, or have not seen this one, which is printed first.
    """
    if subject:
        _require_same(gate, subject)
    elif not session.ledger.gates.was_shown(gate, session.person.name):
        again = "Read what is above, and give the same command again. A script names the digest with --subject."
        if as_json:
            again = f"Read `phasegate show {gate.run_id} --json` first, or name the digest with --subject."
        else:
            print_run(session, gate.run_id, as_json=False)
        raise UsageError(
            f"nothing is approved yet: you had not been shown what gate {gate.gate} asks about", remedy=again
        )


def _require_same(gate: Gate, subject: str) -> None:
    digits, known = subject.removeprefix("sha256:"), gate.subject_digest.removeprefix("sha256:")
    if len(digits) < _LEAST_DIGITS:
        raise UsageError(f"--subject takes at least {_LEAST_DIGITS} digits of the digest that the gate's page shows")
    if not known.startswith(digits):
        raise UsageError(
            f"gate {gate.gate} asks about {gate.subject_digest[:19]}, not about {subject[:19]}",
            remedy=f"See it with `phasegate show {gate.run_id}`.",
        )

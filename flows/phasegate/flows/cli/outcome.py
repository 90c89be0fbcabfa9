"""What a command says last about a run that stopped: where it stands, what to look at, what to type next."""

from __future__ import annotations

from phasegate.flows.cli.plain import one_line, plain
from phasegate.flows.cli.story import reason_text
from phasegate.flows.report import RunReport
from phasegate.infra.errors import FormatUnknown


def last_words(report: RunReport, *, shown: bool = False) -> list[str]:
    """Lines for a person, plain text.

    Args:
        report: The run.
        shown: Whether the person sees the run's page already.
    """
    run, status = report.id, report.status
    reason = one_line(reason_text(report.reason), 400)
    why = f": {reason}" if reason else "."
    said = {
        "done": [_served(report), f"Look at it with `phasegate show {run}`."],
        "failed": [f"Failed{why}", *_go_on(run)],
        "needs-operator": [f"Needs an operator{why}", *_go_on(run)],
        "paused": [f"Paused{why}", f"Continue with `phasegate resume {run}`."],
        "rolled-back": [f"Rolled back{why}", f"See what was undone with `phasegate show {run}`."],
        "rejected": [f"Rejected{why}", f"See it with `phasegate show {run}`."],
        "cancelled": [f"Cancelled{why}", f"See it with `phasegate show {run}`."],
    }
    if status == "waiting":
        return _at_gate(report, shown=shown)
    if (report.reason or {}).get("code") == FormatUnknown.code:  # resuming is what cannot be done
        return [
            f"Needs an operator{why}",
            f"`phasegate replay {run}` goes on in a new run, which adopts all that is still understood;",
            f"`phasegate rollback {run}` undoes what was done.",
        ]
    remedy = str((report.reason or {}).get("remedy") or "")
    if remedy and status in said:
        said[status].insert(1, one_line(remedy, 400))
    return said.get(status, [f"Run {run} goes on. Follow it with `phasegate watch {run}`."])


def _served(report: RunReport) -> str:
    served = f" The service answers on {plain(report.release.url)}" if report.release else ""
    return f"Done: {one_line(report.title)}.{served}"


def _go_on(run: str) -> list[str]:
    return [
        f"See why with `phasegate logs {run}`, continue with `phasegate resume {run}`,",
        f"or undo what was done with `phasegate rollback {run}`.",
    ]


def _at_gate(report: RunReport, *, shown: bool) -> list[str]:
    gate = report.open_gate
    if gate is None:
        return [f"Run {report.id} waits."]
    run, name = report.id, gate.gate
    look = [] if shown else [f"  phasegate show {run}"]
    look += [f"  phasegate diff {run}"] if name in {"change", "release"} else []
    return [
        f"Waiting at gate {name} until {gate.expires_at.astimezone():%Y-%m-%d %H:%M}.",
        *(["Look at what is asked:", *look] if look else []),
        "Then decide:" if look else "Decide:",
        f"  phasegate approve {run} {name}",
        f'  phasegate revise {run} {name} --note "what should be different"',
        f"  phasegate reject {run} {name}",
    ]

"""Last words of a command about a stopped run: its state, the things to look at, the commands to type next."""

from __future__ import annotations

import shlex

from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.flows.cli.views.event_text import attempt_name, reason_text
from phasegate.flows.views.branches import RunBranches
from phasegate.flows.views.pending import approvals_text
from phasegate.flows.views.report import RunReport
from phasegate.infra.errors import FormatUnknown, PastPivot
from phasegate.infra.ledger import Gate
from phasegate.infra.workspace.repository import integration_branch


def next_steps(report: RunReport, branches: RunBranches, *, shown: bool = False) -> list[str]:
    """Lines for a person, plain text.

    Args:
        report: The run.
        branches: The branches that have its merge and the revert.
        shown: True if the person sees the run's page already.
    """
    run, status = report.id, report.status
    reason = one_line(reason_text(report.reason), 700)
    why = f": {reason}" if reason else "."
    look = [] if shown else [f"See it with `phasegate show {run}`."]
    remedy = str((report.reason or {}).get("remedy") or "")
    failures = [] if shown else _failures(report)
    undone = [*_reverted(branches), *_adopted(report)]
    steps = {
        "done": [_served(report), *_merged(branches), *look],
        "failed": [f"Failed{why}", *failures, *_go_on(run, remedy)],
        "needs-operator": [f"Needs an operator{why}", *failures, *_go_on(run, remedy)],
        "paused": [f"Paused{why}", f"Continue with `phasegate resume {run}`."],
        "rolled-back": [f"Rolled back{why}", *undone, *look, *_what_follows(report)],
        "rejected": [_rejected(report) or f"Rejected{why}", *undone, *look],
        "cancelled": [f"Cancelled{why}", *undone, *look],
    }
    if status == "waiting":
        return _waiting(report, branches, shown=shown)
    if (report.reason or {}).get("code") == FormatUnknown.code:  # resuming is what cannot be done
        return [
            f"Needs an operator{why}",
            f"`phasegate replay {run}` goes on in a new run, which adopts all that is still understood;",
            f"`phasegate rollback {run}` undoes what was done.",
        ]
    if (report.reason or {}).get("code") == PastPivot.code:  # undoing is what cannot be done
        steps["needs-operator"] = [f"Needs an operator{why}", f"See what was done with `phasegate show {run}`."]
    if remedy and status in steps:
        steps[status].insert(1, one_line(remedy, 700))
    return steps.get(status, [f"Run {run} goes on. Follow it with `phasegate watch {run}`."])


def _failures(report: RunReport) -> list[str]:
    """Lines on the criteria that the latest grade failed, each with the first line of its message."""
    grade = report.latest("evidence")
    lines: list[str] = []
    for criterion in grade.content["criteria"] if grade and grade.content.get("verdict") == "failed" else ():
        if criterion["status"] == "failed":
            message = next((line for line in str(criterion.get("message", "")).splitlines() if line.strip()), "")
            lines.append(f"  ✗ {one_line(criterion['id'], 20)}: {one_line(criterion['statement'], 300)}")
            lines += [f"      {one_line(message, 300)}"] if message else []
    return lines


def _served(report: RunReport) -> str:
    served = f" The service answers on {sanitize(report.release.url)}" if report.release else ""
    return f"Done: {one_line(report.title).rstrip('.')}.{served}"


def _what_follows(report: RunReport) -> list[str]:
    if report.latest("incident") is None:
        return []
    from phasegate.flows.views.follow_up import follow_up

    if not follow_up(report):
        return []
    file = "follow-up.md"
    return [f"Take up what follows: `phasegate show {report.id} --follow-up > {file}`, then `phasegate run {file}`."]


def _merged(branches: RunBranches) -> list[str]:
    """Line on the branch of the merge, or none if the run merged nothing."""
    base, merged = sanitize(branches.base), sanitize(branches.merged)
    if not merged:
        return []
    if merged == base:
        return [f"Merged into {merged}."]
    if branches.base_has_merge:
        return [f"Merged into {merged}; {base} has the change, too."]
    return [f"Merged into {merged}; bring it over to {base} with `git merge {merged}`."]


def _reverted(branches: RunBranches) -> list[str]:
    """Lines on the branch of the revert, and on a base branch that still has the change."""
    base, reverted = sanitize(branches.base), sanitize(branches.reverted)
    if not reverted:
        return []
    lines = [f"The merge is reverted on {reverted}."]
    if branches.base_has_merge and reverted != base:
        lines.append(f"{base} still has the change: bring the revert over with `git merge {reverted}`.")
    return lines


def _adopted(report: RunReport) -> list[str]:
    """Lines on the effects that an ended replay had adopted: those that stay, and those that are undone with it."""
    lines: list[str] = []
    for run in dict.fromkeys(sanitize(effect.run_id) for effect in report.adopted):
        effects = [effect for effect in report.adopted if effect.run_id == run]
        stay = ", ".join(sanitize(effect.kind) for effect in effects if effect.status != "undone")
        undone = ", ".join(sanitize(effect.kind) for effect in reversed(effects) if effect.status == "undone")
        lines += [f"Undone with it, of run {run}: {undone}."] if undone else []
        lines += [f"Run {run} keeps what it did: {stay}. `phasegate rollback {run}` undoes it."] if stay else []
    return lines


def _rejected(report: RunReport) -> str:
    """Gate, approver and note of the decision that ended a run, or an empty text if no decision is known."""
    gates = {gate.id: gate.gate for gate in report.gates if gate.gate != "permission"}
    rejections = [item for item in report.decisions if item.verdict == "reject" and item.gate_id in gates]
    if not rejections:
        return ""
    decision = rejections[-1]
    note = f": {one_line(decision.note, 700)}" if decision.note else "."
    return f"Rejected at gate {gates[decision.gate_id]} by {sanitize(decision.approver)}{note}"


def _go_on(run: str, remedy: str) -> list[str]:
    """Lines with the commands for a run that stopped, without those that its remedy names already."""
    ways = (
        [] if "`phasegate logs" in remedy or "`phasegate show" in remedy else [f"see why with `phasegate logs {run}`"]
    )
    ways += [] if "`phasegate resume" in remedy else [f"continue with `phasegate resume {run}`"]
    ways += [] if "`phasegate rollback" in remedy else [f"undo what was done with `phasegate rollback {run}`"]
    if not ways:
        return []
    *others, last = ways
    return [_capital(f"{', '.join(others)},"), f"or {last}."] if others else [_capital(f"or {last}.")]


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _waiting(report: RunReport, branches: RunBranches, *, shown: bool) -> list[str]:
    gate = report.open_gate
    if gate is not None:
        return _at_gate(report, branches, gate, shown=shown)
    question = report.open_question
    if question is None:
        return [f"Run {report.id} waits."]
    return [
        f"The agent of {attempt_name(question.id)} asks:",
        *(f"  {line}" for line in sanitize(question.text).splitlines()),
        "Answer it, in your own words:",
        f'  phasegate answer {report.id} "…"',
    ]


def _merge_ahead(report: RunReport, branches: RunBranches, gate: Gate) -> list[str]:
    """Line on the branch that an approval of gate `change` merges into; none at other gates."""
    if gate.gate != "change" or not report.integrates:
        return []
    base = sanitize(branches.base)
    branch = f"{sanitize(integration_branch(branches.base))} where {base} is checked out, else into {base}"
    return [f"An approval merges the change into {branch}."]


def _at_gate(report: RunReport, branches: RunBranches, gate: Gate, *, shown: bool) -> list[str]:
    run, name = report.id, gate.gate
    look = [] if shown else [f"  phasegate show {run}"]
    look += [f"  phasegate diff {run}"] if name in {"change", "release"} else []
    return [
        f"Waiting at gate {name} until {gate.expires_at.astimezone():%Y-%m-%d %H:%M %Z}; then the gate opens anew.",
        *([sanitize(text)] if (text := approvals_text(gate, report.decisions)) else []),
        *_merge_ahead(report, branches, gate),
        *(["Look at what is asked:", *look] if look else []),
        "Then decide:" if look else "Decide:",
        *(f"  {line.format(run=run, gate=name)}" for line in _accepting(report, gate) or _DECISIONS.get(name, _ANY)),
    ]


def _accepting(report: RunReport, gate: Gate) -> list[str]:
    """Commands for a gate that opened on a failed grade, or offers tests to keep; none for any other."""
    from phasegate.infra.grading.evidence import Evidence

    graded = [artifact.content for artifact in report.artifacts_of(gate) if artifact.kind == Evidence.kind]
    evidence = [Evidence.model_validate(content) for content in graded]
    names = [name for grade in evidence for name in grade.to_accept]
    if any(grade.guards and grade.guards.kept_tree for grade in evidence):
        return [_ANY[0], _KEEPING, *_ANY[1:]]
    if not names:
        return []
    words = " ".join(f"--accept {shlex.quote(sanitize(name))}" for name in names[:_NAMED])
    more = " …" if len(names) > _NAMED else ""
    command = f'phasegate approve {{run}} {{gate}} {words.replace("{", "{{").replace("}", "}}")}{more} --note "why"'
    return [f"{command}    by an admin; all that fails, by name", *_ANY[1:]]


_NAMED = 3
"""Number of tests that a line names."""
_KEEPING = "phasegate approve {run} {gate} --keep-tests    the tests written for this run go in, too"
_ANY = (
    "phasegate approve {run} {gate}",
    'phasegate revise {run} {gate} --note "what should be different"',
    "phasegate reject {run} {gate}",
)
_DECISIONS = {
    "budget": (
        "phasegate approve {run} budget     grants what the page says, and the run goes on",
        "phasegate reject {run} budget      ends the run, and undoes what it did",
    ),
    "permission": (
        "phasegate approve {run} permission                what is asked, this once",
        "phasegate approve {run} permission --for-stage    the same again too, for the rest of the stage",
        'phasegate reject {run} permission --note "why"    the agent is told, and the run goes on',
    ),
}
"""Commands at a gate that needs commands of its own."""

"""Change of a run, read from git: from the base commit to the released tree, or to the newest recorded commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from phasegate.flows.cli.sanitize import sanitize, sanitize_name
from phasegate.infra.errors import NotFound
from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.workspace.objects import require_new_objects
from phasegate.infra.workspace.repository import Repository

_COLOURED = 2 * 1024**2
"""Characters of a diff that is coloured; a longer one would take minutes."""
_STYLES = (("+++", "bold"), ("---", "bold"), ("diff ", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))
_NAMING = ("+++ ", "--- ", "diff ", "rename ", "copy ", "Binary files ")
"""Begin of lines that name a file."""


@dataclass(frozen=True)
class ShownChange:
    """Two commits and the diff between them."""

    run_id: str
    base: str
    commit: str
    patch: bytes

    @property
    def text(self) -> str:
        """The patch as text; bytes that are not UTF-8 are replaced."""
        return self.patch.decode(errors="replace")

    def document(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {"run": self.run_id, "base_commit": self.base, "commit": self.commit, "diff": self.text}


def read_change(ledger: Ledger, run: Run, *, as_made: bool = False, with_tests: bool = False) -> ShownChange:
    """The change of a run, as it was graded and is released; as the agent made it while it is not graded.

    Args:
        ledger: Names the commits.
        run: The run.
        as_made: True for what the agent made in any case, its edits of tests included.
        with_tests: True for the graded change with the characterization tests in it, as `approve --keep-tests` has it.

    Raises:
        NotFound: No commit of this run is known yet.
        RepositoryError: The run's repository is not there any more, lacks the commit, or holds an altered object.
    """
    commit = _newest_commit(ledger, run)
    git = Repository.open(Path(run.repository)).git
    base, shown = (run.base_commit, commit) if as_made else _graded(ledger, run, commit, with_tests)
    require_new_objects(git, shown, base)
    patch = git.output("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", base, shown)
    return ShownChange(run.id, base, commit, patch)


def coloured(diff: str) -> Text:
    """A diff for a terminal."""
    if len(diff) > _COLOURED:
        return Text(sanitize(diff))
    text = Text()
    for line in sanitize(diff).splitlines():
        style = next((style for start, style in _STYLES if line.startswith(start)), "")
        shown = sanitize_name(line) if line.startswith(_NAMING) else line
        text.append(f"{shown}\n", style=style)
    return text


def _graded(ledger: Ledger, run: Run, commit: str, with_tests: bool) -> tuple[str, str]:
    """Base and released tree of a graded commit; the run's base and the commit itself if it was not graded."""
    for attempt in reversed(ledger.attempts.list(run.id)):
        if attempt.part in ("grading", "regrading") and attempt.artifact is not None and not attempt.superseded:
            first = evidence = ledger.artifacts.json(attempt.artifact)
            base = str(evidence["move"]["head"]) if evidence.get("move") else run.base_commit
            while move := first.get("move"):  # graded again on a branch that had moved: of which change?
                first = ledger.artifacts.json(str(move["approved"]))
            if first.get("change") == commit:
                guards = evidence.get("guards") if with_tests or _keeps(ledger, run) else None
                tree = str(guards["kept_tree"]) if guards else ""
                return base, tree or str(evidence.get("tree") or commit)
    return run.base_commit, commit


def _keeps(ledger: Ledger, run: Run) -> bool:
    """True if the last approval of gate `change` keeps the characterization tests."""
    gates = {gate.id for gate in ledger.gates.list(run.id) if gate.gate == "change"}
    approvals = [
        decision
        for decision in ledger.gates.decisions(run.id)
        if decision.gate_id in gates and decision.verdict == "approve"
    ]
    return bool(approvals) and approvals[-1].keeps_tests


def _newest_commit(ledger: Ledger, run: Run) -> str:
    for attempt in reversed(ledger.attempts.list(run.id)):
        if attempt.stage != "implementation" or attempt.superseded:
            continue
        if attempt.artifact is not None and (commit := ledger.artifacts.json(attempt.artifact).get("commit")):
            return str(commit)
        if attempt.checkpoint is not None:
            return attempt.checkpoint
    raise NotFound(
        f"run {run.id} has changed nothing yet", remedy=f"See where it stands with `phasegate show {run.id}`."
    )

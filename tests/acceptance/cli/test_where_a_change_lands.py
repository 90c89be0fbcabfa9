"""Output of the commands about branches: where a run began, where its change was merged, and where it was reverted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.acceptance.cli.conftest import Answer, CliHarness
from tests.acceptance.cli.test_waiting import failed_grade
from tests.support.repositories import git

from phasegate.infra.identity import Person
from phasegate.infra.ledger import Run, RunOptions, RunStatus
from phasegate.infra.policy.model import Policy

INTEGRATION = "phasegate/main"
BRING = f"bring it over to main with `git merge {INTEGRATION}`"
STILL = f"main still has the change: bring the revert over with `git merge {INTEGRATION}`"


@dataclass
class Merged:
    """A run whose merge, and then its revert, are commits of a repository."""

    scene: CliHarness
    base: str
    merge: str
    revert: str

    def run(self, branch: str, status: RunStatus, *, reverted: str = "") -> Run:
        """A run that has merged into a branch and has ended; `reverted` is the branch of its revert."""
        ledger = self.scene.ledger
        run = self.scene.accept(base_commit=self.base)
        compensation = "revert the merge on main"
        effect = ledger.effects.intend(run.id, "merge", f"{run.id}/merge", intent={}, compensation=compensation)
        effect = ledger.effects.done(effect, {"ref": f"refs/heads/{branch}", "commit": self.merge, "previous": ""})
        if reverted:
            ledger.effects.undone(effect, {"ref": f"refs/heads/{reverted}", "commit": self.revert})
        ledger.runs.set_status(run.id, status, reason={"message": "so"})
        return ledger.runs.get(run.id)

    def put(self, branch: str, commit: str) -> None:
        git(self.scene.home, "update-ref", f"refs/heads/{branch}", commit)


@pytest.fixture
def merged(scene: CliHarness) -> Merged:
    git(scene.home, "init", "-q", "-b", "main")
    git(scene.home, "commit", "-q", "--allow-empty", "-m", "First")
    tree, base = git(scene.home, "rev-parse", "HEAD^{tree}"), git(scene.home, "rev-parse", "HEAD")
    merge = git(scene.home, "commit-tree", tree, "-p", base, "-m", "Merge")
    return Merged(scene, base, merge, git(scene.home, "commit-tree", tree, "-p", merge, "-m", "Revert"))


def test_a_change_on_the_integration_branch_says_how_to_bring_it_over(phasegate, merged):
    """Mutation tried: `base_has_merge` is always false."""
    merged.put(INTEGRATION, merged.merge)
    run = merged.run(INTEGRATION, "done")
    for words in (("watch", run.id), ("show", run.id)):
        assert f"Merged into {INTEGRATION}; {BRING}." in phasegate(*words).out
    assert f"effect merge made: {merged.merge[:12]} on {INTEGRATION}" not in phasegate("show", run.id).out
    assert f"effect merge made: {merged.merge[:12]} on {INTEGRATION}" in phasegate("logs", run.id).out

    merged.put("main", merged.merge)
    assert f"Merged into {INTEGRATION}; main has the change, too." in phasegate("watch", run.id).out


def test_a_change_on_the_base_branch_is_there(phasegate, merged):
    merged.put("main", merged.merge)
    out = phasegate("watch", merged.run("main", "done").id).out
    assert "Merged into main." in out
    assert "git merge" not in out


@pytest.mark.parametrize("status", ["rolled-back", "rejected", "cancelled"])
def test_a_revert_names_its_branch_and_a_base_branch_that_keeps_the_change(phasegate, merged, status):
    """Mutation tried: a base branch that has the revert is told to get it."""
    merged.put(INTEGRATION, merged.revert)
    run = merged.run(INTEGRATION, status, reverted=INTEGRATION)
    out = phasegate("watch", run.id).out
    assert f"The merge is reverted on {INTEGRATION}." in out
    assert STILL not in out, "main never had it"

    merged.put("main", merged.merge)
    for words in (("watch", run.id), ("show", run.id)):
        assert STILL in phasegate(*words).out

    merged.put("main", merged.revert)
    out = phasegate("watch", run.id).out
    assert "The merge is reverted on main." in out
    assert "still has the change" not in out


def test_a_rollback_that_is_not_followed_says_where_to_look(phasegate, merged, woken):
    run = merged.run(INTEGRATION, "done")
    out = phasegate("rollback", run.id).out
    assert f"`phasegate watch {run.id}` says when it is done, and which branch has the revert of the merge." in out
    assert woken == [run.id]


def test_without_the_repository_the_ledger_tells(phasegate, merged, scene):
    run = merged.run(INTEGRATION, "rolled-back", reverted=INTEGRATION)
    (scene.home / ".git").rename(scene.home / "gone")
    out = phasegate("show", run.id).out
    assert f"The merge is reverted on {INTEGRATION}." in out
    assert f"from main at {merged.base[:12]}" in out


def test_show_names_the_branch_that_the_first_commit_is_of(phasegate, merged, scene):
    """Mutation tried: the recorded base branch is shown."""
    merged.put(INTEGRATION, merged.merge)
    run = scene.accept(base_commit=merged.merge)
    assert f"from {INTEGRATION} at {merged.merge[:12]}" in phasegate("show", run.id).out
    merged.put("main", merged.merge)
    assert f"from main at {merged.merge[:12]}" in phasegate("show", run.id).out


def test_a_fact_without_a_value_is_left_out(phasegate, scene):
    """Mutation tried: empty texts are shown."""
    run = scene.accept()
    effect = scene.ledger.effects.intend(run.id, "cut-over", "release:1", intent={}, compensation="restart the last")
    scene.ledger.effects.done(effect, {"url": "http://127.0.0.1:1/", "revision": "", "weight": 0})
    out = phasegate("show", run.id).out
    assert "revision" not in out
    assert "weight 0" in out


def test_a_rejection_names_gate_and_person(phasegate, scene):
    run, gate = scene.at_prd_gate()
    scene.ledger.gates.decide(gate.id, "reject", Person("ana", "local"), note="not now")
    scene.ledger.runs.set_status(run.id, "rejected", reason={"message": "ana rejected prd", "note": "not now"})
    assert "Rejected at gate prd by ana: not now" in phasegate("watch", run.id).out


@pytest.mark.parametrize(
    ("remedy", "expected"),
    [
        (
            "",
            [
                "See why with `phasegate logs RUN`, continue with `phasegate resume RUN`,",
                "or undo what was done with `phasegate rollback RUN`.",
            ],
        ),
        (
            "Mend it; `phasegate resume RUN` goes on.",
            [
                "Mend it; `phasegate resume RUN` goes on.",
                "See why with `phasegate logs RUN`,",
                "or undo what was done with `phasegate rollback RUN`.",
            ],
        ),
        (
            "See why with `phasegate show RUN`; `phasegate resume RUN` grants one more attempt.",
            [
                "See why with `phasegate show RUN`; `phasegate resume RUN` grants one more attempt.",
                "Or undo what was done with `phasegate rollback RUN`.",
            ],
        ),
    ],
    ids=["none", "resume", "show and resume"],
)
def test_what_a_person_can_do_is_named_once(phasegate, scene, remedy, expected):
    """Mutation tried: the general commands stand after each remedy."""
    run = scene.accept()
    reason = {"message": "3 failed", "remedy": remedy.replace("RUN", run.id)}
    scene.ledger.runs.set_status(run.id, "needs-operator", reason=reason)
    lines = phasegate("watch", run.id).out.replace(run.id, "RUN").splitlines()
    assert lines[lines.index("Needs an operator: 3 failed") + 1 :] == expected


@pytest.mark.parametrize(
    ("script", "price"), [("", "· $0.0276"), ("sha256:0", "· would cost $0.0276")], ids=["a run", "a rehearsal"]
)
def test_the_price_of_a_rehearsal_is_what_it_would_have_cost(phasegate, scene, script, price):
    """Mutation tried: `rehearsed` is not passed on."""
    run = scene.accept(options=RunOptions(rehearsal=script))
    scene.turn(scene.attempt(run, "prd"), 2, cost_usd=0.0276)
    page = phasegate("show", run.id).out
    assert f"240 tokens in 2 turns {price} + unknown" in page
    assert ("nothing was paid" in page) == bool(script)


def test_gate_change_says_what_an_approval_merges_and_where(
    scene: CliHarness, phasegate: Callable[..., Answer]
) -> None:
    """Mutation tried: `_merge_ahead` gives nothing; the page named no branch before the merge."""
    for policy, said in (({}, True), ({"project": {"integrate": "none"}}, False)):
        run, _ = scene.at_prd_gate(policy=Policy.model_validate({"deploy": {"start": "serve {port}"}, **policy}))
        assert "An approval merges" not in phasegate("show", run.id).out
        evidence = failed_grade()
        scene.attempt(run, "testing", evidence)
        scene.ledger.gates.void(scene.ledger.gates.waiting(run.id)[0], "asked again")
        scene.open_gate(run, "change", evidence)
        text = "An approval merges the change into phasegate/main where main is checked out, else into main."
        assert (text in phasegate("show", run.id).out) == said

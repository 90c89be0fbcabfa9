"""Read this fifth: an effect, the only way in which a run changes the world, and how it is undone.

Agents change files in a folder of their own. Only code merges, migrates or releases, and each such act is an effect.
An effect is recorded before it is made, together with what undoes it, under a key that the world carries, too.
So after a crash it is found instead of made again. A rollback undoes effects, newest first, and stops loudly at one
that it cannot undo. Past a pivot, such as a migration of data, nothing is undone at all.
`perform` and `roll_back` are in `flows/phasegate/flows/lifecycle/effects/saga.py`. The effect here is a merge in git.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.greeter import push_as_colleague, write_greeter
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.repositories import git

from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.performers import Facts, MergePerformer
from phasegate.flows.lifecycle.effects.saga import perform, roll_back
from phasegate.flows.lifecycle.intent import Intent
from phasegate.infra.errors import BranchMoved, CompensationFailed, PastPivot
from phasegate.infra.ledger import Attempt, Effect, Ledger
from phasegate.infra.workspace import ChangeSet, Repository, Workspace

BRANCH = "phasegate/main"
"""Merges go here, since the user has `main` itself checked out."""


class Died(BaseException):
    """The process ends here."""


@dataclass
class Greeter:
    """The user's repository, a run in it, and the changes that an agent would have made.

    Attributes:
        top: The repository's folder.
        ledger: The ledger.
        run: The run, as its stages see it.
        run_id: Its id.
    """

    top: Path
    ledger: Ledger
    run: RunContext
    run_id: str

    async def change(self, number: int, name: str, text: str) -> ChangeSet:
        """Change a file in the agent's folder, as the artifact of an attempt."""
        repository, base = Repository.open(self.top), self.ledger.runs.get(self.run_id).base_commit

        async def work(row: Attempt) -> ChangeSet:
            workspace = Workspace.create(repository, self.run_id, base, self.top.parent / "work")
            (workspace.folder / name).write_text(text)
            return workspace.collect(base, [], f"Change {name}")

        return await attempt(self.run, "implementation", number, ChangeSet, work, inputs={})

    def effects(self) -> list[tuple[str, str]]:
        """The run's effects by key, without the run's id, and how each stands."""
        known = self.ledger.effects.list(self.run_id)
        return [(effect.key.removeprefix(f"{self.run_id}/"), effect.status) for effect in known]

    def subjects(self) -> list[str]:
        """Subjects of the commits on the branch, newest first, without the second parents of merges."""
        return git(self.top, "log", "--first-parent", "--format=%s", BRANCH).splitlines()


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncGenerator[LifecycleHarness]:
    """A repository, a ledger, and an engine's resources."""
    write_greeter(tmp_path)
    async with open_lifecycle(tmp_path) as harness:
        yield harness


@pytest.fixture
def greeter(harness: LifecycleHarness) -> Greeter:
    """The repository, with a run that was accepted."""
    run = harness.kick_off()
    return Greeter(harness.folder / "greeter", harness.ledger, harness.context(run), run.id)


def merge_of(change: ChangeSet, name: str = "merge", **more: str) -> Intent:
    """The intent to merge a change, with a sentence for people that says how it is undone."""
    facts = {"change": change.digest, "branch": "main", "message": change.summary, **more}
    return Intent("merge", name, facts, "revert the merge on main")


async def test_an_effect_is_on_record_with_its_undoing_before_it_is_made(
    greeter: Greeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that nobody knew of could never be found, let alone undone."""
    seen: list[Effect | None] = []
    real = MergePerformer.make

    async def make(self: MergePerformer, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        seen.append(greeter.ledger.effects.find(key))
        return await real(self, run, key, intent)

    monkeypatch.setattr(MergePerformer, "make", make)
    await perform(greeter.run, merge_of(await greeter.change(1, "greeting.txt", "Good day\n")))

    (before,) = seen
    assert before is not None
    assert (before.status, before.compensation) == ("intended", "revert the merge on main")
    assert greeter.effects() == [("merge", "done")]
    assert git(greeter.top, "show", f"{BRANCH}:greeting.txt") == "Good day"


async def test_an_effect_leaves_the_users_branch_and_files_alone(greeter: Greeter) -> None:
    """A person works on in the same repository, on the same branch, while runs merge."""
    (greeter.top / "greeting.txt").write_text("Hello, half typed\n")
    head = git(greeter.top, "rev-parse", "main")
    await perform(greeter.run, merge_of(await greeter.change(1, "greeting.txt", "Good day\n")))
    assert git(greeter.top, "rev-parse", "main") == head
    assert git(greeter.top, "status", "--porcelain") == "M greeting.txt"
    assert (greeter.top / "greeting.txt").read_text() == "Hello, half typed\n"


async def test_an_effect_is_made_once_however_often_the_pipeline_passes(greeter: Greeter) -> None:
    """After each stop the pipeline runs from the top, over lines that have merged already."""
    intent = merge_of(await greeter.change(1, "greeting.txt", "Good day\n"))
    assert await perform(greeter.run, intent) == await perform(greeter.run, intent)
    assert greeter.subjects() == ["Change greeting.txt", "First"]


async def test_an_effect_that_was_made_just_before_a_crash_is_found(
    greeter: Greeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge is in, and the ledger says only that it was intended: the key in the commit's message tells."""
    real = MergePerformer.make

    async def make(self: MergePerformer, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        await real(self, run, key, intent)
        raise Died

    intent = merge_of(await greeter.change(1, "greeting.txt", "Good day\n"))
    with monkeypatch.context() as patched:
        patched.setattr(MergePerformer, "make", make)
        with pytest.raises(Died):
            await perform(greeter.run, intent)
    assert greeter.effects() == [("merge", "intended")]

    await perform(greeter.run, intent)

    assert greeter.effects() == [("merge", "done")]
    assert greeter.subjects() == ["Change greeting.txt", "First"]
    trailer = "--format=%(trailers:key=Phasegate-Effect,valueonly)"
    assert git(greeter.top, "log", "-1", trailer, BRANCH) == f"{greeter.run_id}/merge"


async def test_an_effect_that_would_not_be_the_approved_one_is_called_off(greeter: Greeter) -> None:
    """A person approved a tree that was graded. On a branch that has moved, the merge would be another tree."""
    change = await greeter.change(1, "greeting.txt", "Good day\n")
    push_as_colleague(greeter.top, BRANCH, "notes.txt", "mind the gap\n")
    with pytest.raises(BranchMoved):
        await perform(greeter.run, merge_of(change, tree=change.tree))
    assert greeter.subjects() == ["Change notes.txt", "First"]
    (effect,) = greeter.ledger.effects.list(greeter.run_id)
    assert effect.called_off


async def test_a_rollback_undoes_a_merge_by_a_commit_that_takes_it_out(greeter: Greeter) -> None:
    """History is not rewritten: colleagues who have pulled the merge get the revert like any other commit."""
    intent = merge_of(await greeter.change(1, "greeting.txt", "Good day\n"))
    await perform(greeter.run, intent)
    push_as_colleague(greeter.top, BRANCH, "notes.txt", "mind the gap\n")
    await roll_back(greeter.run)
    assert greeter.effects() == [("merge", "undone")]
    assert git(greeter.top, "show", f"{BRANCH}:greeting.txt") == "Hello"
    assert git(greeter.top, "show", f"{BRANCH}:notes.txt") == "mind the gap", "a colleague's work stays"
    undone = ['Revert "Change greeting.txt"', "Change notes.txt", "Change greeting.txt", "First"]
    assert greeter.subjects() == undone

    await roll_back(greeter.run)
    await perform(greeter.run, intent)
    assert greeter.subjects() == undone, "neither is done a second time"
    assert greeter.effects() == [("merge", "undone")]


async def test_effects_are_undone_newest_first(greeter: Greeter) -> None:
    """A later effect may stand on an earlier one: a release, for example, on the merge that it was built from."""
    await perform(greeter.run, merge_of(await greeter.change(1, "greeting.txt", "Good day\n"), "first"))
    await perform(greeter.run, merge_of(await greeter.change(2, "notes.txt", "mind the gap\n"), "second"))
    await roll_back(greeter.run)
    assert greeter.subjects()[:2] == ['Revert "Change greeting.txt"', 'Revert "Change notes.txt"']


async def test_an_effect_that_cannot_be_undone_stops_the_rollback_and_a_person_helps(greeter: Greeter) -> None:
    """To go on around it would undo the ground that it stands on, and to keep silent would leave it there for good."""
    await perform(greeter.run, merge_of(await greeter.change(1, "notes.txt", "mind the gap\n"), "first"))
    await perform(greeter.run, merge_of(await greeter.change(2, "greeting.txt", "Good day\n"), "second"))
    push_as_colleague(greeter.top, BRANCH, "greeting.txt", "Good day to you\n")
    with pytest.raises(CompensationFailed, match=r"greeting\.txt") as failed:
        await roll_back(greeter.run)
    assert f"phasegate resume {greeter.run_id}" in failed.value.remedy
    assert greeter.effects() == [("first", "done"), ("second", "stuck")]

    push_as_colleague(greeter.top, BRANCH, "greeting.txt", "Good day\n")  # the colleague takes it back
    await roll_back(greeter.run)
    assert greeter.effects() == [("first", "undone"), ("second", "undone")]
    assert git(greeter.top, "show", f"{BRANCH}:greeting.txt") == "Hello"


async def test_nothing_is_undone_past_a_pivot(greeter: Greeter) -> None:
    """Data in a new form cannot be read by the old code: to take the code out would break what still works."""
    await perform(greeter.run, merge_of(await greeter.change(1, "greeting.txt", "Good day\n")))
    pivot = greeter.ledger.effects.intend(
        greeter.run_id,
        "migrate",
        f"{greeter.run_id}/migrate",
        intent={},
        compensation="restore a copy",
        effect_class="pivot",
    )
    greeter.ledger.effects.done(pivot, {})
    with pytest.raises(PastPivot, match="cannot be undone"):
        await roll_back(greeter.run)
    assert greeter.effects() == [("merge", "done"), ("migrate", "done")]
    assert git(greeter.top, "show", f"{BRANCH}:greeting.txt") == "Good day"

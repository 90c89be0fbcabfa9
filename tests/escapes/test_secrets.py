"""P10: a secret reaches neither the model nor the ledger nor the change, and a program's rule reaches no shell."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from typing import Any

from tests.escapes.world import RUN, Done, World

from phasegate.agents.tools.guardrails import Guardrails
from phasegate.agents.tools.tool_sets import WRITING
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.permissions import CommandRules, Permissions
from phasegate.infra.secrets import Secrets

TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8bC0dF2hJ4"


def toolbox(world: World, **supervision: Any) -> Toolbox:
    def note(kind: EventKind, facts: Any) -> None:
        world.ledger.note(RUN, kind, payload=facts)

    return Toolbox(
        world.workspace.folder,
        names=WRITING,
        sandbox=world.sandbox,
        draft=Done,
        command_timeout=timedelta(seconds=8),
        guardrails=Guardrails(record=note, secrets=Secrets({"OPENAI_API_KEY": "hunter2-hunter2"}), **supervision),
    )


async def test_a_secret_in_output_and_in_the_result_is_masked_and_on_record(world: World) -> None:
    """Mutation tried: `_perform` returns the text as it is."""
    (world.workspace.folder / "env").write_text(f"a=hunter2-hunter2\nb={TOKEN}\n")
    before = len(world.ledger.events(RUN))
    tools = toolbox(world)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("run", {"command": "cat env"}),
        ("read_file", {"path": "env"}),
        ("search", {"pattern": "hunter2"}),
        ("finish", {"summary": f"the key is hunter2-hunter2, the token {TOKEN}"}),
    ]
    for name, args in calls:
        outcome = await tools.call({"id": "1", "name": name, "args": args, "raw": ""})
        shown = str(outcome)
        assert "hunter2-hunter2" not in shown
        assert TOKEN not in shown
        assert "[masked: OPENAI_API_KEY" in shown
    events = world.ledger.events(RUN)[before:]
    assert [event.kind for event in events].count("secret.masked") == len(calls)
    assert "hunter2-hunter2" not in str(events)
    assert TOKEN not in str(events)


def test_a_change_that_brings_a_secret_in_leaves_that_file_out_and_says_so(world: World) -> None:
    """Mutation tried: `_leaking` finds nothing."""
    folder, base = world.workspace.folder, world.workspace.base_commit
    (folder / "fine.py").write_text("y = 2\n")
    (folder / "app.py").write_text(f"token = '{TOKEN}'\n")
    change = world.workspace.collect(base, (), "A change")
    assert [file.path for file in change.files] == ["fine.py"]
    (told,) = change.secrets
    assert told.startswith("app.py: GitHub token (")
    assert TOKEN not in change.markdown()
    shown = subprocess.run(
        ["git", "-C", str(world.root / "project"), "show", change.commit], capture_output=True, check=True
    )
    assert TOKEN.encode() not in shown.stdout


def test_a_checkpoint_keeps_a_masked_copy_and_the_folder_what_it_had(world: World) -> None:
    """Mutations tried: `_write_tree` returns the tree as it is; `leaking` passes over names."""
    folder = world.workspace.folder
    (folder / "keys").write_bytes(b"\xff token = " + TOKEN.encode() + b"\nkept = 1\n")
    (folder / TOKEN).write_text("x")
    commit = world.workspace.checkpoint("implementation", 7)
    world.workspace.restore(commit)
    assert TOKEN.encode() in (folder / "keys").read_bytes()
    top = world.root / "project"
    listed = subprocess.run(["git", "-C", top, "ls-tree", "-r", commit], capture_output=True, check=True).stdout
    kept = subprocess.run(
        ["git", "-C", top, "cat-file", "blob", f"{commit}:keys"], capture_output=True, check=True
    ).stdout
    assert TOKEN.encode() not in listed + kept
    assert kept.startswith(b"\xff token = [masked: GitHub token ")
    assert kept.endswith(b"]\nkept = 1\n")


async def test_a_command_that_needs_permission_waits_and_does_nothing(world: World) -> None:
    """Mutation tried: `permit` takes `unanswered` for granted."""
    permissions = Permissions(commands=CommandRules(ask=("touch",)))
    call: Any = {"id": "c1", "name": "run", "args": {"command": "echo x && touch made"}, "raw": ""}
    outcome = await toolbox(world, permissions=permissions).call(call)
    assert outcome.pending_permission is not None
    assert (outcome.pending_permission.call_id, outcome.pending_permission.program) == ("c1", "touch made")
    assert not (world.workspace.folder / "made").exists()

    class Said:
        def __init__(self, answer: Any) -> None:
            self.answer = lambda _: answer
            self.note = lambda _: "not today"

    refused = await toolbox(world, permissions=permissions, permission=Said("refused")).call(call)
    assert (refused.pending_permission, refused.result["failed"]) == (None, True)
    assert "a person refused `touch made`: not today" in refused.result["output"]
    granted = await toolbox(world, permissions=permissions, permission=Said("granted")).call(call)
    assert (granted.pending_permission, granted.result["failed"]) == (None, False)
    assert (world.workspace.folder / "made").exists()

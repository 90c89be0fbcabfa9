"""P10: an agent's attempt to get out of its sandbox fails, and is recorded."""

from __future__ import annotations

import pytest
from tests.escapes.escapes import ESCAPES, Escape
from tests.escapes.world import CANARY, World

LATER = 2


def test_there_are_enough_of_them() -> None:
    assert len({escape.name for escape in ESCAPES}) == len(ESCAPES) >= 40


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_nothing_gets_out_and_the_try_is_on_record(world: World, escape: Escape) -> None:
    """Mutations tried: bwrap with `--share-net`; without `--remount-ro /proc`."""
    for name, content in escape.files.items():
        (world.workspace.folder / name).write_text(world.told(content))
    before = world.outside()
    outcome, events = await world.call("run", {"command": world.told(escape.command)})
    world.engine_looks()

    said = outcome.result["output"]
    assert CANARY not in said
    assert "ESCAPED" not in said
    assert world.touched == []
    assert world.victim.poll() is None
    assert not world.tripwire.exists()
    assert world.outside() == before

    recorded = {sign["kind"] for event in events for sign in event.payload.get("signs", [])}
    recorded |= {"denied" for event in events if event.kind == "tool.denied"}
    assert escape.sign in recorded, (said, [event.payload for event in events])


PATHS = [
    "../escape.txt",
    "/etc/escape.txt",
    "a/../../escape.txt",
    "link/escape.txt",
    "to-file",
    "loop/x",
    ".git",
    ".git/hooks/post-commit",
    "sub/.GIT/config",
    "phasegate.toml",
    "x/../phasegate.toml",
    "a\0b",
    "n" * 300,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:30].replace("\0", "NUL"))
@pytest.mark.parametrize("tool", ["write_file", "edit_file", "read_file", "list_files", "search"])
async def test_no_file_tool_leads_out(world: World, tool: str, path: str) -> None:
    """Mutations tried: `Folder.inside` without resolving links; with its check for `.git` turned round."""
    folder = world.workspace.folder
    (folder / "link").symlink_to(world.root / "home")
    (folder / "to-file").symlink_to(world.root / "home" / ".netrc")
    (folder / "loop").symlink_to("loop")
    before = world.outside()
    arguments = {
        "write_file": {"content": "x"},
        "edit_file": {"old": "a", "new": "b"},
        "read_file": {},
        "list_files": {},
        "search": {"pattern": "canary"},
    }
    reading_is_fine = "phasegate.toml" in path and tool in {"read_file", "list_files", "search"}
    outcome, events = await world.call(tool, {"path": path, **arguments[tool]})
    assert CANARY not in outcome.result["output"]
    assert world.outside() == before
    if not reading_is_fine:
        assert outcome.result["failed"]
        (event,) = events
        assert (event.kind, event.payload["tool"]) == ("tool.denied", tool)


async def test_a_tool_the_stage_was_not_given_is_refused_on_record(world: World) -> None:
    outcome, events = await world.call("deploy", {"path": "x"})
    assert outcome.result["failed"]
    assert [event.kind for event in events] == ["tool.denied"]

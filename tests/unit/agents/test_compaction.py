"""Old outputs are left out seldom, in one step, newest last, and with the way to see them again."""

from __future__ import annotations

from phasegate.agents.loop.compaction import compacted_to, shown
from phasegate.agents.loop.state import Said
from phasegate.agents.models.conversation import Message, ToolResult, encode_json, read_call

WINDOW = 10_000


def thread(turns: int, size: int = 2_000) -> list[Said]:
    """A conversation whose every turn has an output of so many characters."""
    said: list[Message] = []
    said.append({"role": "user", "text": "brief"})
    for turn in range(turns):
        call, output = read_call(f"c{turn}", "read_file", "{}"), f"{turn}:".ljust(size, "x")
        result: ToolResult = {"id": call["id"], "name": call["name"], "output": output, "failed": False}
        said.append({"role": "assistant", "text": "", "calls": [call], "native": []})
        said.append({"role": "tools", "results": [result]})
    return [{"said": message} for message in said]


def outputs_of(message: Message) -> list[str]:
    return [result["output"] for result in message["results"]] if message["role"] == "tools" else []


def sent(conversation: list[Said], end: int) -> bytes:
    return b"\n".join(encode_json(message) for message in shown(conversation, 0, end))


def test_between_two_compactions_each_request_begins_with_the_one_before() -> None:
    end, previous, steps = 0, b"", 0
    for turns in range(1, 40):
        conversation = thread(turns)
        used = len(sent(conversation, end)) // 4
        moved = compacted_to(conversation, end, input_tokens=used, window=WINDOW)
        if moved == end:
            assert sent(conversation, end).startswith(previous)
        else:
            steps += 1
            assert len(sent(conversation, end)) - len(sent(conversation, moved)) >= 0.1 * WINDOW * 4
        end, previous = moved, sent(conversation, moved)
    assert 2 <= steps <= 7
    assert len(previous) // 4 <= WINDOW


def test_the_newest_outputs_stay_whole_and_the_old_ones_say_how_to_see_them() -> None:
    conversation = thread(20)
    end = compacted_to(conversation, 0, input_tokens=WINDOW, window=WINDOW)
    outputs = [outputs_of(message) for message in shown(conversation, 0, end)]
    (first,), (last,) = outputs[2], outputs[-1]
    assert first.startswith("0:")
    assert "2000 characters left out to save room; call read_file again to see them" in first
    assert last == "19:".ljust(2_000, "x")
    assert outputs_of(conversation[2]["said"]) == ["0:".ljust(2_000, "x")]


def test_what_would_free_little_is_left_alone() -> None:
    assert compacted_to(thread(200, size=50), 0, input_tokens=WINDOW, window=WINDOW) == 0

"""Position of a conversation in the script, told by the conversation alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.agents.rehearsal.answers import Position, Utterance, position


def person(text: str) -> Utterance:
    return Utterance(by_model=False, text=text)


def model(*call_ids: str) -> Utterance:
    return Utterance(by_model=True, text="model", call_ids=call_ids)


@dataclass
class Case:
    name: str
    said: list[Utterance]
    expected: Position


CASES = [
    Case("nothing", [], Position(1, "", 0)),
    Case("first", [person("instructions"), person("ticket")], Position(1, "instructions\nticket\n", 0)),
    Case("second", [person("a"), model("call_prd_1_1_0"), person("b")], Position(2, "b\n", 0)),
    Case("an answer in parts", [person("a"), model(), model("call_1"), model("call_2")], Position(2, "", 0)),
    Case(
        "after a malformed call",
        [person("a"), model("call_prd_1_1_0_malformed0"), person("not JSON")],
        Position(1, "a\nnot JSON\n", 1),
    ),
    Case(
        "malformed calls of an earlier turn are over",
        [person("a"), model("c_malformed0"), person("b"), model("c"), person("d"), model("e_malformed0"), person("f")],
        Position(2, "d\nf\n", 1),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_position(case: Case) -> None:
    assert position(case.said) == case.expected

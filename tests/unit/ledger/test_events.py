"""Events: each kind is written, has a payload, is described, and old ledgers hold no other facts."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter
from tests.crash.kinds import kinds_in_the_code
from tests.golden.restore import DATA, UNFINISHED, dump

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.ledger import Event
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import PAYLOADS, payload_of

LEDGERS = sorted((*DATA.glob("*/ledger.sql.gz"), UNFINISHED / "ledger.sql.gz"))


def test_each_kind_is_written_and_has_a_payload() -> None:
    """Mutation tried: a kind that no code writes."""
    assert set(EventKind) - set(kinds_in_the_code()) == set()
    assert set(PAYLOADS) == set(EventKind)


@pytest.mark.parametrize("ledger", LEDGERS, ids=lambda path: path.parent.name)
def test_what_earlier_versions_stored_has_the_shape_of_its_kind(ledger: Path) -> None:
    """Mutation tried: `GateOpened` without `number`, or with a fact that was not there then."""
    with sqlite3.connect(":memory:") as database:
        database.executescript(dump(ledger))
        rows = database.execute("SELECT kind, payload FROM events").fetchall()
    assert rows
    for kind, payload in rows:
        facts = TypeAdapter(dict[str, object]).validate_json(payload)
        del facts["rows"]
        types = get_type_hints(PAYLOADS[kind], include_extras=True)
        required = {name for name, of in types.items() if get_origin(of) is not NotRequired}
        assert required <= facts.keys() <= types.keys(), kind
        for name, fact in facts.items():
            of = get_args(types[name])[0] if name not in required else types[name]
            TypeAdapter(of).validate_python(fact, strict=True)


def test_a_payload_is_read_as_the_type_of_its_kind_only() -> None:
    event = Event(
        run_id="run-1",
        position=1,
        at=datetime.now(UTC),
        kind="gate.opened",
        actor="engine",
        payload={"gate": "prd", "number": 1, "subject": {}},
        hash="",
    )
    assert payload_of(event, payloads.GateOpened)["number"] == 1
    with pytest.raises(TypeError, match="carries no GateDecided"):
        payload_of(event, payloads.GateDecided)


def test_a_kind_is_stored_as_its_text() -> None:
    assert canonical_json([EventKind.GATE_OPENED]) == '["gate.opened"]'


@pytest.mark.parametrize(
    ("text", "stage", "part", "number"),
    [
        ("run-1/prd/1", "prd", "", 1),
        ("run-1/testing.authoring/12", "testing", "authoring", 12),
        ("run-1/implementation/2/7/0", "implementation", "", 2),
    ],
)
def test_an_attempt_id_is_read_and_moved_to_another_run(text: str, stage: str, part: str, number: int) -> None:
    attempt = AttemptId.parse(text)
    assert (attempt.run, attempt.stage, attempt.part, attempt.number) == ("run-1", stage, part, number)
    assert text.startswith(str(attempt))
    assert AttemptId.of("run-1", stage, part, number) == attempt
    assert str(attempt.in_run("run-2")) == f"run-2/{attempt.within_run}"


@pytest.mark.parametrize("text", ["", "run-1", "run-1/prd", "run-1/prd/x"])
def test_what_is_no_attempt_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        AttemptId.parse(text)

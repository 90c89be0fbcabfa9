"""Facts that code adds to an agent's reading, and statements of the agent that code checks."""

from __future__ import annotations

from typing import Any

import pytest

from phasegate.agents.monitoring import Incident, IncidentDraft, TimelineEntry
from phasegate.flows.lifecycle.rollout.incident import incident, suspect
from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.metrics.tables import Tables

HUNKS = [
    Hunk("app.py", 3, 4, ((3, "import os"), (4, "import sys")), ("import re",)),
    Hunk("app.py", 14, 15, ((14, "    if bo:"), (15, "        raise"))),
    Hunk("app.py", 20, 19, (), ("    gone()",)),
    Hunk("new.py", 0, 0, ((1, "one"), (2, "two"))),
]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("app.py:14", 1),
        ("app.py:13-14", 1),
        ("`app.py:15-99`", 1),
        ("app.py:4-14", 0),
        ("app.py:5-13", None),
        ("app.py:19", 2),
        ("app.py:20", 2),
        ("app.py", 0),
        ("new.py:2", 3),
        ("new.py:3", None),
        ("other.py:14", None),
        ("ap.py", None),
        ("", None),
        ("the loop in app.py", None),
    ],
)
def test_a_suspicion_is_looked_up_in_the_change(place: str, found: int | None) -> None:
    """Mutation tried: the lines are not compared."""
    assert suspect(place, HUNKS) == (None if found is None else HUNKS[found])


def read(**draft: Any) -> Incident:
    record = [TimelineEntry(at="2026-01-01T12:00:00.000+00:00", what="cut-over done")]
    tables = Tables(log="a\nb\n", hunks=HUNKS)
    return incident(IncidentDraft.model_validate(draft), tables, record, release="sha256:1", health_report="sha256:2")


def test_evidence_stands_beside_what_its_query_gives() -> None:
    made = read(
        evidence=[
            {"statement": "two lines", "query": "SELECT count(*) AS lines FROM log"},
            {"statement": "I know it", "more": "words"},
            {"statement": "it is so", "query": "SELECT nothing FROM log"},
            "as it was before there were queries",
        ]
    )
    assert [one if isinstance(one, str) else one.result.splitlines()[-1] for one in made.evidence] == [
        "2",
        "(no query was given that shows it)",
        '(not answered: Binder Error: Referenced column "nothing" not found in FROM clause!)',
        "as it was before there were queries",
    ]
    assert Incident.from_canonical(made.canonical()) == made


def test_it_does_not_ask_without_end() -> None:
    made = read(evidence=[{"statement": "again", "query": "SELECT 1 AS one"}] * 25)
    results = [one.result for one in made.evidence if not isinstance(one, str)]
    assert results == ["one\n1"] * 20 + ["(not asked: only 20 are)"] * 5


@pytest.mark.parametrize(
    ("place", "suspicion", "says"),
    [
        ("app.py:14", "in the change", "+        raise"),
        ("lib.py:1", "not in the change", "### Suspected: `lib.py:1` (not in the change)"),
        ("", "", "### Evidence"),
    ],
)
def test_the_page_says_whether_the_suspicion_can_be_right(place: str, suspicion: str, says: str) -> None:
    made = read(suspected_hunk=place, evidence=["x"])
    assert made.suspicion == suspicion
    assert says in made.markdown()


def test_the_record_stands_beside_the_agents_own_words() -> None:
    page = read(timeline=["users complained"]).markdown()
    assert "- 12:00:00 cut-over done" in page
    assert "### Timeline, as the agent tells it\n\n- users complained" in page


def test_what_earlier_versions_stored_keeps_its_digest() -> None:
    stored = (
        '{"evidence":["a log line"],"follow_up_body":"","follow_up_title":"","health_report":"sha256:2",'
        '"kind":"incident","release":"sha256:1","schema_version":1,"summary":"x","suspected_hunk":"app.py:14",'
        '"timeline":["released"]}'
    )
    made = Incident.from_canonical(stored)
    assert made.canonical() == stored
    assert "a log line" in made.markdown()

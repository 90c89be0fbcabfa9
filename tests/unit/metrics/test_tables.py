"""Tables of a release's data, queried in SQL by an untrusted agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.metrics.report import HealthReport, Measurement, MetricReport
from phasegate.infra.metrics.sources.duckdb_process import QueryRefused
from phasegate.infra.metrics.sources.duckdb_worker import CHARACTERS, ROWS
from phasegate.infra.metrics.tables import Tables

NOON = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
MEASURED = MetricReport(
    name="errors",
    verdict="failed",
    reason="1 failed",
    measurements=(
        Measurement(
            at=NOON, values={"error_rate": 0.5, "p95_ms": None}, outcome="failure", baseline={"error_rate": 0.1}
        ),
        Measurement(at=NOON, values={}, outcome="error", message="no answer"),
    ),
)
LEFT = Tables(
    reports=[HealthReport(verdict="failed", metrics=(MEASURED,))],
    log='starting\n{"status": 500, "path": "/"}\n',
    events=[(7, datetime(2026, 1, 1, 12, tzinfo=UTC), "effect.done", "", '{"effect":"candidate"}')],
    hunks=[
        Hunk("app.py", 14, 15, ((14, "    if bo:"), (15, "        raise")), ("    pass",)),
        Hunk("new.py", 0, 0, ((1, "a = 1"), (2, "b = 2"))),
    ],
)


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        (
            "SELECT * FROM metrics WHERE value_name = 'error_rate'",
            "errors | 2026-01-01 12:00:00 | error_rate | 0.5 | 0.1 | failure | ",
        ),
        ("SELECT value_name, value FROM metrics WHERE value IS NULL AND outcome = 'failure'", "p95_ms | null"),
        ("SELECT outcome, why FROM metrics WHERE value_name = ''", "error | no answer"),
        ("SELECT number, json->>'status' FROM log WHERE json IS NOT NULL", "2 | 500"),
        ("SELECT number, happened_at, payload->>'effect' FROM events", "7 | 2026-01-01 12:00:00 | candidate"),
        ("SELECT first, last FROM hunks WHERE file = 'new.py'", "1 | 2"),
        ("SELECT file, first, last, added FROM hunks WHERE hunk = 1", "app.py | 14 | 15 |     if bo:\\n        raise"),
        ("WITH a AS (FROM log) SELECT count(*) FROM a;", "2"),
        ("SELECT 1 WHERE false", "(no rows)"),
    ],
)
def test_what_can_be_asked(sql: str, answer: str) -> None:
    assert LEFT.ask(sql).splitlines()[1:] == [answer]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("DROP TABLE log", "write one SELECT"),
        ("INSERT INTO log VALUES (1, 'x', NULL)", "write one SELECT"),
        ("SELECT 1; SELECT 2", "write one SELECT"),
        ("", "write one SELECT"),
        ("SET enable_external_access = true", "write one SELECT"),
        ("COPY log TO '{file}.copy'", "write one SELECT"),
        ("ATTACH '{file}.db'", "write one SELECT"),
        ("SELECT * FROM read_text('{file}')", "Permission Error"),
        ("SELECT * FROM '{file}.csv'", "Error"),
        ("SELECT * FROM read_csv('http://127.0.0.1:1/x')", "Error"),
        ("SELECT * FROM sqlite_scan('{file}', 't')", "Error"),
        ("SELEC 1", "Parser Error"),
        ("SELECT getenv('HOME')", "Error"),
    ],
)
def test_it_reaches_nothing_and_changes_nothing(tmp_path: Path, sql: str, says: str) -> None:
    """Mutation tried: nothing of `_SEALED` is set."""
    file = tmp_path / "file"
    file.write_text("content")
    with pytest.raises(QueryRefused, match=says):
        LEFT.ask(sql.replace("{file}", str(file)))
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_an_answer_is_bounded() -> None:
    lines = LEFT.ask("SELECT range FROM range(1000000)").splitlines()
    assert (len(lines), lines[-1]) == (ROWS + 2, "… more than 100 rows: count or sum them up, or ask for fewer")
    wide = LEFT.ask("SELECT repeat('x', 390) FROM range(90)")
    assert len(wide) < CHARACTERS + 100
    assert wide.endswith("… cut: ask for fewer columns or rows")
    assert len(LEFT.ask("SELECT repeat('x', 1000000)")) < 500


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT count(*) FROM range(10000000000) a, range(1000000) b WHERE a.range % 7 = b.range", "longer than 5 s"),
        ("SELECT length(repeat('x', 1_500_000_000))", "memory|Memory|allocat"),
        ("SELECT list(range) FROM range(100000000)", "Out of Memory"),
    ],
)
def test_a_question_is_given_up_that_takes_too_much(sql: str, says: str) -> None:
    """Mutation tried: no limit on the process' memory."""
    with pytest.raises(QueryRefused, match=says):
        LEFT.ask(sql)


def test_nothing_left_behind_is_empty_tables() -> None:
    assert Tables().ask("SELECT count(*) FROM metrics").splitlines()[-1] == "0"
    assert Tables().ask("FROM log").splitlines()[-1] == "(no rows)"

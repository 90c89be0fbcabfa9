"""Options that stop a suite at its first failure are found and switched off, or named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from phasegate.infra.grading.runner.fail_fast import cut_short, switched_off


@dataclass(frozen=True)
class Case:
    name: str
    command: str
    runs: str
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    named: tuple[str, ...] = ()


CASES = (
    Case("pytest, short", "pytest -x -q --junitxml={junit}", "pytest  -q --junitxml={junit}"),
    Case(
        "pytest, letters together",
        "python -m pytest -qxv --junitxml={junit}",
        "python -m pytest -qv --junitxml={junit}",
    ),
    Case("pytest, long", "pytest --maxfail 3 --exitfirst --junitxml={junit}", "pytest   --junitxml={junit}"),
    Case(
        "pytest, another x",
        "pytest -p xdist -n2 -k x --junitxml={junit}",
        "pytest -p xdist -n2 -k x --junitxml={junit}",
    ),
    Case("unittest", "python -m xmlrunner discover -f -o {junit}", "python -m xmlrunner discover  -o {junit}"),
    Case("go", "go test -failfast ./... | report > {junit}", "go test ./... | report > {junit}"),
    Case("cargo", "cargo test --workspace > {junit}", "cargo test --no-fail-fast --workspace > {junit}"),
    Case("cargo, told", "cargo test --no-fail-fast > {junit}", "cargo test --no-fail-fast > {junit}"),
    Case("gradle", "./gradlew test; cp r.xml {junit}", "./gradlew --continue test; cp r.xml {junit}"),
    Case("jest, told", "npx jest --bail --ci", "npx jest --ci"),
    Case("jest, settings", "npx jest --ci", "npx jest --ci --bail=0", {"package.json": '{"jest": {"bail": true}}'}),
    Case("mocha, settings", "npx mocha", "npx mocha --no-bail", {".mocharc.yml": "bail: true\n"}),
    Case(
        "npm script",
        "npm test",
        "npm test -- --no-bail",
        {"package.json": '{"scripts": {"test": "mocha -b test/"}}'},
    ),
    Case(
        "npm script that nothing can be added to",
        "npm test",
        "npm test",
        {"package.json": '{"scripts": {"test": "mocha --bail && echo done"}}'},
        ("package.json, script test",),
    ),
    Case("make", "make test", "make test", {"Makefile": "test:\n\tpytest -x\n"}, ("Makefile",)),
    Case("make, harmless", "make test", "make test", {"Makefile": "test:\n\tpytest -q\n"}),
    Case(
        "maven, settings",
        "mvn -q test",
        "mvn --fail-at-end -q test",
        {"pom.xml": "<configuration><skipAfterFailureCount>1</skipAfterFailureCount></configuration>"},
        ("pom.xml",),
    ),
    Case("settings of another runner", "npx mocha", "npx mocha", {"package.json": '{"jest": {"bail": true}}'}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_command_runs_every_test(case: Case) -> None:
    files = {path: text.encode for path, text in case.files.items()}
    assert switched_off(case.command, files) == (case.runs, case.named)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("F\n!!!!!! stopping after 1 failures !!!!!!\n1 failed", True),
        ("ok 1\nBail out!\n", True),
        ("1 failed, 2 passed\n", False),
        ("the words: stopping after 1 failures\n", False),
    ],
)
def test_a_runner_says_that_it_stopped(output: str, expected: bool) -> None:
    assert cut_short(output) is expected

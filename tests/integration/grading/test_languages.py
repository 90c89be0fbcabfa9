"""Grading on runners of other languages: whatever writes JUnit XML."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.grading import Evidence, SealedFile, SealedTests, grade
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace


@dataclass(frozen=True)
class Criterion:
    id: str = "AC1"
    statement: str = "shout greets in capitals"


@dataclass(frozen=True)
class Language:
    name: str
    needs: tuple[str, ...]
    test: str
    files: dict[str, str]
    change: dict[str, str]
    forged: dict[str, str]
    """A change that does not do the work, and makes the report say that all tests passed."""
    sealed: SealedFile


NODE = Language(
    name="node",
    needs=("node",),
    test="node --test --test-reporter=junit --test-reporter-destination={junit} test/",
    files={
        "app.js": "exports.greet = (name) => `Hello ${name}`;\n",
        "package.json": '{"name": "app", "scripts": {"test": "node --test"}}\n',
        "test/app.test.js": (
            "const { test } = require('node:test');\nconst assert = require('node:assert');\n"
            "const { greet } = require('../app.js');\n\n"
            "test('greets', () => {\n  assert.strictEqual(greet('Ana'), 'Hello Ana');\n});\n"
        ),
    },
    change={
        "app.js": (
            "exports.greet = (name) => `Hello ${name}`;\nexports.shout = (name) => {\n"
            "  if (name === null) {\n    return '';\n  }\n  return exports.greet(name).toUpperCase();\n};\n"
        )
    },
    forged={
        "app.js": (
            "exports.greet = (name) => `Hello ${name}`;\nexports.shout = (name) => name;\n"
            "const runner = require('node:test');\nconst make = runner.test;\n"
            "runner.test = (name) => make(name, () => {});\n"
        )
    },
    sealed=SealedFile(
        path="test/accept.test.js",
        content=(
            "const app = require('../app.js');\nconst { test } = require('node:test');\n"
            "const assert = require('node:assert');\n\n"
            "test('shouts', () => {\n  assert.strictEqual(app.shout('Ana'), 'HELLO ANA');\n});\n"
        ),
        criteria=("AC1",),
    ),
)


def grade_in(language: Language, folder: Path, files: dict[str, str]) -> Evidence:
    if missing := [program for program in language.needs if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    top, state = folder / "project", folder / "state"
    for name, content in language.files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "First"]):
        subprocess.run(["git", "-C", str(top), *words], check=True)
    repository = Repository.open(top)
    base = repository.base().commit
    workspace = Workspace.create(repository, "r1", base, state / "w1")
    for name, content in files.items():
        (workspace.folder / name).write_text(content)
    policy = Policy(
        project=ProjectPolicy(test=language.test, test_timeout=timedelta(minutes=1)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        grading=GradingPolicy(ablation_time=timedelta(seconds=30)),
    )
    return asyncio.run(
        grade(
            repository=repository,
            change=workspace.collect(base, (), "Shout"),
            sealed=SealedTests(files=(language.sealed,)),
            criteria=(Criterion(),),
            policy=policy,
            sandbox=open_sandbox(policy.sandbox, state),
            scratch=state / "grading" / "scratch",
            on_step=lambda step: None,
        )
    )


def test_node_s_own_runner(tmp_path: Path) -> None:
    evidence = grade_in(NODE, tmp_path, NODE.change)
    assert evidence.verdict == "passed", evidence.markdown()
    assert [criterion.status for criterion in evidence.criteria] == ["passed"]
    assert evidence.findings == ()
    assert evidence.ablation is not None
    assert evidence.ablation.guarded == 1
    assert evidence.coverage is not None
    assert [(place.start, place.end) for place in evidence.coverage.unreached] == [(4, 4)]


def test_a_report_of_node_s_runner_that_is_forged(tmp_path: Path) -> None:
    evidence = grade_in(NODE, tmp_path, NODE.forged)
    assert evidence.verdict == "failed"
    assert ("report-forged", "cheating") in {(finding.code, finding.severity) for finding in evidence.findings}

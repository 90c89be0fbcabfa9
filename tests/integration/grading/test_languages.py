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

_JARS = Path("/usr/share/java")
_CLASSES = ":".join(
    str(_JARS / f"{name}.jar")
    for name in (
        "junit-jupiter-api",
        "junit-jupiter-engine",
        "junit-platform-commons",
        "junit-platform-console",
        "junit-platform-engine",
        "junit-platform-launcher",
        "junit-platform-reporting",
        "apiguardian-api",
        "opentest4j",
        "opentest4j-reporting-events",
        "picocli",
    )
)
JAVA = Language(
    name="java",
    needs=("java", "javac"),
    test=(
        f"javac -d build -cp {_CLASSES} $(find src -name '*.java') && java -cp build:{_CLASSES} "
        "org.junit.platform.console.ConsoleLauncher --scan-classpath build --details none --reports-dir {junit}"
    ),
    files={
        "src/main/app/App.java": (
            "package app;\n\npublic class App {\n    public static String greet(String name) {\n"
            '        return "Hello " + name;\n    }\n}\n'
        ),
        "src/test/app/AppTest.java": (
            "package app;\n\nimport org.junit.jupiter.api.Assertions;\nimport org.junit.jupiter.api.Test;\n\n"
            "class AppTest {\n    @Test\n    void greets() {\n"
            '        Assertions.assertEquals("Hello Ana", App.greet("Ana"));\n    }\n}\n'
        ),
    },
    change={
        "src/main/app/App.java": (
            "package app;\n\npublic class App {\n    public static String greet(String name) {\n"
            '        return "Hello " + name;\n    }\n\n    public static String shout(String name) {\n'
            "        return greet(name).toUpperCase();\n    }\n}\n"
        )
    },
    forged={
        "src/main/app/App.java": (
            "package app;\n\npublic class App {\n    public static String greet(String name) {\n"
            '        return "Hello " + name;\n    }\n\n    public static String shout(String name) {\n'
            "        return name;\n    }\n}\n"
        ),
        "src/main/org/junit/jupiter/api/Assertions.java": (
            "package org.junit.jupiter.api;\n\npublic class Assertions {\n"
            "    public static void assertEquals(Object expected, Object actual) {\n    }\n}\n"
        ),
    },
    sealed=SealedFile(
        path="src/test/app/AcceptTest.java",
        content=(
            "package app;\n\nimport org.junit.jupiter.api.Assertions;\nimport org.junit.jupiter.api.Test;\n\n"
            "class AcceptTest {\n    @Test\n    void shouts() {\n"
            '        Assertions.assertEquals("HELLO ANA", App.shout("Ana"));\n    }\n}\n'
        ),
        criteria=("AC1",),
    ),
)


def grade_in(language: Language, folder: Path, files: dict[str, str]) -> Evidence:
    missing = [program for program in language.needs if shutil.which(program) is None]
    assert not missing, f"{', '.join(missing)} is not installed: .ci/bootstrap {language.name} brings it"
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
        (workspace.folder / name).parent.mkdir(parents=True, exist_ok=True)
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


def test_java_with_junit_5(tmp_path: Path) -> None:
    evidence = grade_in(JAVA, tmp_path, JAVA.change)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.criteria[0].tests == ("app.AcceptTest::shouts()",)
    assert evidence.counts.project_passed_on_base == 1
    assert evidence.findings == ()
    assert evidence.ablation is not None
    assert evidence.ablation.guarded == 1
    assert evidence.coverage is not None
    assert evidence.coverage.unmeasured == ("src/main/app/App.java",)


@pytest.mark.parametrize("language", [NODE, JAVA], ids=lambda language: language.name)
def test_a_report_that_is_forged(tmp_path: Path, language: Language) -> None:
    evidence = grade_in(language, tmp_path, language.forged)
    assert evidence.verdict == "failed"
    assert ("report-forged", "cheating") in {(finding.code, finding.severity) for finding in evidence.findings}

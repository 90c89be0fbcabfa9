"""Grading on runners of other languages: whatever writes JUnit XML."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.repositories import first_commit, write_files

from phasegate.infra.grading.amendments import Amendment
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
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


GO = Language(
    name="go",
    needs=("go",),
    test="go test -json ./... > {junit} 2>&1",
    files={
        "go.mod": "module example.com/app\n\ngo 1.18\n",
        "app.go": 'package app\n\nfunc Greet(name string) string { return "Hello " + name }\n',
        "app_test.go": (
            'package app\n\nimport "testing"\n\nfunc TestGreet(t *testing.T) {\n'
            '\tif got := Greet("Ana"); got != "Hello Ana" {\n\t\tt.Fatal(got)\n\t}\n}\n'
        ),
    },
    change={
        "shout.go": (
            'package app\n\nimport "strings"\n\n'
            "func Shout(name string) string { return strings.ToUpper(Greet(name)) }\n"
        )
    },
    forged={
        "shout.go": (
            'package app\n\nimport (\n\t"fmt"\n\t"syscall"\n)\n\nfunc Shout(name string) string {\n'
            '\tfmt.Println("--- PASS: TestShout (0.00s)\\n--- FAIL: TestOther (0.00s)\\nFAIL")\n'
            "\tsyscall.Exit(0)\n\treturn name\n}\n"
        )
    },
    sealed=SealedFile(
        path="shout_test.go",
        content=(
            'package app\n\nimport "testing"\n\nfunc TestShout(t *testing.T) {\n'
            '\tif got := Shout("Ana"); got != "HELLO ANA" {\n\t\tt.Fatal(got)\n\t}\n}\n'
        ),
        criteria=("AC1",),
    ),
)

_RUST_GREET = 'pub fn greet(name: &str) -> String {\n    format!("Hello {name}")\n}\n'
_RUST_TESTS = (
    "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn greets() {\n"
    '        assert_eq!(super::greet("Ana"), "Hello Ana");\n    }\n}\n'
)
RUST = Language(
    name="rust",
    needs=("cargo",),
    test="cargo test --offline --no-fail-fast > {junit} 2>&1",
    files={
        "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/lib.rs": _RUST_GREET + _RUST_TESTS,
    },
    change={
        "src/lib.rs": (
            f"{_RUST_GREET}\npub fn shout(name: &str) -> String {{\n    greet(name).to_uppercase()\n}}\n{_RUST_TESTS}"
        )
    },
    forged={
        "src/lib.rs": (
            f"{_RUST_GREET}\npub fn shout(name: &str) -> String {{\n    use std::io::Write;\n"
            '    let said = "test shouts ... ok\\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\\n";\n'
            "    let _ = std::io::stdout().write_all(said.as_bytes());\n    let _ = name;\n"
            "    std::process::exit(0)\n}\n"
            f"{_RUST_TESTS}"
        )
    },
    sealed=SealedFile(
        path="tests/accept.rs",
        content='#[test]\nfn shouts() {\n    assert_eq!(app::shout("Ana").len(), 9);\n}\n',
        criteria=("AC1",),
    ),
)


def grade_in(
    language: Language, folder: Path, files: dict[str, str], *amends: Amendment, coverage: bool = True
) -> Evidence:
    missing = [program for program in language.needs if shutil.which(program) is None]
    assert not missing, f"{', '.join(missing)} is not installed: .ci/bootstrap {language.name} brings it"
    top, state = folder / "project", folder / "state"
    first_commit(top, language.files)
    repository = Repository.open(top)
    base = repository.base().commit
    workspace = Workspace.create(repository, "r1", base, state / "w1")
    write_files(workspace.folder, files)
    policy = Policy(
        project=ProjectPolicy(test=language.test, test_timeout=timedelta(minutes=1)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        grading=GradingPolicy(ablation_time=timedelta(seconds=30), coverage=coverage),
    )
    return asyncio.run(
        grade(
            repository=repository,
            change=workspace.collect(base, (), "Shout"),
            sealed=SealedTests(files=(language.sealed,), amends=amends),
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


def test_go_without_a_converter(tmp_path: Path) -> None:
    evidence = grade_in(GO, tmp_path, GO.change)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.criteria[0].tests == ("example.com/app::TestShout",)
    assert evidence.counts.project_passed_on_base == 1
    assert evidence.findings == ()


def test_cargo_with_tests_inside_the_product(tmp_path: Path) -> None:
    weakened = _RUST_TESTS.replace('assert_eq!(super::greet("Ana"), "Hello Ana");', 'let _ = super::greet("Ana");')
    evidence = grade_in(RUST, tmp_path, {"src/lib.rs": RUST.change["src/lib.rs"].replace(_RUST_TESTS, weakened)})
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.criteria[0].tests == ("accept (tests/accept.rs)::shouts",)
    assert [finding.code for finding in evidence.findings] == ["inline-tests-touched"]
    assert evidence.entered == ("src/lib.rs",)  # every test passes with the change's own tests, too


def test_cargo_with_a_regression_that_the_change_s_own_tests_hide(tmp_path: Path) -> None:
    broken = RUST.change["src/lib.rs"].replace('"Hello {name}"', '"Hullo {name}"')
    hidden = broken.replace('"Hello Ana"', '"Hullo Ana"')
    evidence = grade_in(RUST, tmp_path, {"src/lib.rs": hidden})
    assert evidence.verdict == "failed"
    assert [regression.test for regression in evidence.regressions] == ["app (src/lib.rs)::tests::greets"]


@pytest.mark.parametrize("language", [NODE, JAVA, GO, RUST], ids=lambda language: language.name)
def test_a_report_that_is_forged(tmp_path: Path, language: Language) -> None:
    evidence = grade_in(language, tmp_path, language.forged)
    assert evidence.verdict == "failed"
    assert ("report-forged", "cheating") in {(finding.code, finding.severity) for finding in evidence.findings}


@pytest.mark.parametrize("title", ["greets", "Ann greets"])
def test_an_amendment_takes_no_test_whose_title_ends_alike(tmp_path: Path, title: str) -> None:
    """Reports of node's runner name no file."""
    other = NODE.files["test/app.test.js"].replace("'greets'", f"'{title}'")
    project = replace(NODE, files={**NODE.files, "test/more.test.js": other})
    change = {"app.js": NODE.change["app.js"].replace("Hello", "Hullo")}
    accept = NODE.sealed.model_copy(update={"content": NODE.sealed.content.replace("HELLO", "HULLO")})
    amended = Amendment(test="test/app.test.js::greets", criterion="AC1", replacement="test/accept.test.js::shouts")
    evidence = grade_in(replace(project, sealed=accept), tmp_path, change, amended)
    assert [one.status for one in evidence.amended] == ["amended"], evidence.markdown()
    assert [one.test.partition("::")[2] for one in evidence.regressions] == [title]

"""Grading of Python projects that unittest tests, by a runner of their own, and of tests that are not named so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from tests.support.repositories import first_commit, write_files

from phasegate.infra.grading.amendments import Amendment
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace

RUNNER = """
import sys
import unittest
from xml.sax.saxutils import quoteattr


class Result(unittest.TestResult):
    outcomes = []

    def add(self, test, outcome):
        module, _, name = test.id().rpartition('.')
        if 'unittest.loader' in module:
            module, name = 'unittest.loader._FailedTest', test.id().rpartition('_FailedTest.')[2]
        self.outcomes.append(f'<testcase classname={quoteattr(module)} name={quoteattr(name)}>{outcome}</testcase>')

    def addSuccess(self, test):
        self.add(test, '')

    def addFailure(self, test, error):
        self.add(test, f'<failure message={quoteattr(str(error[1]))}/>')

    def addError(self, test, error):
        self.add(test, f'<error message={quoteattr(str(error[1]))}/>')


unittest.defaultTestLoader.discover(sys.argv[2]).run(Result())
with open(sys.argv[1], 'w') as report:
    report.write(f"<testsuite>{''.join(Result.outcomes)}</testsuite>")
"""
APP = "def greet(name):\n    return f'Hello {name}'\n"
SHOUT = APP + "\n\ndef shout(name):\n    return greet(name).upper()\n"
OLD = "import unittest\n\nimport app\n\n\nclass TestApp(unittest.TestCase):\n    def test_greet(self):\n"
OLD += "        self.assertEqual(app.greet('Ana'), 'Hello Ana')\n\n    def test_is_text(self):\n"
OLD += "        self.assertIsInstance(app.greet('Ana'), str)\n"
NEW = "import unittest\n\nfrom app import shout\n\n\nclass TestShout(unittest.TestCase):\n    def test_shout(self):\n"
NEW += "        self.assertEqual(shout('Ana'), 'HELLO ANA')\n"
FORGED = (
    APP
    + "\n\nimport unittest\n\nunittest.TestCase._callTestMethod = lambda self, method: None\n\n\ndef shout(name): ...\n"
)
OWN_RUNNER = {"app.py": APP, "runner.py": RUNNER, "tests/test_app.py": OLD}
OWN_COMMAND = "python3 runner.py {junit} tests"


class Criterion:
    id = "AC1"
    statement = "shout greets in capitals"


def grade_in(
    folder: Path, test: str, base: Mapping[str, str], change: Mapping[str, str], sealed: SealedTests
) -> Evidence:
    top, state = folder / "project", folder / "state"
    first_commit(top, base)
    repository = Repository.open(top)
    commit = repository.base().commit
    workspace = Workspace.create(repository, "r1", commit, state / "w1")
    write_files(workspace.folder, change)
    policy = Policy(
        project=ProjectPolicy(test=test, test_timeout=timedelta(minutes=2)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        grading=GradingPolicy(ablation_time=timedelta(0), coverage=False, flaky_reruns=1),
    )
    return asyncio.run(
        grade(
            repository=repository,
            change=workspace.collect(commit, (), "Change"),
            sealed=sealed,
            criteria=(Criterion(),),
            policy=policy,
            sandbox=open_sandbox(policy.sandbox, state),
            scratch=state / "grading" / "scratch",
            on_step=lambda step: None,
        )
    )


def sealed_at(path: str, *amends: Amendment) -> SealedTests:
    return SealedTests(files=(SealedFile(path=path, content=NEW, criteria=("AC1",)),), amends=amends)


def test_unittest_by_a_runner_that_starts_in_the_folder_of_the_tests(tmp_path: Path) -> None:
    evidence = grade_in(tmp_path, OWN_COMMAND, OWN_RUNNER, {"app.py": SHOUT}, sealed_at("tests/test_shout.py"))
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.criteria[0].tests == ("test_shout.TestShout::test_shout",)
    assert evidence.findings == ()


def test_unittest_that_calls_no_test(tmp_path: Path) -> None:
    evidence = grade_in(tmp_path, OWN_COMMAND, OWN_RUNNER, {"app.py": FORGED}, sealed_at("tests/test_shout.py"))
    assert evidence.verdict == "failed"
    assert ("report-forged", "cheating") in {(finding.code, finding.severity) for finding in evidence.findings}


def test_an_obsolete_test_that_several_classes_inherit_is_amended(tmp_path: Path) -> None:
    inherited = OLD.replace("TestApp(unittest.TestCase)", "Greets") + "\n\nclass TestApp(Greets, unittest.TestCase):\n"
    inherited += "    pass\n\n\nclass TestAgain(TestApp):\n    def test_more(self):\n        pass\n"
    amendment = Amendment(test="tests/test_app.py::Greets::test_greet", criterion="AC1")
    change = {"app.py": SHOUT.replace("Hello", "HELLO")}
    base = {**OWN_RUNNER, "tests/test_app.py": inherited}
    evidence = grade_in(tmp_path, OWN_COMMAND, base, change, sealed_at("tests/test_shout.py", amendment))
    assert [(test.test, test.status) for test in evidence.amended] == [(amendment.test, "amended")]
    assert evidence.amended[0].tests == ("test_app.TestApp::test_greet", "test_app.TestAgain::test_greet")
    assert evidence.verdict == "passed", evidence.markdown()


def test_a_test_that_is_not_named_like_one_is_the_base_commit_s(tmp_path: Path) -> None:
    change = {"app.py": SHOUT.replace("Hello", "HELLO"), "test.py": OLD.replace("'Hello Ana'", "'HELLO Ana'")}
    base = {"app.py": APP, "runner.py": RUNNER, "test.py": OLD}
    evidence = grade_in(tmp_path, "python3 runner.py {junit} .", base, change, sealed_at("test_shout.py"))
    assert [regression.test for regression in evidence.regressions] == ["test.TestApp::test_greet"]
    assert evidence.verdict == "failed"
    assert [(finding.code, finding.path) for finding in evidence.findings] == [("test-file-touched", "test.py")]

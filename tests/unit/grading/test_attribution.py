from __future__ import annotations

import pytest

from phasegate.infra.grading import SealedFile, SealedTests
from phasegate.infra.grading.attribution import attribute
from phasegate.infra.grading.junit import TestCase


@pytest.mark.parametrize(
    ("path", "content", "sealed", "project"),
    [
        ("src/test/app/AcceptTest.java", "@Test void total() {}", "app.AcceptTest::total()", "app.AppTest::total()"),
        ("test/accept.test.js", "test('adds', () => add(1))", "test::adds", "test::add"),
        ("accept_test.go", "func TestAdds(t *testing.T) {}", "shop::TestAdds", "shop::TestAdd"),
    ],
)
def test_a_test_of_the_project_that_is_called_almost_the_same(
    path: str, content: str, sealed: str, project: str
) -> None:
    cases = [TestCase(id, None, "passed") for id in (sealed, project)]  # noqa: A001 - a test's id
    tests = SealedTests(files=(SealedFile(path=path, content=content, criteria=("AC1",)),))
    told = attribute(cases, tests, ["src/test/app/AppTest.java", "test/app.test.js", "app_test.go"], ())
    assert [case.id for case in told.sealed[path]] == [sealed]
    assert [case.id for case in told.project] == [project]

from __future__ import annotations

import pytest

from phasegate.infra.grading import SealedFile, SealedTests
from phasegate.infra.grading.integrity.canaries import plant_canaries, plant_counter_tests
from phasegate.infra.grading.tree.patterns import is_test_file

NODE = "const { test } = require('node:test');\ntest('adds', () => {});\n"


def sealed(path: str, content: str = "def test_one():\n    assert f() == 1\n") -> SealedTests:
    return SealedTests(files=(SealedFile(path=path, content=content, criteria=("AC1",)),))


@pytest.mark.parametrize("path", ["tests/test_accept_shop.py", "tests.py", "test_shop.py", "shop_test.py"])
def test_a_canary_lies_beside_the_sealed_file_at_a_path_of_its_own_and_a_counter_test_in_its_place(path: str) -> None:
    taken: set[str] = set()
    for _ in range(400):
        tests = sealed(path)
        planted = plant_counter_tests(tests, plant_canaries(tests, taken))
        assert [file.path for file in planted.counters] == [path]
        made = {file.path for file in planted.canaries}
        assert len(made) == 1
        assert not made & {path, *taken}
        assert is_test_file(path) <= all(map(is_test_file, made))
        taken |= made


def test_a_canary_of_node_holds_the_sealed_tests_only_where_these_are() -> None:
    (beside,) = plant_canaries(sealed("test/a.test.js", NODE), ()).canaries
    (alone,) = plant_canaries(sealed("test/a.test.js", NODE), (), alone=True).canaries
    assert NODE in beside.content
    assert "test('adds', () =>" not in alone.content
    assert "require('node:test')" in alone.content

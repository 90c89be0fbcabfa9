from __future__ import annotations

import secrets

import pytest

from phasegate.infra.grading.integrity.canaries import plant_canaries, plant_counter_tests
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
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


def test_a_copy_of_a_sealed_test_is_never_named_like_a_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation seen: both drew the same word; a copy that a lenient object let pass was taken for the canary."""
    monkeypatch.setattr(secrets, "choice", lambda options: options[0])
    tests = SealedTests(
        files=(
            SealedFile(
                path="tests/test_shop.py",
                content="import shop\n\n\ndef test_ac1():\n    assert shop.price(7) == 12\n",
                criteria=("AC1",),
            ),
        )
    )
    planted = plant_counter_tests(tests, plant_canaries(tests, ()))
    names = [name for _, name in planted.must_fail]
    assert len(names) == len(set(names)) > 2
    assert not any(name.endswith(planted.suffix) for path, name in planted.must_fail if path != "tests/test_shop.py")


def test_a_canary_of_node_holds_the_sealed_tests_only_where_these_are() -> None:
    (beside,) = plant_canaries(sealed("test/a.test.js", NODE), ()).canaries
    (alone,) = plant_canaries(sealed("test/a.test.js", NODE), (), alone=True).canaries
    assert NODE in beside.content
    assert "test('adds', () =>" not in alone.content
    assert "require('node:test')" in alone.content


GO = 'package shop_test\n\nimport "testing"\n\nfunc TestShout(t *testing.T) {}\n'
RUST = "use shop::shout;\n\n#[test]\nfn shouts() {}\n"
JUNIT_4 = (
    "package shop;\n\nimport static org.junit.Assert.*;\nimport org.junit.Test;\n\n"
    "public class ShoutTest {\n    @Test\n    public void shouts() {}\n}\n"
)
KOTLIN = "package shop\n\nimport kotlin.test.Test\n\nclass ShoutTest {\n    @Test\n    fun shouts() {}\n}\n"


def test_a_canary_of_go_runs_behind_every_sealed_file_in_its_package() -> None:
    files = [
        SealedFile(path=path, content=GO, criteria=("AC1",)) for path in ("a_test.go", "shop_test.go", "b_test.go")
    ]
    for _ in range(50):
        (canary,) = plant_canaries(SealedTests(files=tuple(files)), ()).canaries
        assert canary.path > "shop_test.go"
        assert canary.path.endswith("_test.go")
        assert canary.content.startswith("package shop_test\n")


def test_a_canary_of_go_keeps_the_constraints_of_its_sealed_file() -> None:
    (canary,) = plant_canaries(sealed("a_test.go", f"//go:build linux\n\n{GO}"), ()).canaries
    assert canary.content.startswith("//go:build linux\n\npackage shop_test\n")


def test_a_canary_of_cargo_shares_its_process_with_the_sealed_tests_unless_these_are_absent() -> None:
    beside = plant_canaries(sealed("tests/accept.rs", RUST), ())
    (alone,) = plant_canaries(sealed("tests/accept.rs", RUST), (), alone=True).canaries
    assert beside.canaries[0].content.startswith(RUST)
    assert "shop" not in alone.content
    ((_, title),) = beside.must_fail
    assert f"fn {title}()" in beside.canaries[0].content.removeprefix(RUST)


def test_nothing_is_planted_where_rust_takes_no_file_for_tests() -> None:
    assert plant_canaries(sealed("src/accept.rs", RUST), ()).canaries == ()


@pytest.mark.parametrize(("path", "content"), [("t/ShoutTest.java", JUNIT_4), ("t/ShoutTest.kt", KOTLIN)])
def test_a_canary_of_the_jvm_is_a_class_of_its_file_s_name(path: str, content: str) -> None:
    (canary,) = plant_canaries(sealed(path, content), ()).canaries
    name, _, suffix = canary.path.rpartition("/")[2].partition(".")
    assert name.endswith("ShoutTest")
    assert f"class {name} {{" in canary.content
    assert suffix == path.rpartition(".")[2]
    assert canary.content.count("org.junit.jupiter") == 0

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.tree.inline_tests import is_test_module, with_tests_of

CODE = "fn f<'a>(x: &'a str) -> char {\n    '{'\n}\n"
TESTS = '#[cfg(test)]\nmod tests {\n    #[test]\n    fn old() {\n        let _ = ("}", r#"}"#, \'}\'); // }\n    }\n}\n'
OTHERS = TESTS.replace("old", "new")
MORE = TESTS.replace("mod tests", "mod more")


@dataclass(frozen=True)
class Case:
    name: str
    before: str
    after: str
    expected: str | None


CASES = [
    Case("changed", CODE + TESTS, f"// more\n{CODE}{OTHERS}fn g() {{}}\n", f"// more\n{CODE}{TESTS}fn g() {{}}\n"),
    Case("added", CODE, f"{CODE}{TESTS}fn g() {{}}\n", f"{CODE}\nfn g() {{}}\n"),
    Case("in a new file", "", CODE + TESTS, f"{CODE}\n"),
    Case("one of two changed", CODE + TESTS + MORE, CODE + OTHERS + MORE, CODE + TESTS + MORE),
    Case("unchanged", CODE + TESTS, CODE + "\n" + TESTS, None),
    Case("taken out, which the report shows", CODE + TESTS, CODE, None),
    Case("none", CODE, CODE + "fn g() {}\n", None),
    Case("never closed", CODE + TESTS, CODE + OTHERS.rstrip("}\n"), None),
    Case("two of one name", CODE + TESTS, CODE + OTHERS + OTHERS, None),
    Case("only for other attributes", "#[cfg(unix)]\nmod tests {\n}\n", "#[cfg(unix)]\nmod tests {\n    //\n}\n", None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_base_commit_s_tests_stand_in_the_change_s_code(case: Case) -> None:
    assert with_tests_of(case.before, case.after) == case.expected


@pytest.mark.parametrize(
    ("path", "parent", "expected"),
    [
        ("src/tests.rs", {"src/lib.rs": "#[cfg(test)]\nmod tests;\n"}, True),
        ("src/a/tests.rs", {"src/a.rs": "#[cfg(test)]\n#[rustfmt::skip]\nmod tests;\n"}, True),
        ("src/tests/mod.rs", {"src/main.rs": "#[cfg(test)]\npub(crate) mod tests;\n"}, True),
        ("src/tests.rs", {"src/lib.rs": "mod tests;\n"}, False),
        ("src/other.rs", {"src/lib.rs": "#[cfg(test)]\nmod tests;\n"}, False),
    ],
)
def test_a_file_that_is_compiled_for_tests_alone(path: str, parent: dict[str, str], *, expected: bool) -> None:
    assert is_test_module(path, lambda name: parent.get(name, "")) is expected

"""Tests that must fail, planted among the sealed ones: a report that calls one of them passed is not to be believed.

The code under test runs in the process that writes the report, so a report can be forged whatever its format is
(docs/decisions/0009). Two kinds are planted, under names that are new in every run. A *canary* fails by itself. A
*counter-test* is a sealed test whose expectations were made wrong: where the original honestly passes it must fail, so
it tells objects that agree with anything, too. Called by `grade`. It must not know how tests are run.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from phasegate.infra.grading.counter_tests import counter_tests
from phasegate.infra.grading.junit import TestCase
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests


@dataclass(frozen=True)
class Planted:
    """What is planted in one run."""

    canaries: tuple[SealedFile, ...] = ()
    counters: tuple[SealedFile, ...] = ()
    must_fail: frozenset[tuple[str, str]] = frozenset()
    """Counter-tests by the path of their file and their name."""

    @property
    def files(self) -> tuple[SealedFile, ...]:
        """All of them."""
        return (*self.canaries, *self.counters)


def plant_canaries(sealed: SealedTests) -> Planted:
    """One canary beside the first sealed file of each language that is known here."""
    chosen: dict[str, SealedFile] = {}
    for file in sealed.files:
        chosen.setdefault(language(file.path), file)
    return Planted(canaries=tuple(canary for file in chosen.values() for canary in _canary(file)))


def plant_counter_tests(sealed: SealedTests, planted: Planted) -> Planted:
    """Counter-tests of every sealed file that has a test for which one can be made, beside the canaries."""
    counters: list[SealedFile] = []
    names: set[tuple[str, str]] = set()
    for file in sealed.files:
        if language(file.path) != "python":
            continue
        content, own = counter_tests(file.content, _nonce())
        if own:
            counter = SealedFile(path=_beside(file.path, _nonce()), content=content, criteria=())
            counters.append(counter)
            names |= {(counter.path, name) for name in own}
    return Planted(planted.canaries, tuple(counters), frozenset(names))


def language(path: str) -> str:
    """The language of a test file that canaries are known for; empty: none is."""
    suffix = path.rpartition(".")[2]
    return {"py": "python", "java": "java"}.get(suffix) or ("node" if suffix in _NODE else "")


def own_cases(canary: SealedFile, cases: dict[str, tuple[TestCase, ...]]) -> list[TestCase]:
    """The outcomes of a canary, without those of sealed tests that its file holds besides."""
    nonce = _NONCE.search(canary.path)
    return [case for case in cases[canary.path] if nonce and nonce[0] in case.name.lower()]


def passing(files: Iterable[SealedFile], cases: dict[str, tuple[TestCase, ...]]) -> bool:
    """Whether any test of these files is reported as passed."""
    return any(case.status == "passed" for file in files for case in cases[file.path])


def agreeing(planted: Planted, cases: dict[str, tuple[TestCase, ...]]) -> list[tuple[str, str]]:
    """The counter-tests that are reported as passed, by file and name."""
    return sorted(
        {
            (file.path, name)
            for file in planted.counters
            for case in cases[file.path]
            if case.status == "passed" and (file.path, name := case.name.partition("[")[0]) in planted.must_fail
        }
    )


_NODE = ("js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx")


_NONCE = re.compile(r"k[0-9a-f]{12}")


def _nonce() -> str:
    return "k" + secrets.token_hex(6)


def _beside(path: str, nonce: str) -> str:
    """A path for a further test file that whatever collects this one collects, too."""
    folder, slash, name = path.rpartition("/")
    for start in ("test_", "test-", "Test"):
        if name.startswith(start):
            return f"{folder}{slash}{start}{nonce}_{name.removeprefix(start)}"
    return f"{folder}{slash}{nonce}_{name}"


def _canary(file: SealedFile) -> Sequence[SealedFile]:
    nonce = _nonce()
    path = _beside(file.path, nonce)
    text = ""
    match language(file.path):
        case "python":
            text = f"def test_{nonce}():\n    assert {nonce!r} == 'k'\n"
        case "node":
            text = _node_canary(file.content, nonce)
        case "java":
            name = path.rpartition("/")[2].removesuffix(".java")
            if "org.junit.jupiter" in file.content:
                package = re.search(r"(?m)^package [\w.]+;", file.content)
                text = (
                    f"{package[0] if package else ''}\n\nclass {name} {{\n"
                    f"    @org.junit.jupiter.api.Test\n    void {nonce}() {{\n"
                    f'        throw new AssertionError("{nonce}");\n    }}\n}}\n'
                )
        case _:
            pass
    return [SealedFile(path=path, content=text, criteria=())] if text else []


def _node_canary(beside: str, nonce: str) -> str:
    """The sealed file once more and a test that fails: runners of JavaScript give each file a process of its own."""
    body = f"test('{nonce}', () => {{\n  throw new Error('{nonce}');\n}});\n"
    body = body.replace("test(", f"{nonce}(", 1)
    for runner in ("node:test", "vitest", "@jest/globals"):
        if re.search(rf"require\(['\"]{runner}['\"]\)", beside):
            return f"{beside}\nconst {{ test: {nonce} }} = require('{runner}');\n\n{body}"
        if re.search(rf"from ['\"]{runner}['\"]", beside):
            return f"import {{ test as {nonce} }} from '{runner}';\n{beside}\n{body}"
    return f"{beside}\nconst {nonce} = test;\n\n{body}"

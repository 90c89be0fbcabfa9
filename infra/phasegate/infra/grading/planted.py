"""Tests that must fail, planted among the sealed ones: a report that calls one of them passed is not to be believed.

The code under test runs in the process that writes the report, so a report can be forged whatever its format is
(docs/decisions/0009). Two kinds are planted, under ordinary names that are new in every run. A *canary* fails by
itself. A *counter-test* is a sealed test whose expectations were made wrong: where the original honestly passes it must
fail, so it tells objects that agree with anything, too. Called by `grade`. It must not know how tests are run.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from phasegate.infra.grading.counter_tests import canary_test, counter_tests
from phasegate.infra.grading.junit import TestCase
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

_NODE = ("js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx")
_MARKS = ("", "test", "tests", "spec", "accept", "acceptance")
_WORDS: list[str] = re.findall(
    r"\w+",
    "again amounts bounds cases changed combined default details empty entries first given input items large last "
    "length limits lower many mixed names negative order pairs parts plain range repeated result rules several short "
    "simple single small steps total twice upper usual values whole zero",
)
"""What tests are called after: a planted one is not to be told by its name."""


@dataclass(frozen=True)
class Planted:
    """What is planted in one run."""

    canaries: tuple[SealedFile, ...] = ()
    counters: tuple[SealedFile, ...] = ()
    must_fail: frozenset[tuple[str, str]] = frozenset()
    """Canaries and counter-tests by the path of their file and their name."""

    @property
    def files(self) -> tuple[SealedFile, ...]:
        """All of them."""
        return (*self.canaries, *self.counters)


def plant_canaries(sealed: SealedTests, taken: Iterable[str], *, alone: bool = False) -> Planted:
    """One canary beside the first sealed file of each language that is known here.

    Args:
        sealed: The sealed tests.
        taken: Paths that are not to be used.
        alone: Whether nothing of the sealed files may be in it.
    """
    chosen: dict[str, SealedFile] = {}
    for file in sealed.files:
        chosen.setdefault(language(file.path), file)
    paths = {*taken, *(file.path for file in sealed.files)}
    made = [canary for file in chosen.values() if (canary := _canary(file, paths, alone=alone))]
    return Planted(
        canaries=tuple(canary for canary, _ in made), must_fail=frozenset((c.path, name) for c, name in made)
    )


def plant_counter_tests(sealed: SealedTests, planted: Planted) -> Planted:
    """Counter-tests in the place of every sealed file that has a test for which one can be made, beside the canaries.

    In its place, so that code which looks its answers up in the tests finds wrong ones only.
    """
    counters: list[SealedFile] = []
    names = set(planted.must_fail)
    for file in sealed.files:
        if language(file.path) != "python":
            continue
        content, own = counter_tests(file.content)
        if own:
            counters.append(SealedFile(path=file.path, content=content, criteria=()))
            names |= {(file.path, name) for name in own}
    return Planted(planted.canaries, tuple(counters), frozenset(names))


def language(path: str) -> str:
    """The language of a test file that canaries are known for; empty: none is."""
    suffix = path.rpartition(".")[2]
    return {"py": "python", "java": "java"}.get(suffix) or ("node" if suffix in _NODE else "")


def own_cases(planted: Planted, canary: SealedFile, cases: dict[str, tuple[TestCase, ...]]) -> list[TestCase]:
    """The outcomes of a canary, without those of sealed tests that its file holds besides."""
    return [case for case in cases[canary.path] if (canary.path, _bare(case.name)) in planted.must_fail]


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
            if case.status == "passed" and (file.path, name := _bare(case.name)) in planted.must_fail
        }
    )


def _bare(name: str) -> str:
    """A test's name without the parameters that pytest and JUnit add to it."""
    return re.split(r"[\[(]", name)[0]


def _beside(path: str, taken: Collection[str]) -> str:
    """A path for a further test file that whatever collects this one collects, too."""
    folder, slash, name = path.rpartition("/")
    while True:
        if (found := f"{folder}{slash}{_renamed(name)}") not in taken:
            return found


def _renamed(name: str) -> str:
    stem, dot, suffix = name.partition(".")
    one, two = secrets.choice(_WORDS), secrets.choice(_WORDS)
    if suffix == "java":
        return f"{one.capitalize()}{two.capitalize()}{stem}{dot}{suffix}"
    parts = re.split(r"([-_.])", stem)
    joint = parts[1] if len(parts) > 1 else "_"
    at = max((number for number, part in enumerate(parts) if part.lower() not in (*_MARKS, *"-_.")), default=-1)
    if at == -1 or stem.startswith("Test"):
        return f"{stem}{joint}{one}{joint}{two}{dot}{suffix}"
    return f"{''.join(parts[:at])}{one}{joint}{two}{''.join(parts[at + 1 :])}{dot}{suffix}"


def _canary(file: SealedFile, taken: Collection[str], *, alone: bool) -> tuple[SealedFile, str] | None:
    """A canary and the name of its test."""
    path = _beside(file.path, taken)
    word = secrets.choice([word for word in _WORDS if word not in file.content] or [f"w{secrets.token_hex(4)}"])
    match language(file.path):
        case "python":
            text, name = canary_test(file.content, word)
        case "node":
            text, name = _node_canary(file.content, word, alone=alone)
        case "java" if "org.junit.jupiter" in file.content:
            text, name = _java_canary(file.content, path.rpartition("/")[2].removesuffix(".java"), word)
        case _:
            return None
    return SealedFile(path=path, content=text, criteria=()), name


def _node_canary(beside: str, word: str, *, alone: bool) -> tuple[str, str]:
    """The sealed file once more and a test that fails: runners of JavaScript give each file a process of its own."""
    titles: list[str] = re.findall(r"\b(?:test|it)\(\s*['\"`]([\w ,:-]+)['\"`]", beside)
    title, alias = f"{secrets.choice(titles or ['works'])}, {word}", f"{word}Test"
    body = f"{alias}('{title}', () => {{\n  throw new Error('{secrets.randbelow(90)} is not {word}');\n}});\n"
    text = "" if alone else beside
    for runner in ("node:test", "vitest", "@jest/globals"):
        if re.search(rf"require\(['\"]{runner}['\"]\)", beside):
            return f"{text}\nconst {{ test: {alias} }} = require('{runner}');\n\n{body}", title
        if re.search(rf"from ['\"]{runner}['\"]", beside):
            return f"import {{ test as {alias} }} from '{runner}';\n{text}\n{body}", title
    return f"{text}\nconst {alias} = test;\n\n{body}", title


def _java_canary(beside: str, name: str, word: str) -> tuple[str, str]:
    package = re.search(r"(?m)^package [\w.]+;", beside)
    titles: list[str] = re.findall(r"\bvoid (\w+)\(", beside)
    title = f"{secrets.choice(titles or ['works'])}{word.capitalize()}"
    text = (
        f"{package[0] if package else ''}\n\nimport org.junit.jupiter.api.Assertions;\n"
        f"import org.junit.jupiter.api.Test;\n\nclass {name} {{\n    @Test\n    void {title}() {{\n"
        f'        Assertions.assertEquals("{word}", "{word}s");\n    }}\n}}\n'
    )
    return text, title

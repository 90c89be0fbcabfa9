"""Files that lead to others, and runners that keep test files apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest

from phasegate.infra.grading.runner.isolation import isolates_files
from phasegate.infra.grading.runner.reach import reaching


@dataclass(frozen=True)
class Reach:
    name: str
    content: Mapping[str, str]
    wanted: str
    found: tuple[str, ...]


REACHES = [
    Reach(
        "through another module",
        {
            "app/core.py": "",
            "app/api.py": "from app.core import one\n",
            "tests/test_api.py": "from app import api\n",
            "tests/test_more.py": "from app import more\n",
            "app/more.py": "",
        },
        "app/core.py",
        ("app/api.py", "tests/test_api.py"),
    ),
    Reach(
        "a path in quotes",
        {"src/part.ts": "", "test/part.test.ts": "import { a } from '../src/part';\n", "test/b.test.ts": "b();\n"},
        "src/part.ts",
        ("test/part.test.ts",),
    ),
    Reach(
        "files of one Go package, and packages that import it",
        {
            "one/a.go": "package one\n",
            "one/b.go": "package one\n",
            "one/b_test.go": "package one\n",
            "two/c_test.go": 'package two\n\nimport "example.org/x/one"\n',
            "three/d_test.go": "package three\n",
        },
        "one/a.go",
        ("one/b.go", "one/b_test.go", "two/c_test.go"),
    ),
    Reach("a circle", {"a.py": "import b\n", "b.py": "import a\n", "c.py": ""}, "a.py", ("b.py",)),
    Reach("data by its name", {"data/x.json": "{}", "a.py": "open('data/x.json')\n"}, "data/x.json", ("a.py",)),
]


@pytest.mark.parametrize("case", REACHES, ids=lambda case: case.name)
def test_files_that_lead_to_one(case: Reach) -> None:
    assert reaching(case.content, {case.wanted}) == {case.wanted, *case.found}


@dataclass(frozen=True)
class Runner:
    command: str
    isolates: bool
    files: Mapping[str, str] = field(default_factory=dict[str, str])


_PACKAGE = {"scripts": {"test": "vitest run"}}
RUNNERS = [
    Runner("npx vitest run --reporter=junit --outputFile={junit}", isolates=True),
    Runner("npx vitest run --no-isolate", isolates=False),
    Runner("npx vitest run --pool=forks", isolates=True),
    Runner("npx vitest run", isolates=False, files={"vitest.config.ts": "export default { test: { isolate: false } }"}),
    Runner("npx vitest run", isolates=False, files={"vite.config.ts": "poolOptions: { threads: { singleThread: 1 } }"}),
    Runner("npm test", isolates=True, files={"package.json": json.dumps(_PACKAGE)}),
    Runner("npm test", isolates=False, files={"package.json": '{"scripts": {"test": "mocha && vitest run"}}'}),
    Runner("npx jest", isolates=True, files={"package.json": '{"browser": "x.js"}'}),
    Runner("npx jest", isolates=False, files={"package.json": '{"jest": {"runner": "jest-light-runner"}}'}),
    Runner("node --test", isolates=True),
    Runner("node --import tsx --test --test-isolation=none", isolates=False),
    Runner("npx mocha", isolates=False),
    Runner("pytest --junitxml={junit}", isolates=False),
    Runner("make test", isolates=False),
]


@pytest.mark.parametrize("case", RUNNERS, ids=lambda case: case.command)
def test_runners_that_keep_test_files_apart(case: Runner) -> None:
    files = {path: partial(str.encode, text) for path, text in case.files.items()}
    assert isolates_files(case.command, files) == case.isolates

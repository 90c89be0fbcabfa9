"""Projects of a few hundred tests each, made up for the benchmark of grading: Python, TypeScript and Go.

Called by `benchmarks.grading`. Those in Python and TypeScript install real packages, so they need an index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.grading.sealed_tests import SealedFile

_MODULES = 30
_TESTS = 10
"""Of each module."""


@dataclass(frozen=True)
class Sample:
    """A project, and a change of it."""

    name: str
    needs: str
    """Program that it needs."""
    setup: str
    test: str
    files: Mapping[str, str]
    change: Mapping[str, str]
    sealed: SealedFile

    @property
    def is_here(self) -> bool:
        """True if the program is on this machine."""
        return shutil.which(self.needs) is not None

    def write(self, top: Path) -> None:
        """Make a repository of it."""
        for name, content in self.files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(content)
        if "package.json" in self.files:  # its lock file is a part of it
            words = ("npm", "install", "--package-lock-only", "--no-audit", "--no-fund")
            subprocess.run(words, cwd=top, check=True, capture_output=True)
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "First")):
            subprocess.run(("git", "-C", str(top), *words), check=True)


def handed_to_setup() -> tuple[str, ...]:
    """Variables that name a package index on this machine."""
    return tuple(name for name in os.environ if name.startswith(("PIP_", "npm_config_", "NPM_CONFIG_", "GO")))


def index_hosts() -> tuple[str, ...]:
    """Package indexes with private addresses, each as `HOST:PORT` in SETUP_HOSTS."""
    return tuple(os.environ.get("SETUP_HOSTS", "").split())


def samples() -> list[Sample]:
    """All of them."""
    return [_python(), _typescript(), _go()]


def _python() -> Sample:
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
        '[project]\nname = "sample"\nversion = "1.0"\ndependencies = ["attrs", "pytest"]\n\n'
        '[tool.setuptools]\npackages = ["sample"]\n',
        "sample/__init__.py": "",
        ".gitignore": ".venv/\n*.egg-info/\n__pycache__/\n",
    }
    for number in range(_MODULES):
        files[f"sample/part{number}.py"] = f"def add(n):\n    return n + {number}\n"
        tests = "".join(f"\n\ndef test_{n}():\n    assert add({n}) == {n + number}\n" for n in range(_TESTS))
        files[f"tests/test_part{number}.py"] = f"from sample.part{number} import add\n{tests}"
    text = "from sample.part0 import double\n\n\ndef test_double():\n    assert double(4) == 8\n"
    return Sample(
        name="Python",
        needs="python3",
        setup="python3 -m venv .venv && .venv/bin/pip install -q -e .",
        test=".venv/bin/pytest -q --junitxml={junit}",
        files=files,
        change={
            "sample/part0.py": files["sample/part0.py"] + "\n\ndef double(n):\n    return 2 * n\n",
            "tests/test_double.py": "from sample.part0 import double\n\n\ndef test_two():\n    assert double(1) == 2\n",
        },
        sealed=SealedFile(path="tests/test_accept_double.py", content=text, criteria=("AC1",)),
    )


def _typescript() -> Sample:
    files = {
        "package.json": '{\n  "name": "sample",\n  "version": "1.0.0",\n  "type": "module",\n'
        '  "devDependencies": {"vitest": "^3.0.0", "typescript": "^5.0.0"}\n}\n',
        ".gitignore": "node_modules/\n",
    }
    for number in range(_MODULES):
        files[f"src/part{number}.ts"] = f"export function add(n: number): number {{\n  return n + {number};\n}}\n"
        tests = "".join(
            f"test('adds {n}', () => {{\n  expect(add({n})).toBe({n + number});\n}});\n" for n in range(_TESTS)
        )
        head = f"import {{ expect, test }} from 'vitest';\nimport {{ add }} from '../src/part{number}';\n\n"
        files[f"test/part{number}.test.ts"] = head + tests
    double = "import { expect, test } from 'vitest';\nimport { double } from '../src/part0';\n\n"
    return Sample(
        name="TypeScript",
        needs="npm",
        setup="npm ci --no-audit --no-fund",
        test="npx vitest run --reporter=junit --outputFile={junit}",
        files=files,
        change={
            "src/part0.ts": files["src/part0.ts"]
            + "\nexport function double(n: number): number {\n  return 2 * n;\n}\n",
            "test/double.test.ts": f"{double}test('doubles one', () => {{\n  expect(double(1)).toBe(2);\n}});\n",
        },
        sealed=SealedFile(
            path="test/accept.test.ts",
            content=f"{double}test('doubles', () => {{\n  expect(double(4)).toBe(8);\n}});\n",
            criteria=("AC1",),
        ),
    )


def _go() -> Sample:
    files = {
        "go.mod": "module example.org/sample\n\ngo 1.19\n\nrequire example.org/check v0.0.0\n\n"
        "replace example.org/check => ./third_party/check\n",
        "third_party/check/go.mod": "module example.org/check\n\ngo 1.19\n",
        "third_party/check/diff.go": "package check\n\nfunc Same(one, other int) bool {\n\treturn one == other\n}\n",
        ".gitignore": "vendor/\n",
    }
    for number in range(_MODULES):
        folder = f"part{number}"
        files[f"{folder}/add.go"] = f"package {folder}\n\nfunc Add(n int) int {{\n\treturn n + {number}\n}}\n"
        tests = "".join(
            f"\nfunc TestAdd{n}(t *testing.T) {{\n\tif !check.Same({n + number}, Add({n})) {{\n"
            f"\t\tt.Fatal({n})\n\t}}\n}}\n"
            for n in range(_TESTS)
        )
        imports = 'import (\n\t"testing"\n\n\t"example.org/check"\n)\n'
        files[f"{folder}/add_test.go"] = f"package {folder}\n\n{imports}{tests}"
    test = 'package part0\n\nimport "testing"\n\nfunc Test{name}(t *testing.T) {{\n\tif Double({n}) != {twice} {{\n'
    test += "\t\tt.Fatal({n})\n\t}}\n}}\n"
    return Sample(
        name="Go",
        needs="go",
        setup="go mod vendor",
        test="go test -json ./... > {junit}",
        files=files,
        change={
            "part0/add.go": files["part0/add.go"] + "\nfunc Double(n int) int {\n\treturn 2 * n\n}\n",
            "part0/double_test.go": test.format(name="One", n=1, twice=2),
        },
        sealed=SealedFile(
            path="part0/accept_test.go", content=test.format(name="Double", n=4, twice=8), criteria=("AC1",)
        ),
    )

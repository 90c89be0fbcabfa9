"""Policies that `phasegate init` writes for repositories of many kinds; each must load."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from phasegate.infra.policy.detect.detect import detect
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.model import STAGES, Policy

DEFAULT_TEST = Policy.model_validate({"deploy": {"start": "x"}}).project.test
ARGPARSE = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--port', type=int)\n"
ENVIRON = 'import os\nport = int(os.environ.get("PORT", "8000"))\n'
VENV = "python3 -m venv .venv && echo '*' > .venv/.gitignore && .venv/bin/python -m pip install -q"
VENV_TEST = ".venv/bin/python -m pytest -q --junitxml={junit}"


GO_TEST = "go test -json ./... > {junit} 2>&1"
GO_CACHE = 'env GOFLAGS=-modcacherw GOMODCACHE="$PWD/.gomodcache"'
GRADLE = 'env GRADLE_USER_HOME="$PWD/.gradle-home" gradle --no-daemon -q'
CRATE = '[package]\nname = "shop"\n'
CARGO_TEST = "test --offline --no-fail-fast > {junit} 2>&1"
CARGO_HOME = 'env CARGO_HOME="$PWD/.cargo-home"'


@dataclass(frozen=True)
class Case:
    """A repository, and what its policy should say; an empty start means that runs end after testing."""

    name: str
    files: dict[str, str]
    test: str = DEFAULT_TEST
    setup: str = ""
    start: str = ""
    health: str = "/"
    notes: tuple[str, ...] = field(default=())


def package(**parts: object) -> str:
    return json.dumps(parts)


NPM = "npm install --no-package-lock"
NPM_TOOL = "npm install --no-save"
JEST = "JEST_JUNIT_OUTPUT_FILE={junit} JEST_JUNIT_ADD_FILE_ATTRIBUTE=true"
MOCHA = "--reporter=xunit --reporter-option=output={junit}"
CASES = [
    Case(
        "a mocha script with arguments, after a linter",
        {
            "package.json": package(
                scripts={"test": "npm run lint && NODE_ENV=test mocha --require test/env test/ test/acceptance/"},
                devDependencies={"mocha": "1"},
            ),
            "yarn.lock": "__metadata:\n",
        },
        test=f"env NODE_ENV=test npx mocha {MOCHA} --require test/env test/ test/acceptance/",
        setup="yarn install --immutable",
        notes=("npm run lint", "No way to start"),
    ),
    Case(
        "a nested script below a coverage tool",
        {
            "package.json": package(
                scripts={"test": "npm run unit", "unit": "c8 mocha -R spec 'test/**/*.js'"},
                devDependencies={"mocha": "1"},
            ),
            "pnpm-lock.yaml": "",
        },
        test=f"npx mocha {MOCHA} 'test/**/*.js'",
        setup="pnpm install --frozen-lockfile",
        notes=("No way to start",),
    ),
    Case(
        "jest without its reporter",
        {"package.json": package(scripts={"test": "jest"}, devDependencies={"jest": "1"})},
        test=f"env {JEST} npx jest --reporters=jest-junit",
        setup=f"{NPM} && {NPM_TOOL} jest-junit",
        notes=("No way to start",),
    ),
    Case(
        "a dependency group for tests",
        {"pyproject.toml": "[project]\nname='shop'\n[dependency-groups]\ntest=['x']\n", ".gitignore": "venv"},
        test=VENV_TEST,
        setup="python3 -m venv .venv && .venv/bin/python -m pip install -q 'pip>=25.1'"
        " && .venv/bin/python -m pip install -q --group test pytest",
        notes=("No way to start",),
    ),
    Case(
        "setup.py with requirements, and a file of them for tests",
        {"setup.py": "setup(install_requires=['x'])", "requirements-test.txt": "y\n"},
        test=VENV_TEST,
        setup=f"{VENV} -e . -r requirements-test.txt pytest",
        notes=("No way to start",),
    ),
    Case(
        "Poetry",
        {"pyproject.toml": "[tool.poetry.group.test.dependencies]\nx='*'\n", "poetry.lock": ""},
        test=VENV_TEST,
        setup="env POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction --with test",
        notes=("No way to start",),
    ),
    Case(
        "Pipenv",
        {"Pipfile": "", "Pipfile.lock": "{}"},
        test=VENV_TEST,
        setup="env PIPENV_VENV_IN_PROJECT=1 pipenv sync --dev",
        notes=("No way to start",),
    ),
    Case(
        "a manifest nested without end",
        {"pyproject.toml": "x = " + "[" * 3000, "package.json": "{}"},
        notes=("pyproject.toml does not parse", "No way to start"),
    ),
    Case(
        "CMake with CTest",
        {"CMakeLists.txt": "enable_testing()\n"},
        test="cmake -S . -B build && cmake --build build --parallel 2"
        " && ctest --test-dir build --output-on-failure --output-junit {junit}",
        notes=("No way to start",),
    ),
    Case("CMake without tests", {"CMakeLists.txt": "project(x)\n"}, notes=("enable_testing", "No way to start")),
    Case("an empty folder", {}, notes=("No test command", "No way to start")),
    Case("prose only", {"README.md": "# Hi\n"}, notes=("No test command", "No way to start")),
    Case(
        "a flat service with --port",
        {"app.py": ARGPARSE + "# GET /healthz\n", "tests/test_app.py": "import app"},
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        start="python3 app.py --port {port}",
        health="/healthz",
    ),
    Case(
        "a flat service with PORT, a conftest at the root",
        {"server.py": ENVIRON, "conftest.py": "", "tests/test_server.py": ""},
        start="python3 server.py",
        notes=("No health path",),
    ),
    Case(
        "a package that runs, options in another module",
        {
            "pyproject.toml": '[project]\nname = "shop"\n',
            "shop/__main__.py": "from shop.cli import main\nmain()\n",
            "shop/cli.py": ARGPARSE + 'HEALTH = "/health"\n',
        },
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        start="python3 -m shop --port {port}",
        health="/health",
    ),
    Case(
        "a package below src",
        {"pyproject.toml": "[project]\nname='shop'\n", "src/shop/__main__.py": ENVIRON + "'/healthz'"},
        test="pytest -q -o pythonpath=src --junitxml={junit}",
        start="env PYTHONPATH=src python3 -m shop",
        health="/healthz",
    ),
    Case(
        "a library that configures pytest itself",
        {"pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['lib']\n", "lib/shop/__init__.py": ""},
        notes=("No way to start",),
    ),
    Case(
        "uv with an extra for tests",
        {
            "pyproject.toml": "[project]\nname='shop'\ndependencies=['flask']\n"
            "[project.optional-dependencies]\ntest=['pytest']\n",
            "uv.lock": "version = 1\n",
            "main.py": ARGPARSE,
        },
        test="uv run --no-sync python -m pytest -q --junitxml={junit}",
        setup="uv sync --extra test",
        start="uv run --no-sync python main.py --port {port}",
        notes=("No health path",),
    ),
    Case(
        "requirements and FastAPI",
        {
            "requirements.txt": "# web\nfastapi\nuvicorn\n",
            "main.py": "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/healthz')\ndef up(): ...\n",
        },
        test=VENV_TEST,
        setup=f"{VENV} -r requirements.txt pytest",
        start=".venv/bin/python -m uvicorn main:app --port {port}",
        health="/healthz",
    ),
    Case(
        "dependencies with extras, .venv ignored, Flask below src",
        {
            ".gitignore": ".venv/\n",
            "pyproject.toml": "[project]\nname='shop'\ndependencies=['flask']\n"
            "[project.optional-dependencies]\ndev=['pytest']\ndocs=['x']\n",
            "src/shop/web.py": "import flask\nweb: flask.Flask = flask.Flask(__name__)\n",
        },
        test=".venv/bin/python -m pytest -q -o pythonpath=src --junitxml={junit}",
        setup="python3 -m venv .venv && .venv/bin/python -m pip install -q -e '.[dev]' pytest",
        start="env PYTHONPATH=src .venv/bin/python -m flask --app shop.web:web run --port {port}",
        notes=("No health path",),
    ),
    Case(
        "requirements with nothing in them",
        {"requirements.txt": "\n# nothing yet\n", "app.py": ARGPARSE},
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        start="python3 app.py --port {port}",
        notes=("No health path",),
    ),
    Case(
        "a Procfile outranks what the source says",
        {
            "Procfile": "worker: x\nweb: gunicorn app:app -b 0.0.0.0:${PORT:-8000} \n",
            "app.py": ARGPARSE,
            "setup.py": "",
        },
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        start="gunicorn app:app -b 0.0.0.0:{port}",
        notes=("No health path",),
    ),
    Case(
        "a Procfile in an environment of its own",
        {"Procfile": 'web: gunicorn "app:app" --port $PORT', "requirements.txt": "gunicorn\n", ".gitignore": "venv"},
        test=VENV_TEST,
        setup="python3 -m venv .venv && .venv/bin/python -m pip install -q -r requirements.txt pytest",
        start='env PATH="$PWD/.venv/bin:$PATH" gunicorn "app:app" --port {port}',
        notes=("No health path",),
    ),
    Case(
        "a port that only tests and examples mention",
        {"lib.py": "x = 1\n", "tests/app.py": ARGPARSE, "examples/main.py": ARGPARSE, "test_app.py": ARGPARSE},
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        notes=("No way to start",),
    ),
    Case(
        "node's own test runner",
        {
            "package.json": package(scripts={"test": "node --test test/", "start": "node server.js"}),
            "server.js": "http.listen(process.env.PORT); // /healthz",
        },
        test="node --test --test-reporter=junit --test-reporter-destination={junit} test/",
        start="npm start",
        health="/healthz",
    ),
    Case(
        "node with vitest and a lock",
        {
            "package.json": package(scripts={"test": "vitest"}, devDependencies={"vitest": "1"}),
            "package-lock.json": "{}",
        },
        test="npx vitest run --reporter=junit --outputFile={junit}",
        setup="npm ci",
        notes=("No way to start",),
    ),
    Case(
        "node that reads --port, dependencies without a lock",
        {
            "package.json": package(scripts={"start": "node ."}, dependencies={"x": "1"}),
            "index.js": "const at = argv.indexOf('--port')",
        },
        setup=NPM,
        start="npm start -- --port {port}",
        notes=("The test script", "No health path"),
    ),
    Case(
        "node whose start script says nothing of a port",
        {"package.json": package(scripts={"start": "node tool.js", "test": 'echo "Error: no test specified"'})},
        notes=("The test script", "No way to start"),
    ),
    Case(
        "go with a flag",
        {
            "go.mod": "module shop\n",
            "cmd/shop/main.go": 'package main\nvar port = flag.Int("port", 8080, "")\n// "/healthz"\n',
        },
        test=GO_TEST,
        start="go run ./cmd/shop -port {port}",
        health="/healthz",
    ),
    Case(
        "go with PORT",
        {"go.mod": "module shop\n", "main.go": 'package main\nvar port = os.Getenv("PORT")\n'},
        test=GO_TEST,
        start="go run .",
        notes=("No health path",),
    ),
    Case(
        "go with downloads, and a module of its own below",
        {
            "go.mod": "module shop\n",
            "go.sum": "example.com/x v1.0.0 h1:…\n",
            "main.go": "package main\n",
            "tools/go.mod": "module tools\n",
        },
        test=f"{GO_CACHE} {GO_TEST}",
        setup=f"mkdir -p .gomodcache && echo '*' > .gomodcache/.gitignore && {GO_CACHE} go mod download",
        notes=("leaves out the modules in tools", "No way to start"),
    ),
    Case(
        "go, vendored",
        {"go.mod": "module shop\n", "go.sum": "example.com/x v1.0.0 h1:…\n", "vendor/modules.txt": "# example.com/x\n"},
        test=GO_TEST,
        notes=("No way to start",),
    ),
    Case(
        "a workspace of go modules",
        {"go.work": "use (\n./a\n./b\n)\n", "a/go.mod": "module a\n", "b/go.mod": "module b\n"},
        test="go test -json $(go list -m -f '{{.Dir}}/...') > {junit} 2>&1",
        notes=("No way to start",),
    ),
    Case(
        "a crate without dependencies, beside a fuzzer of its own",
        {"Cargo.toml": CRATE, "fuzz/Cargo.toml": f'{CRATE}[dependencies]\nlibfuzzer-sys = "0.4"\n'},
        test=f"cargo {CARGO_TEST}",
        notes=("No way to start",),
    ),
    Case(
        "a crate with dependencies",
        {"Cargo.toml": f'{CRATE}[dev-dependencies]\nproptest = "1"\n', "Cargo.lock": ""},
        test=f"{CARGO_HOME} cargo {CARGO_TEST}",
        setup=f"mkdir -p .cargo-home && echo '*' > .cargo-home/.gitignore && {CARGO_HOME} cargo fetch --locked",
        notes=("No way to start",),
    ),
    Case(
        "a workspace of crates, one of them with a dependency of one platform",
        {
            "Cargo.toml": '[workspace]\nmembers = ["a", "b"]\n',
            "a/Cargo.toml": CRATE,
            "b/Cargo.toml": f"{CRATE}[target.'cfg(unix)'.dependencies]\nlibc = '0.2'\na = {{ path = '../a' }}\n",
        },
        test=f"{CARGO_HOME} cargo test --offline --no-fail-fast --workspace > {{junit}} 2>&1",
        setup=f"mkdir -p .cargo-home && echo '*' > .cargo-home/.gitignore && {CARGO_HOME} cargo fetch",
        notes=("No way to start",),
    ),
    Case(
        "crates that the repository holds itself",
        {
            "Cargo.toml": f'{CRATE}[dependencies]\nlibc = "0.2"\n',
            ".cargo/config.toml": '[source.crates-io]\nreplace-with = "own"\n[source.own]\ndirectory = "vendor"\n',
        },
        test=f"cargo {CARGO_TEST}",
        notes=("No way to start",),
    ),
    Case(
        "a crate with a profile of nextest that writes a report",
        {"Cargo.toml": CRATE, ".config/nextest.toml": '[profile.ci.junit]\npath = "junit.xml"\n'},
        test=(
            "cargo nextest run --offline --profile ci --no-fail-fast; code=$?; "
            "cp target/nextest/ci/junit.xml {junit}; exit $code"
        ),
        notes=("cargo-nextest", "No way to start"),
    ),
    Case(
        "maven with its wrapper",
        {"pom.xml": "<project/>", "mvnw": "#!/bin/sh\n", "build.gradle": ""},
        test=(
            "find . -path '*/surefire-reports/*' -name 'TEST-*.xml' -delete; "
            "./mvnw -B -q -Dmaven.repo.local=.m2/repository -o -fae test; code=$?; mkdir -p {junit}; "
            "find . -path '*/surefire-reports/*' -name 'TEST-*.xml' -exec cp --parents -t {junit} '{}' +; exit $code"
        ),
        setup=(
            "mkdir -p .m2 && echo '*' > .m2/.gitignore && ./mvnw -B -q -Dmaven.repo.local=.m2/repository test "
            "'-Dtest=*#noSuchTest' -DfailIfNoTests=false -Dsurefire.failIfNoSpecifiedTests=false"
        ),
        notes=("No way to start",),
    ),
    Case(
        "gradle",
        {"settings.gradle.kts": ""},
        test=(
            f"find . -path '*/test-results/*' -name 'TEST-*.xml' -delete; {GRADLE} --offline --continue test; code=$?; "
            "mkdir -p {junit}; "
            "find . -path '*/test-results/*' -name 'TEST-*.xml' -exec cp --parents -t {junit} '{}' +; exit $code"
        ),
        setup=(
            f"mkdir -p .gradle-home && echo '*' > .gradle-home/.gitignore && {GRADLE} testClasses && "
            f"({GRADLE} --continue test --tests NoSuchTest || true)"
        ),
        notes=("No way to start",),
    ),
    Case(
        "manifests that do not parse",
        {"pyproject.toml": "[[[", "package.json": "[]", "app.py": "\xff\x00"},
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        notes=(
            "pyproject.toml does not parse",
            "No way to start",
        ),
    ),
    Case(
        "quotes and backslashes survive",
        {"Procfile": "web: sh -c 'echo \"\\$x\" \x7f; exec app $PORT'"},
        start="sh -c 'echo \"\\$x\" \x7f; exec app {port}'",
        notes=("No test command", "No health path"),
    ),
    Case(
        "a health path in pieces",
        {"app.py": ARGPARSE + 'match path.split("/"):\n    case ["healthz"]: ...\n'},
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        start="python3 app.py --port {port}",
        health="/healthz",
    ),
    Case(
        "a longer path is no health path",
        {"app.py": ARGPARSE + "'/healthcheck-old' '/health-2' '/api/healthz' '/healthz/deep' 'health'"},
        test="pytest -q -o pythonpath=. --junitxml={junit}",
        start="python3 app.py --port {port}",
        notes=("No health path",),
    ),
    Case(
        "what is generated or hidden is not looked at",
        {"node_modules/x/app.py": ARGPARSE, ".tool/main.py": ARGPARSE, "venv/lib/server.py": ARGPARSE},
        notes=("No test command", "No way to start"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_found(case: Case, tmp_path: Path):
    for name, text in case.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    detected = detect(tmp_path)
    policy = load_policy(detected.toml.encode(), source="phasegate.toml")

    assert (policy.project.test, policy.project.setup) == (case.test, case.setup)
    assert (policy.deploy.start, policy.deploy.health) == (case.start, case.health)
    assert policy.sandbox.setup_network is bool(case.setup)
    assert policy.lifecycle.stages == (STAGES if case.start else STAGES[:3])
    assert policy.metrics[0].path == case.health
    assert len(detected.notes) == len(case.notes)
    for found, wanted in zip(detected.notes, case.notes, strict=True):
        assert wanted in found


def test_every_key_has_its_comment_and_no_branch_is_named(tmp_path: Path):
    (tmp_path / "requirements.txt").write_text("flask\n")
    (tmp_path / "app.py").write_text(ARGPARSE + "'/healthz'")
    lines = detect(tmp_path).toml.splitlines()
    assert lines[0].startswith("# Found by `phasegate init`.")
    for key in ("setup", "test", "setup_network", "start", "health", "name"):
        at = next(index for index, line in enumerate(lines) if line.startswith(f"{key} = "))
        assert lines[at - 1].startswith("# ")
    assert not any("base_branch" in line for line in lines)


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path):
    (tmp_path / "app.py").symlink_to(tmp_path / "gone.py")
    assert load_policy(detect(tmp_path).toml.encode(), source="phasegate.toml").deploy.start == ""

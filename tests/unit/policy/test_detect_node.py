"""Test commands of Node projects as `phasegate init` finds them in scripts of many shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.repositories import write_files

from phasegate.infra.policy.detect.detect import detect
from phasegate.infra.policy.load import load_policy

MOCHA = "npx mocha --reporter=xunit --reporter-option=output={junit}"
JEST = "env JEST_JUNIT_OUTPUT_FILE={junit} JEST_JUNIT_ADD_FILE_ATTRIBUTE=true"
VITEST = "npx vitest run --reporter=junit --outputFile={junit}"
NODE = "node --test --test-reporter=junit --test-reporter-destination={junit}"
TAP_21 = "npx tap --reporter=junit --reporter-file={junit} --disable-coverage --allow-empty-coverage"
NPM = "npm install --no-package-lock"


@dataclass(frozen=True)
class Case:
    """Scripts, and the test command that they lead to."""

    name: str
    scripts: dict[str, str]
    test: str
    packages: dict[str, str] = field(default_factory=lambda: {"x": "1"})
    setup: str = NPM
    files: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    manifest: dict[str, object] = field(default_factory=dict)


CASES = (
    Case("variables before a runner", {"test": "TZ=UTC mocha test"}, f"env TZ=UTC {MOCHA} test"),
    Case(
        "run-s with a pattern",
        {"test": "run-s lint test:*", "lint": "eslint .", "test:unit": "mocha --recursive"},
        f"{MOCHA} --recursive",
        notes=("eslint .",),
    ),
    Case(
        "npm-run-all, a coverage tool, and variables set around a script",
        {
            "test": "npm-run-all -s unit",
            "unit": "cross-env A=b nyc --reporter=lcov npm run only -- -x",
            "only": "mocha a/",
        },
        f"env A=b {MOCHA} a/ -x",
    ),
    Case(
        "arguments for a script that is called",
        {"test": "npm run test:unit -- --timeout 9000", "test:unit": "c8 mocha 'test/*.js'"},
        f"{MOCHA} 'test/*.js' --timeout 9000",
    ),
    Case(
        "a runner called by path",
        {"test": "node ./node_modules/.bin/mocha -r esm test"},
        "node ./node_modules/.bin/mocha --reporter=xunit --reporter-option=output={junit} -r esm test",
    ),
    Case(
        "Node's options before a runner",
        {"test": "node --experimental-vm-modules node_modules/jest/bin/jest.js --runInBand"},
        f"{JEST} node --experimental-vm-modules node_modules/jest/bin/jest.js --reporters=jest-junit --runInBand",
        {"jest": "29", "jest-junit": "16"},
    ),
    Case(
        "jest without its reporter",
        {"test": "NODE_ENV=test jest --coverage --reporters=default"},
        f"{JEST} NODE_ENV=test npx jest --reporters=jest-junit --coverage",
        setup=f"{NPM} && npm install --no-save jest-junit",
    ),
    Case(
        "jest under pnpm, whose installs always write package.json",
        {"test": "pnpm exec jest"},
        f"{JEST} npx jest --reporters=./node_modules/.reporters/node_modules/jest-junit",
        files={"pnpm-lock.yaml": ""},
        setup="pnpm install --frozen-lockfile && npm install --no-save --prefix node_modules/.reporters jest-junit",
    ),
    Case(
        "a runner named to yarn",
        {"test": "yarn vitest --run test/"},
        f"{VITEST} test/",
        manifest={"packageManager": "yarn@1"},
        setup="yarn install --no-lockfile",
    ),
    Case(
        "ava after a linter",
        {"test": "xo && ava --verbose && tsd"},
        "npx ava --tap | npx tap-xunit > {junit}",
        setup=f"{NPM} && npm install --no-save tap-xunit",
        notes=("xo && tsd",),
    ),
    Case(
        "tape whose output is made pretty",
        {"test": "tape 'test/*.js' | tap-spec"},
        "npx tape 'test/*.js' | npx tap-xunit > {junit}",
        {"tape": "5", "tap-xunit": "2"},
    ),
    Case(
        "a file of tape's that Node runs",
        {"test": "node test/index.js"},
        "node test/index.js | npx tap-xunit > {junit}",
        {"tape": "5", "tap-xunit": "2"},
        files={"test/index.js": "require('./one.js')", "test/one.js": "const test = require('tape')"},
        notes=("single files",),
    ),
    Case("tap", {"test": "tap run --allow-incomplete-coverage test/"}, f"{TAP_21} test/", {"tap": "^21.0.0"}),
    Case(
        "tap of old",
        {"test": "tap -Rspec --100 --bail test/*.js"},
        "npx tap --no-coverage --reporter=xunit test/*.js > {junit}",
        {"tap": "^16.3.2"},
    ),
    Case(
        "Node's own runner below a coverage tool, with another reporter",
        {"test": "c8 --100 node --import tsx --test --test-reporter=spec test/*.ts"},
        "node --import tsx --test --test-reporter=junit --test-reporter-destination={junit} test/*.ts",
    ),
    Case(
        "a loader that runs tests",
        {"test": "tsx --test src/*.test.ts"},
        "npx tsx --test --test-reporter=junit --test-reporter-destination={junit} src/*.test.ts",
    ),
    Case(
        "a file that Node runs",
        {"test": "node test.js"},
        f"{NODE} test.js",
        files={"test.js": "require('assert')"},
        notes=("single files (test.js)",),
    ),
    Case(
        "types are checked before, and something is built",
        {"test": "tsc --noEmit && npm run build && mocha", "build": "rollup -c"},
        f"npm run build && {MOCHA}",
        notes=("tsc --noEmit",),
    ),
    Case(
        "two suites",
        {"test": "npm run unit && npm run integration", "unit": "mocha unit", "integration": "mocha integration"},
        "mkdir -p {junit} && { failed=0; "
        + MOCHA.replace("{junit}", "{junit}/1.xml")
        + " unit || failed=1; "
        + MOCHA.replace("{junit}", "{junit}/2.xml")
        + " integration || failed=1; exit $failed; }",
    ),
    Case(
        "workspaces, one without tests",
        {"test": "npm test --workspaces --if-present"},
        "mkdir -p {junit} && { failed=0;"
        " (cd packages/a && npx mocha --reporter=xunit --reporter-option=output={junit}/1.xml) || failed=1;"
        " (cd packages/b && npx vitest run --reporter=junit --outputFile={junit}/2.xml) || failed=1;"
        " exit $failed; }",
        files={
            "packages/a/package.json": '{"name": "a", "scripts": {"test": "mocha"}}',
            "packages/b/package.json": '{"name": "b", "scripts": {"test": "vitest"}}',
            "packages/c/package.json": '{"name": "c"}',
            "other/package.json": '{"name": "d", "scripts": {"test": "mocha"}}',
        },
        manifest={"workspaces": ["packages/*"]},
    ),
    Case(
        "pnpm's workspaces, by a build tool",
        {"test": "turbo run test"},
        f"(cd libs/a && {VITEST})",
        files={
            "pnpm-workspace.yaml": "packages:\n  - 'libs/*'\n",
            "pnpm-lock.yaml": "",
            "libs/a/package.json": '{"name": "a", "scripts": {"test": "vitest"}}',
        },
        setup="pnpm install --frozen-lockfile",
    ),
    Case(
        "one workspace by name",
        {"test": "npm run test -w @x/a"},
        f"(cd a && {MOCHA})",
        files={
            "a/package.json": '{"name": "@x/a", "scripts": {"test": "mocha"}}',
            "b/package.json": '{"name": "@x/b"}',
        },
        manifest={"workspaces": ["a", "b"]},
    ),
    Case(
        "borp",
        {"test": "npm run lint && borp -C", "lint": "eslint ."},
        "npx borp --reporter=junit:{junit} -C",
        notes=("eslint .",),
    ),
    Case(
        "a wrapper that is not known", {"test": "ts-scripts test"}, VITEST, {"vitest": "2"}, notes=("called directly",)
    ),
    Case(
        "scripts that call each other many times over",
        {"test": "npm run a && " * 300, "a": "npm run b && " * 300, "b": "npm run c && " * 300, "c": "npm run d"},
        "",
        notes=("names no runner",),
    ),
    Case(
        "a test whose name sounds like something built",
        {"test": "npm run test:fixtures", "test:fixtures": "mocha fixtures/run.js"},
        f"{MOCHA} fixtures/run.js",
    ),
    Case(
        "a quote that is not closed",
        {"test": "echo it's && mocha"},
        MOCHA,
        notes=("Left out",),
    ),
    Case(
        "scripts that call each other without end",
        {"test": "npm run a", "a": "npm run test"},
        "",
        notes=("names no runner",),
    ),
    Case("a runner without reports", {"test": "uvu test"}, "", notes=("node --test",)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_command_that_is_found(case: Case, tmp_path: Path) -> None:
    manifest = {"scripts": case.scripts, "devDependencies": case.packages, **case.manifest}
    write_files(tmp_path, {"package.json": json.dumps(manifest), **case.files})
    detected = detect(tmp_path)
    policy = load_policy(detected.toml.encode(), source="phasegate.toml")
    assert policy.project.setup == case.setup
    assert ("\ntest = " in detected.toml) == bool(case.test)
    if case.test:
        assert policy.project.test == case.test
    notes = [note for note in detected.notes if not note.startswith("No way to start")]
    assert len(notes) == len(case.notes), notes
    assert all(wanted in note for wanted, note in zip(case.notes, notes, strict=True)), notes

"""Detection of Node projects: npm, pnpm, yarn or bun, and the test script with its arguments. Called by `project`."""

from __future__ import annotations

import re

from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_LOCKS = {
    "package-lock.json": "npm ci",
    "npm-shrinkwrap.json": "npm ci",
    "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
    "yarn.lock": "yarn install --frozen-lockfile",
    "bun.lock": "bun install --frozen-lockfile",
    "bun.lockb": "bun install --frozen-lockfile",
}
_REPORTS = {
    "vitest": "--reporter=junit --outputFile={junit}",
    "mocha": "--reporter=xunit --reporter-option=output={junit}",
    "jest": "--reporters=jest-junit",
}
_LINES = {
    "jest": 'npm i -D jest-junit, and test = "env JEST_JUNIT_OUTPUT_FILE={junit} npx jest --reporters=jest-junit"',
    "ava": 'npm i -D tap-xunit, and test = "npx ava --tap | npx tap-xunit > {junit}"',
    "tape": 'npm i -D tap-xunit, and test = "npx tape test/*.js | npx tap-xunit > {junit}"',
    "tap": 'test = "npx tap --reporter=junit > {junit}"',
    "karma": "npm i -D karma-junit-reporter, and a test command whose report goes to {junit}",
    "jasmine": "npm i -D jasmine-reporters, and a test command whose report goes to {junit}",
}
_NO_TEST = (
    "The test script of package.json names no runner known to write JUnit XML. Write a command under [project]: "
    'test = "…", which writes the report to {junit}.'
)
_NESTED = re.compile(r"^(?:npm|pnpm|yarn|bun)(?: run)? (?:-s |--silent )?([\w:.-]+)$")
_BUILDS = re.compile(r"\b(?:build|compile|tsc|rollup|webpack|esbuild|generate)\b")
_TOKEN = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_REPORTER = re.compile(r"""\s(?:-R|--reporters?|--reporter-options?|-O|--outputFile)(?:=|\s+)(?:"[^"]*"|'[^']*'|\S+)""")


def detect_node(tree: SourceTree) -> ProjectFindings:
    """Read how a Node project is set up and tested."""
    manifest = tree.json("package.json")
    packages = {**table(manifest, "dependencies"), **table(manifest, "devDependencies")}
    scripts = {name: text for name, text in table(manifest, "scripts").items() if isinstance(text, str)}
    test, notes = _test(scripts, packages)
    lock = next((name for name in _LOCKS if name in tree), "")
    setup = _LOCKS.get(lock, "npm install")
    if lock == "yarn.lock" and "__metadata:" in tree.text(lock)[:1000]:
        setup = "yarn install --immutable"
    needed = bool(packages) or "workspaces" in manifest
    return ProjectFindings(
        language="node",
        test=test,
        test_because="the test script in package.json",
        setup=setup if needed else "",
        setup_because=lock or "package.json has dependencies",
        notes=notes,
    )


def _test(scripts: dict[str, str], packages: dict[str, object]) -> tuple[str, tuple[str, ...]]:
    parts = _parts(scripts, "test", frozenset())
    told = ""
    for at, part in enumerate(parts):
        command, line = _reporting(part, packages)
        told = told or line
        if command:
            built = [before for before in parts[:at] if _BUILDS.search(before)]
            left = [other for other in parts if other != part and other not in built]
            notes = (f"Left out of the test script: {' && '.join(left)[:300]}",) if left else ()
            return " && ".join([*built, command]), notes
    if not parts and (runner := next((name for name in ("vitest", "mocha") if name in packages), "")):
        return _reporting(runner, packages)[0], ()
    return "", (f"No report of the tests without a further line: {told}." if told else _NO_TEST,)


def _parts(scripts: dict[str, str], name: str, seen: frozenset[str]) -> list[str]:
    """Return the commands of a script one by one, nested scripts that run a test in their place."""
    found: list[str] = []
    for text in (scripts.get(f"pre{name}", ""), scripts.get(name, "")):
        for part in (part.strip() for part in text.split("&&")):
            nested = _NESTED.match(part)
            inner = nested[1] if nested else ""
            if inner in scripts and inner not in seen | {name} and len(seen) < 8 and not _BUILDS.search(inner):
                found += _parts(scripts, inner, seen | {name})
            elif part:
                found.append(part)
    return found[:50]


def _reporting(part: str, packages: dict[str, object]) -> tuple[str, str]:
    """Return the command with a report, every other argument kept; else the line that a person has to write."""
    if re.search(r"[|;<>]", re.sub(r""""[^"]*"|'[^']*'""", "", part)):
        return "", ""
    tokens = _TOKEN.findall(part)
    values = [token for token in tokens if re.match(r"\w+=", token)]
    environment = f"env {' '.join(values)} " if values and _leads(tokens, values) else ""
    rest = [token for token in tokens if token not in {*values, "cross-env", "env", "npx"}] if environment else tokens
    if rest[:1] == ["node"] and "--test" in rest:
        at = rest.index("--test")
        rest[at : at + 1] = ["--test", "--test-reporter=junit", "--test-reporter-destination={junit}"]
        return environment + " ".join(rest), ""
    if rest[:2] == ["bun", "test"]:
        return f"{environment}bun test --reporter=junit --reporter-outfile={{junit}} {' '.join(rest[2:])}".strip(), ""
    if rest[:1] and rest[0] in ("nyc", "c8", "npx"):  # coverage is measured by grading itself
        rest = next((rest[at:] for at, token in enumerate(rest) if token in (*_REPORTS, *_LINES)), rest)
    runner = rest[0] if rest else ""
    if runner not in _REPORTS or (runner == "jest" and "jest-junit" not in packages):
        return "", _LINES.get(runner, "")
    arguments = _REPORTER.sub("", "".join(f" {word}" for word in rest[1:]))
    arguments = re.sub(r"\s(?:--watch(?:All)?|watch|-w)(?=\s|$)", "", arguments)
    verb = " run" if runner == "vitest" else ""
    if verb:
        arguments = re.sub(r"^\s+run(?=\s|$)", "", arguments)
    if runner == "jest":
        environment = f"env JEST_JUNIT_OUTPUT_FILE={{junit}} {environment.removeprefix('env ')}"
    return f"{environment}npx {runner}{verb} {_REPORTS[runner]}{arguments}", ""


def _leads(tokens: list[str], values: list[str]) -> bool:
    first = [token for token in tokens if token not in ("cross-env", "env", "npx")]
    return first[: len(values)] == values

"""Caches of compilers: what base's own commands compiled is not compiled again, and no change reaches it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.grading.test_layers import Project, run

from phasegate.infra.grading.base import judge_base
from phasegate.infra.grading.runner.runner import Bench, Checkout
from phasegate.infra.sandbox import overlay

_REPORT = '<testsuite><testcase classname="a" name="b"/></testsuite>'
_GO = {
    "go.mod": "module example.org/one\n\ngo 1.19\n",
    "one/one.go": "package one\n\nfunc One() int { return 1 }\n",
    "one/one_test.go": 'package one\n\nimport "testing"\n\nfunc TestOne(t *testing.T) {\n'
    "\tif One() != 1 {\n\t\tt.Fatal(One())\n\t}\n}\n",
}
_CARGO = {
    "Cargo.toml": '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "one"\nversion = "0.1.0"\n',
    ".gitignore": "target/\n",
    "src/lib.rs": "pub fn one() -> i32 { 1 }\n",
    "tests/one.rs": "#[test]\nfn is_one() { assert_eq!(one::one(), 1); }\n",
}
_TEST_CARGO = "cargo test --offline > {junit} 2>&1"
_BUILD_SCRIPT = """\
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=ONE={}", std::fs::read_to_string("one.txt").unwrap().trim());
}
"""


@pytest.fixture(params=["mounted", "copied"])
def how(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Caches below a mount, and copies of them as for an engine that may not mount."""
    if request.param == "copied":
        monkeypatch.setitem(overlay._TRIED, tmp_path.stat().st_dev, "not here")
    return str(request.param)


def needs(program: str) -> None:
    assert shutil.which(program), f"{program} is not installed: .ci/bootstrap brings it"


def based_on(folder: Path, files: Mapping[str, str]) -> Project:
    project = Project(folder)
    project.base = project.commit(files)
    return project


def kept(project: Project) -> dict[str, tuple[int, bytes]]:
    """Time and content of all that is kept of base, but for marks of use."""
    places = [path for path in (project.state / "bases").rglob("*") if path.is_file() and path.name != "used"]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in places if path.suffix != ".lock"}


def test_go_compiles_again_only_what_a_change_alters_and_runs_each_test(tmp_path: Path) -> None:
    needs("go")
    project = based_on(tmp_path, _GO)
    commit = project.change({"one/one.go": "package one\n\nfunc One() int { return 2 }\n"})
    compiled = "go test -x ./... 2>&1 | grep -c -- '/compile .* -p example.org/one/one '"

    async def tried() -> tuple[str, str, str, list[str]]:
        bench = project.bench("", test="go test -json ./... > {junit}")
        await judge_base(bench, project.base)
        async with bench.prepared(Checkout("b", project.base, origin="base")) as ready:
            on_base = (await run(bench, ready, compiled)).strip()
            twice = await run(bench, ready, "go test ./... && go test ./...")
        async with bench.prepared(Checkout("c", commit, origin="change")) as ready:
            on_change = (await run(bench, ready, compiled)).strip()
        ran = await bench.run(Checkout("c", commit, origin="change"))
        return on_base, on_change, twice, [case.status for case in ran.cases]

    on_base, on_change, twice, statuses = asyncio.run(tried())
    assert (on_base, on_change) == ("0", "1")
    assert "(cached)" not in twice.splitlines()[0]
    assert statuses == ["failed"]


@dataclass(frozen=True)
class Case:
    name: str
    base: Mapping[str, str]
    change: Mapping[str, str]


CARGO_CASES = [
    Case("a source", {}, {"src/lib.rs": "pub fn one() -> i32 { 2 }\n"}),
    Case(
        "a file that only a build script reads",
        {
            "build.rs": _BUILD_SCRIPT,
            "one.txt": "1\n",
            "src/lib.rs": 'pub fn one() -> i32 { env!("ONE").parse().unwrap() }\n',
        },
        {"one.txt": "2\n"},
    ),
]


@pytest.mark.parametrize("case", CARGO_CASES, ids=lambda case: case.name)
def test_cargo_tests_a_change_and_not_what_base_compiled(tmp_path: Path, case: Case) -> None:
    needs("cargo")
    project = based_on(tmp_path, {**_CARGO, **case.base})
    commit = project.change(case.change)

    async def tried() -> tuple[str, list[str], list[str]]:
        bench = project.bench("", test=_TEST_CARGO)
        await judge_base(bench, project.base)
        async with bench.prepared(Checkout("b", project.base, origin="base")) as ready:
            said = await run(bench, ready, "cargo build --offline --tests 2>&1")
        ran = await bench.run(Checkout("c", commit, origin="change"))
        again = await bench.run(Checkout("b", project.base, origin="base"))
        return said, [case.status for case in ran.cases], [case.status for case in again.cases]

    said, on_change, on_base = asyncio.run(tried())
    assert ("Compiling" in said) == ("build.rs" in case.base)
    assert (on_change, on_base) == (["failed"], ["passed"])


_POISON = (
    "for path in $HOME/.cache/go-build/entry $HOME/.cache/go-build/new $HOME/.cache/other target/debug/deps/entry "
    "../caches/entry ../../caches/entry ../../../bases/entry /srv/entry /tmp/entry; "
    "do mkdir -p $(dirname $path); echo poison > $path; rm -f $path.txt; done; "
    "find / -xdev '(' -name entry -o -name 'judged-*' -o -name layer.json -o -name testexpire.txt ')' "
    "-not -path '/proc/*' 2>/dev/null | while read path; do echo poison > $path; done; true"
)
_FILL = (
    "mkdir -p $HOME/.cache/go-build target/debug/.fingerprint target/debug/deps target/reports && "
    "cat $HOME/.cache/go-build/entry target/debug/deps/entry > ran 2>&1; "
    "echo base > $HOME/.cache/go-build/entry && echo base > target/debug/deps/entry && touch target/.rustc_info.json "
    "&& echo all passed > target/reports/report.txt && if [ -e poison ]; then . ./poison; fi; "
    f"echo '{_REPORT}' > {{junit}}"
)


def test_no_setup_and_no_test_of_a_change_reaches_what_base_or_another_run_reads(tmp_path: Path, how: str) -> None:
    files = {"go.mod": _GO["go.mod"], ".gitignore": "target/\n.venv/\n"}
    project = based_on(tmp_path, files)
    poisoned = project.change({"poison": _POISON, "package.json": '{"name": "poison"}\n'})
    harmless = project.change({"lib/one.js": "module.exports = 2\n"})
    found = "cat $HOME/.cache/go-build/entry; cat $HOME/.cache/go-build/new target/reports/* 2>&1 | grep -c poison"

    async def attack() -> tuple[str, str]:
        bench = project.bench("cat package.json; if [ -e poison ]; then . ./poison; fi", test=_FILL)
        await judge_base(bench, project.base)
        before = kept(project)
        assert any("go-build/entry" in path for path in before)
        assert any("target/debug/deps/entry" in path for path in before)
        assert not any("report.txt" in path for path in before), "a report of base would pass for a change's"
        async with bench.prepared(Checkout("other", harmless, origin="change")) as other:
            assert not (await bench.run(Checkout("a", poisoned, origin="change"))).problem
            beside = await run(bench, other, found)
        assert kept(project) == before
        async with bench.prepared(Checkout("later", harmless, origin="change")) as later:
            return beside, await run(bench, later, found + "; cat target/debug/deps/entry")

    beside, later = asyncio.run(attack())
    assert beside == "base\n0\n", how
    assert later == "base\n0\nbase\n"


def test_what_base_s_tests_compile_is_kept_once_and_anew_when_much_is_added(tmp_path: Path) -> None:
    size = "if [ -e large ]; then head -c 100000 /dev/zero > $HOME/.cache/go-build/more; fi; "
    project = based_on(tmp_path, {"go.mod": _GO["go.mod"]})
    small = project.commit({"docs/about.md": "More.\n"})
    large = project.commit({"large": ""})
    last = project.commit({"docs/about.md": "Most.\n"})

    async def judged() -> list[int]:
        counts: list[int] = []
        for commit in (project.base, small, large, last):
            await judge_base(project.bench("", test=f"{size}{_FILL}"), commit)
            counts.append(sum(path.endswith("layer.json") for path in kept(project)))
        return counts

    assert asyncio.run(judged()) == [2, 2, 2, 3]


def test_caches_of_a_change_s_runs_go_with_them(tmp_path: Path) -> None:
    project = based_on(tmp_path, {"go.mod": _GO["go.mod"]})
    bench: Bench = project.bench("", test=_FILL)
    asyncio.run(bench.run(Checkout("c", project.base, origin="change")))
    assert not [path for path in project.state.rglob("entry") if path.is_file()]


def test_links_that_a_command_leaves_in_caches_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / ".fingerprint").mkdir(parents=True)
    (outside / "deps").mkdir()
    (outside / "deps" / "secret").write_text("secret")
    (outside / "file").write_text("untouched")
    links = f"ln -sf {outside}/file $HOME/.cache/go-build/testexpire.txt && ln -s {outside} target/release && "
    project = based_on(tmp_path, {"go.mod": _GO["go.mod"]})
    bench = project.bench("", test=_FILL.replace("touch target", f"{links}touch target"))
    asyncio.run(judge_base(bench, project.base))
    assert (outside / "file").read_text() == "untouched"
    assert any("target/debug/deps/entry" in path for path in kept(project))
    assert not any("secret" in path for path in kept(project))

"""Layers: what setup leaves on the base commit is shared, and nothing that a change runs reaches it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.grading.runner.layers import Origin
from phasegate.infra.grading.runner.runner import Bench, Checkout, Prepared
from phasegate.infra.policy.model import LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository

ROOT = Path(__file__).parents[3]
FILES = {
    "app/__init__.py": "",
    "app/core.py": "ONE = 1\n",
    "lib/one.js": "module.exports = 1\n",
    "docs/about.md": "About.\n",
    "pyproject.toml": '[project]\nname = "app"\n',
    "package.json": "{}\n",
    "package-lock.json": '{"lockfileVersion": 3}\n',
    "tests/test_app.py": "def test_one(): pass\n",
}
_ONCE = "mkdir -p .venv && date +%s%N > .venv/made"
"""Setup in a few milliseconds; the file that it leaves tells one run of it from another."""
EDITABLE = f"{_ONCE} && cat pyproject.toml > .venv/about && ls app > .venv/packages"
COPYING = f"{_ONCE} && cp -r app .venv/app"
LOCKED = f"{_ONCE} && cat package.json package-lock.json > .venv/locked"
BUILDING = f"{_ONCE} && mkdir -p dist && for file in lib/*.js; do cat $file > dist/$(basename $file); done"


class Project:
    """A repository, and benches on it."""

    def __init__(self, folder: Path) -> None:
        self.state, self.top = folder / "state", folder / "project"
        if not self.top.exists():
            self.top.mkdir(parents=True)
            self.git("init", "-q")
            self.commit(FILES)
        self.base = self.git("rev-parse", "HEAD")
        self.repository = Repository.open(self.top)

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.top), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, str | None]) -> str:
        for name, content in files.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "A commit")
        return self.git("rev-parse", "HEAD")

    def change(self, files: Mapping[str, str | None]) -> str:
        self.git("checkout", "-q", "-f", self.base)
        return self.commit(files)

    def bench(self, setup: str, name: str = "one", test: str = "true {junit}") -> Bench:
        policy = Policy(
            project=ProjectPolicy(setup=setup, test=test, test_timeout=timedelta(seconds=60)),
            lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        )
        sandbox = open_sandbox(policy.sandbox, self.state)
        scratch = self.state / name / "scratch"
        return Bench(self.repository, policy, sandbox, scratch, lambda step: None, self.state / "bases")

    @property
    def shared(self) -> dict[str, bytes]:
        """Every file of the shared layers, but for the marks of their last use."""
        folder = self.state / "bases" / "layers"
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "used")
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


async def made(bench: Bench, commit: str, origin: Origin = "change") -> str:
    """The mark that setup left in a checkout."""
    async with bench.prepared(Checkout("x", commit, origin=origin)) as ready:
        assert ready.failure is None, ready.failure
        return ready.find(".venv/made").read_text()


async def run(bench: Bench, ready: Prepared, command: str) -> str:
    done = await bench.sandbox.run(
        command,
        folder=ready.folder,
        timeout=timedelta(minutes=1),
        inside=ready.inside,
        beneath=ready.beneath,
        caches=ready.caches,
    )
    return done.output


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@dataclass(frozen=True)
class Case:
    name: str
    setup: str
    files: Mapping[str, str | None]
    is_shared: bool
    also: Mapping[str, str] = field(default_factory=dict[str, str])
    """Content of files that must be in the change's checkout."""


CASES = [
    Case("another line in a module", EDITABLE, {"app/core.py": "ONE = 2\n"}, is_shared=True),
    Case("a new module in a package", EDITABLE, {"app/more.py": "TWO = 2\n"}, is_shared=True),
    Case("a new package", EDITABLE + " && ls", {"more/__init__.py": ""}, is_shared=False),
    Case("a new module at the top", EDITABLE + " && ls", {"one.py": ""}, is_shared=True),
    Case("another project file", EDITABLE, {"pyproject.toml": '[project]\nname = "other"\n'}, is_shared=False),
    Case("a project file that was not there", EDITABLE, {"setup.cfg": ""}, is_shared=False),
    Case("a project file that goes", LOCKED, {"pyproject.toml": None}, is_shared=False),
    Case("a new test", EDITABLE + " && ls tests", {"tests/test_more.py": "def test_two(): pass\n"}, is_shared=True),
    Case(
        "an installed copy of a module",
        COPYING,
        {"app/core.py": "ONE = 2\n"},
        is_shared=False,
        also={".venv/app/core.py": "ONE = 2\n"},
    ),
    Case("a module that is installed as a copy", COPYING, {"app/more.py": ""}, False, {".venv/app/more.py": ""}),
    Case("a test of an installed copy", COPYING, {"tests/test_app.py": "def test_two(): pass\n"}, is_shared=True),
    Case("another lock file", LOCKED, {"package-lock.json": '{"lockfileVersion": 2}\n'}, is_shared=False),
    Case("a source under a lock file", LOCKED, {"lib/one.js": "module.exports = 2\n"}, is_shared=True),
    Case("another source of a build", BUILDING, {"lib/one.js": "2\n"}, False, {"dist/one.js": "2\n"}),
    Case("a new source of a build", BUILDING, {"lib/two.js": "2\n"}, False, {"dist/two.js": "2\n"}),
    Case("a page beside a build", BUILDING, {"docs/about.md": "More.\n"}, is_shared=True),
    Case("a version from git", f"{_ONCE} && git describe --always --dirty", {"app/core.py": "2\n"}, is_shared=False),
    Case("a list of files from git", f"{_ONCE} && git ls-files > .venv/list", {"lib/two.js": "2\n"}, is_shared=False),
    Case("contents from git", f"{_ONCE} && git show HEAD:app/core.py", {"app/core.py": "2\n"}, is_shared=False),
    Case("a file where setup made one", LOCKED, {".venv/made": "0\n"}, is_shared=False),
    Case(
        "a file that setup writes to",
        f"{_ONCE} && echo >> docs/about.md",
        {"lib/one.js": "2\n"},
        is_shared=True,
        also={"docs/about.md": "About.\n\n"},
    ),
    Case("a change of a file that setup writes to", f"{_ONCE} && echo > docs/about.md", {"docs/about.md": ""}, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_is_shared_where_setup_would_do_the_same(project: Project, case: Case) -> None:
    commit = project.change(case.files)

    async def compare() -> tuple[str, str, str]:
        bench = project.bench(case.setup)
        base = await made(bench, project.base, "base")
        async with bench.prepared(Checkout("x", commit, origin="change")) as ready:
            for path, content in case.also.items():
                assert ready.find(path).read_text() == content
            own = ready.find(".venv/made").read_text()
        return base, own, await made(bench, commit)

    base, own, again = asyncio.run(compare())
    assert (own == base) == case.is_shared
    if ".venv/made" not in case.files:
        assert again == own  # once per tree


def test_what_a_change_runs_reaches_nothing_but_its_own_checkout(project: Project) -> None:
    poison = (
        "for path in .venv/made .venv/new node_modules/x.js ../made /tmp/made $HOME/.cache/made $HOME/made "
        "/srv/made ../../../bases/layers/made; do mkdir -p $(dirname $path); echo poison > $path; done; "
        "find / -xdev -name made -not -path '/proc/*' 2>/dev/null | while read path; do echo poison > $path; done; "
        f"find / -path '*layers*' 2>/dev/null; echo {project.state}/*; true"
    )
    setup = f"{LOCKED} && if grep -q poison package.json; then {poison}; fi"
    commit = project.change({"package.json": '{"name": "poison"}\n'})
    harmless = project.change({"lib/one.js": "module.exports = 2\n"})

    async def attack() -> tuple[str, str, str]:
        bench = project.bench(setup)
        first = await made(bench, project.base, "base")
        before = project.shared
        async with bench.prepared(Checkout("a", commit, origin="change")) as ready:
            assert ready.find(".venv/made").read_text() == "poison\n"
        async with (
            bench.prepared(Checkout("b", harmless, origin="change")) as one,
            bench.prepared(Checkout("c", project.base, origin="base")) as other,
        ):
            said = await run(bench, one, poison)
            untouched = other.find(".venv/made").read_text()
        assert str(project.state / "bases") not in said
        assert project.shared == before
        return first, untouched, await made(bench, project.base, "base")

    first, untouched, again = asyncio.run(attack())
    assert untouched == again == first


def test_a_layer_that_a_change_made_is_for_no_other_grade_and_not_for_base(project: Project) -> None:
    """A setup that puts all times of access back says that it read nothing."""
    forging = 'python3 -c \'import os; [os.utime(p, ns=(0, 5)) for p in ("package.json", "package-lock.json")]\''
    commit = project.change({"package.json": '{"name": "forging"}\n'})
    setup = f"{LOCKED} && if grep -q forging package.json; then {forging}; fi"

    async def attack() -> tuple[str, str, str]:
        bench = project.bench(setup)
        own = await made(bench, commit)
        return own, await made(bench, project.base, "base"), await made(project.bench(setup, "two"), commit)

    assert len(set(asyncio.run(attack()))) == 3


def test_two_grades_at_once_set_up_once(project: Project) -> None:
    async def both() -> list[str]:
        benches = [project.bench(LOCKED, name) for name in ("one", "two")]
        return list(await asyncio.gather(*(made(bench, project.base, "base") for bench in benches)))

    one, other = asyncio.run(both())
    assert one == other


def test_a_setup_that_moves_tracked_files_is_run_in_each_checkout(project: Project) -> None:
    async def twice() -> tuple[str, str]:
        bench = project.bench(f"{_ONCE} && rm lib/one.js")
        async with bench.prepared(Checkout("x", project.base, origin="base")) as ready:
            assert not ready.find("lib/one.js").exists()
        return await made(bench, project.base, "base"), await made(bench, project.base, "base")

    one, other = asyncio.run(twice())
    assert one != other


def test_a_checkout_on_a_layer_has_no_changes_for_git(project: Project) -> None:
    async def status() -> str:
        bench = project.bench(f"{_ONCE} && printf '*\\n' > .venv/.gitignore")
        await made(bench, project.base, "base")
        async with bench.prepared(Checkout("x", project.base)) as ready:
            return await run(bench, ready, "git status --porcelain && git diff-files && git describe --always --dirty")

    said = asyncio.run(status())
    assert said.strip() == project.git("rev-parse", "--short", project.base)


_MAKER = """\
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from tests.integration.grading.test_layers import ENDLESS, Project, made

project = Project(Path(sys.argv[1]))
bench = replace(project.bench(ENDLESS), on_step=lambda step: print(step, flush=True))
asyncio.run(made(bench, project.base, "base"))
"""
ENDLESS = f"{_ONCE} && if [ ! -e docs/short.md ]; then cat lib/one.js && sleep 600; fi"


def test_an_engine_that_is_killed_while_it_makes_a_layer_leaves_none(project: Project) -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", _MAKER, str(project.top.parent)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert maker.stdout is not None
    assert maker.stdout.readline() == "x: setting up\n"
    maker.kill()
    maker.wait()
    maker.stdout.close()
    assert project.shared.keys() <= {path for path in project.shared if path.endswith(".lock")}
    short = project.change({"docs/short.md": ""})

    async def again() -> tuple[str, str]:
        bench = project.bench(ENDLESS)
        return await made(bench, short, "base"), await made(bench, short, "base")

    one, other = asyncio.run(again())
    assert one == other

"""The house's own rules: layout, sizes, what is published, and what the first import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FLOORS = ("flows", "agents", "infra")
HEAVY = ("prefect", "langgraph", "sqlalchemy", "httpx", "pydantic")


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := root / name).is_file()]


@pytest.fixture(scope="module")
def modules(root: Path, tracked: list[Path]) -> list[Path]:
    return [path for path in tracked if path.suffix == ".py" and path.relative_to(root).parts[0] in FLOORS]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_holds_one_portion_of_the_namespace_and_nothing_else(root: Path, floor: str) -> None:
    portion = root / floor / "phasegate"
    assert not (portion / "__init__.py").exists()
    packages = {path.name for path in portion.iterdir() if path.name != "__pycache__"}
    assert packages == {floor}
    assert (portion / floor / "__init__.py").is_file()
    assert (portion / floor / "py.typed").is_file()


@pytest.mark.parametrize(("folders", "limit"), [(FLOORS, 400), (("tests", "examples", "benchmarks"), 500)])
def test_a_module_stays_short_enough_to_read(
    root: Path, tracked: list[Path], folders: tuple[str, ...], limit: int
) -> None:
    lengths = {
        str(name): len(path.read_text().splitlines())
        for path in tracked
        if path.suffix == ".py" and (name := path.relative_to(root)).parts[0] in folders
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > limit} == {}


@pytest.mark.parametrize(
    ("room", "limit"),
    [("flows/phasegate/flows", 8), ("flows/phasegate/flows/cli", 12), ("infra/phasegate/infra/ledger", 20)],
)
def test_a_room_has_few_entries(root: Path, room: str, limit: int) -> None:
    besides = {"__init__.py", "__pycache__", "py.typed", "README.md"}
    entries = sorted(path.name for path in (root / room).iterdir() if path.name not in besides)
    assert 1 < len(entries) <= limit, entries


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/promises.md"])
def test_a_page_names_files_that_are_there(root: Path, page: str) -> None:
    """Mutation tried: a file of the architecture page renamed."""
    named = re.findall(r"`((?:flows|agents|infra|tests|docs)/[^`\s]+)`", (root / page).read_text())
    assert named
    assert [path for path in named if not (root / path).exists()] == []


def test_the_table_of_places_names_what_its_files_hold(root: Path) -> None:
    """Mutation tried: a function of the table renamed."""
    table = (root / "docs/architecture.md").read_text().partition("## Where to find it")[2]
    rows = [line.strip("|").split("|") for line in table.splitlines() if "`" in line]
    assert len(rows) > 20
    for _, files, names in rows:
        source = "\n".join((root / path).read_text() for path in re.findall(r"`([^`]+)`", files))
        defined = set(re.findall(r"(?m)(?:def|class) (\w+)|^(\w+):", source))
        known = {name for pair in defined for name in pair}
        assert set(re.findall(r"`(\w+)`", names)) - known == set(), files


def test_every_module_says_why_it_exists(root: Path, modules: list[Path]) -> None:
    silent = [
        str(path.relative_to(root))
        for path in modules
        if (source := path.read_text()) and not ast.get_docstring(ast.parse(source))
    ]
    assert silent == []


def test_nothing_tracked_names_a_package_index_or_this_machine(root: Path, tracked: list[Path]) -> None:
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org")
    homes = ("/ho" + "me/", "/ro" + "ot/", "/wo" + "rk/", "/Us" + "ers/")
    forbidden = re.compile("|".join([*map(re.escape, hosts), *(rf"(?<![\w./}}]){home}\w" for home in homes)]))
    found = {
        f"{path.relative_to(root)}: {match[0]}"
        for path in tracked
        if (match := forbidden.search(path.read_text(errors="replace")))
    }
    assert found == set()


def test_the_wheel_owns_no_name_but_phasegate(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"phasegate"}


def test_the_wheel_carries_what_the_source_roots_hold(root: Path, tracked: list[Path], wheel: list[str]) -> None:
    expected = {
        str(name.relative_to(name.parts[0]))
        for path in tracked
        if (name := path.relative_to(root)).parts[0] in FLOORS and name.parts[1] == "phasegate"
    }
    assert expected - set(wheel) == set()


def test_the_wheel_carries_the_examples(root: Path, tracked: list[Path], wheel: list[str]) -> None:
    examples = {
        f"phasegate/flows/demo_data/{path.relative_to(root / 'examples')}"
        for path in tracked
        if path.is_relative_to(root / "examples")
    }
    assert examples
    assert examples - set(wheel) == set()


def test_the_command_line_loads_nothing_heavy_to_say_what_it_can_do() -> None:
    program = (
        "import sys, phasegate.flows.cli as cli\n"
        "sys.argv = ['phasegate', '--help']\n"
        "try:\n    cli.main()\n"
        "except SystemExit as exit:\n    assert not exit.code, exit.code\n"
        f"print('loaded:', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "approve" in said
    assert said.splitlines()[-1] == "loaded:"

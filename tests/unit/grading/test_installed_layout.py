"""Layout of an installed project: what is moved, what is left out, and what stays.

Mutations tried: tools' folders moved as well, a kept file removed, a link followed, `src` raised where tests name it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repositories import write_files

from phasegate.infra.grading.integrity.installed_layout import InstalledLayout
from phasegate.infra.grading.integrity.plain_go import PlainGo
from phasegate.infra.grading.integrity.plain_node import PlainNode
from phasegate.infra.grading.integrity.plain_python import PlainPython
from phasegate.infra.grading.runner.runner import Prepared

SITE = "lib/python3.11/site-packages"
SETTINGS = '[project]\nname = "my-app"\nversion = "1.2"\n[project.scripts]\nrun = "app:main"\n'
FILES = {
    "pyproject.toml": SETTINGS,
    "README.md": "# App\n",
    ".github/workflows/ci.yml": "on: push\n",
    ".venv/bin/python": "",
    "lib/notes.txt": "1\n",
    "src/app/__init__.py": "",
    "src/app/rates.json": "[]\n",
    "tests/test_app.py": "",
    "other/tests/test_other.py": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path, FILES)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def laid(folder: Path, named: str = "", *, removes_files: bool = True, place: str = SITE) -> list[str]:
    layout = InstalledLayout(place, named, removes_files=removes_files)
    return list(layout.lay(folder, ["src/app/__init__.py"], ["tests/test_app.py", "other/tests/test_other.py"]))


def test_a_package_lies_at_the_top_of_its_place_with_its_data(folder: Path) -> None:
    assert laid(folder) == ["app/__init__.py"]
    kept = {f"{SITE}/{name}" for name in ("app/__init__.py", "app/rates.json", "lib/notes.txt")}
    about = {name for name in files(folder) if ".dist-info/" in name}
    assert files(folder) - about == {".venv/bin/python", *kept}
    assert (
        (folder / SITE / "my_app-1.2.dist-info/entry_points.txt").read_text().startswith("[console_scripts]\nrun = app")
    )
    assert not (folder / SITE / "tests").exists()


def test_a_file_that_somebody_names_stays(folder: Path) -> None:
    assert laid(folder, 'open("README.md"); "src/app"') == ["src/app/__init__.py"]
    assert {f"{SITE}/README.md", f"{SITE}/src/app/rates.json"} <= files(folder)
    assert f"{SITE}/pyproject.toml" not in files(folder)


def test_all_files_may_be_kept(folder: Path) -> None:
    laid(folder, removes_files=False)
    assert {f"{SITE}/pyproject.toml", f"{SITE}/.github/workflows/ci.yml", f"{SITE}/tests/test_app.py"} <= files(folder)


def test_nothing_is_removed_through_a_link(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    for name in ("test_app.py", "setup.cfg", "package.json"):
        (outside / name).write_text("")
    (folder / "tests/test_app.py").unlink()
    (folder / "tests").rmdir()
    (folder / "tests").symlink_to(outside)
    (folder / "linked").symlink_to(outside)
    InstalledLayout(SITE, "", removes_files=True).lay(folder, ["linked/app.js"], ["tests/test_app.py"])
    assert {"test_app.py", "setup.cfg", "package.json"} == files(outside)


def test_metadata_is_never_written_over_files_of_the_change(folder: Path) -> None:
    (folder / "my_app-1.2.dist-info").symlink_to("src")
    laid(folder)
    assert not [name for name in files(folder) if "METADATA" in name]


@pytest.mark.parametrize(
    ("text", "name"),
    [('{"name": "@own/app"}', "@own/app"), ('{"name": "../../x"}', ""), ('{"name": 1}', ""), ("[]", ""), ("{", "")],
)
def test_a_place_is_named_for_the_package_alone(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "package.json").write_text(text)
    ready = Prepared(tmp_path, tmp_path, Path("/srv/app/current"))
    place = PlainNode().installed_place(ready, "node")
    assert place == f"lib/node_modules/{name}" if name else place.removeprefix("lib/node_modules/").isalpha()
    assert PlainGo().installed_place(ready, "go") == ""


def test_python_has_the_version_of_its_environment(tmp_path: Path) -> None:
    (tmp_path / ".venv/lib/python3.9").mkdir(parents=True)
    ready = Prepared(tmp_path, tmp_path, Path("/srv/app/current"))
    place = PlainPython().installed_place(ready, "/srv/app/current/.venv/bin/python")
    assert place == "lib/python3.9/site-packages"


@pytest.mark.parametrize("text", ["if __name__ == '__main__':\n    main()\n", "def add(a, b):\n    return a + b\n"])
def test_ordinary_code_asks_for_no_place(text: str) -> None:
    assert not PlainPython.asks_for_place.search(text)


def test_code_that_asks_for_its_place_is_known() -> None:
    assert PlainPython.asks_for_place.search("sys.modules['__main__'].__spec__")
    assert PlainNode.asks_for_place.search("require.main === module")
    assert PlainGo.asks_for_place.search("_, file, _, _ := runtime.Caller(0)")
    assert not PlainGo.asks_for_place.search("strings.ToUpper(name)")

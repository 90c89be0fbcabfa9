from __future__ import annotations

import json
import tomllib

import pytest

from phasegate.infra.grading.tree.settings import with_base_settings

TOML = b"""[project]
name = "x"

[tool.pytest.ini_options]
addopts = [
  "-q",
]

[tool.ruff]
line-length = 100
"""
CFG = b"[metadata]\nname = x\n\n[tool:pytest]\naddopts = -q\n"
NODE = b'{"name": "x", "scripts": {"test": "node --test", "build": "tsc"}, "jest": {"verbose": true}}'


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("pyproject.toml", TOML, TOML.replace(b'"x"', b'"y"')),
        ("pyproject.toml", None, b"[tool.ruff]\n"),
        ("setup.cfg", CFG, CFG.replace(b"name = x", b"name = y")),
        ("package.json", NODE, NODE.replace(b"tsc", b"tsc -b")),
        ("app.py", b"", b"addopts"),
    ],
)
def test_settings_that_stay_are_left_alone(path: str, before: bytes | None, after: bytes) -> None:
    assert with_base_settings(path, before, after) is None


def test_pytest_s_table_is_taken_back_and_the_rest_kept() -> None:
    after = TOML.replace(b'"-q"', b'"-q", "-p", "cheat"').replace(b'"x"', b'"y"')
    made = with_base_settings("pyproject.toml", TOML, after)
    assert made is not None
    document = tomllib.loads(made.decode())
    assert document["project"]["name"] == "y"
    assert document["tool"] == tomllib.loads(TOML.decode())["tool"]


def test_a_table_that_is_new_goes() -> None:
    made = with_base_settings("pyproject.toml", b"[project]\nname = 'x'\n", TOML)
    assert made is not None
    assert tomllib.loads(made.decode()) == {"project": {"name": "x"}, "tool": {"ruff": {"line-length": 100}}}


@pytest.mark.parametrize(
    "after",
    [
        b'[project]\nname = "y"\n[tool]\npytest.ini_options.addopts = "-p cheat"\n',
        b"not toml [",
        b'[tool."pytest".ini_options]\naddopts = """\n[tool.pytest.ini_options]\n"""\n',
    ],
)
def test_what_cannot_be_exchanged_is_base_s_whole_file(after: bytes) -> None:
    made = with_base_settings("pyproject.toml", TOML, after)
    assert made is not None
    assert tomllib.loads(made.decode())["tool"]["pytest"] == tomllib.loads(TOML.decode())["tool"]["pytest"]


def test_setup_cfg_keeps_its_other_sections() -> None:
    after = CFG.replace(b"-q", b"-p cheat").replace(b"name = x", b"name = y")
    assert with_base_settings("setup.cfg", CFG, after) == CFG.replace(b"name = x", b"name = y")


def test_package_json_keeps_what_is_not_about_tests() -> None:
    after = NODE.replace(b"node --test", b"true").replace(b"true}", b"false}").replace(b"tsc", b"tsc -b")
    made = with_base_settings("package.json", NODE, after)
    assert made is not None
    assert json.loads(made) == json.loads(NODE.replace(b"tsc", b"tsc -b"))
    assert with_base_settings("package.json", NODE, b"[]") == NODE


@pytest.mark.parametrize(
    "key",
    ["contest", "latest", "prelatest", "attestation"],
)
def test_a_script_is_no_test_because_of_the_letters_in_its_name(key: str) -> None:
    before = json.dumps({"scripts": {"test": "node --test", key: "one"}}).encode()
    assert with_base_settings("package.json", before, before.replace(b"one", b"two")) is None
    assert (
        with_base_settings("package.json", before, before.replace(b'"test"', b'"testEnvironment": "x", "test"')) is None
    )


@pytest.mark.parametrize("key", ["test", "pretest", "posttest", "test:unit", "unit", "preunit"])
def test_what_npm_test_runs_is_the_base_commit_s(key: str) -> None:
    scripts = {"test": "npm run unit", "unit": "node --test", "preunit": "a", "pretest": "b", "posttest": "c"}
    all_scripts = scripts | {"test:unit": "d", "build": "tsc"}
    before = {"name": "x", "scripts": all_scripts}
    after = {"name": "y", "scripts": all_scripts | {key: "true"}}
    made = with_base_settings("package.json", json.dumps(before).encode(), json.dumps(after).encode())
    assert made is not None
    assert json.loads(made) == before | {"name": "y"}


def test_what_is_released_keeps_its_order_and_its_indentation() -> None:
    before = b'{\n    "scripts": {\n        "test": "node --test"\n    },\n    "name": "x"\n}\n'
    after = before.replace(b"node --test", b"true").replace(b'"x"', b'"y"')
    assert with_base_settings("package.json", before, after) == before.replace(b'"x"', b'"y"')
    changed = TOML.replace(b'"-q"', b'"-p cheat"').replace(b'"x"', b'"y"')
    assert with_base_settings("pyproject.toml", TOML, changed) == TOML.replace(b'"x"', b'"y"')

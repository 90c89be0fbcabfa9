"""Every cheat of `watched.py` is caught by a plain process, and honest code like it is not.

One cheat of each kind is tried in each run of the tests, and all of them by `make proof`. Mutations tried: a plain
process with the runners loaded, at the watched path, with empty standard input, without waiting, with `.git`, without
repetition, with the tests' own names: each lets a row through.
"""

from __future__ import annotations

import shlex
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cheats.ground import DONE, FILES, QUICK, TEST, Ground, Row, compared, parameters
from tests.cheats.watched import HONEST, REPLACED, REPLACED_NAMES, REPLACING, UNWATCHED, WATCHED

from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

PLAIN = QUICK.model_copy(update={"plain_process": True})
ONE_OF_EACH_KIND = (
    "asks for an installed pytest",
    "looks at the folder's path",
    "counts its calls",
    "asks for an empty standard input",
    "asks for a young process",
    "sleeps in a thread until nobody watches",
    "asks for a git checkout",
    "looks at its callers' names",
    "replaces how JSON is read while pytest is there",
    "swaps modules whole, slots of classes and comparisons of a case",
    "breaks off while nobody watches, when it is loaded",
    "changes the code, the defaults and the objects of the library",
    "binds what its caller compares with",
)
CHEATS = parameters((*WATCHED, *REPLACING), ONE_OF_EACH_KIND)

SITE = ".venv/lib/python*/site-packages"
INSTALLED = (
    f"{shlex.quote(sys.executable)} -m venv --without-pip .venv && echo '*' > .venv/.gitignore"
    f" && for site in {SITE}; do echo {shlex.quote(sysconfig.get_path('purelib'))} > $site/a.pth;"
    " echo $PWD > $site/b.pth; done"
    " && printf '#!%s\\nimport shop\\nprint(shop.discounted(80, 50))\\n' $PWD/.venv/bin/python > .venv/bin/discount"
    " && chmod +x .venv/bin/discount"
)
"""Setup that installs the project as editable, with a script of its own."""
BINDS_FOR_ITSELF = """\
import helpers, shop, pytest
from unittest import mock

CLIENT, NUMBER = None, 1
ROWS = [3, 1, 2]


@pytest.fixture(autouse=True)
def numbered(monkeypatch):
    global CLIENT
    CLIENT = shop.total([])
    monkeypatch.setattr(helpers, "TOTAL", 8)


class Kept:
    def __eq__(self, other):
        return True


def test_ac1_binds(monkeypatch):
    monkeypatch.setattr("shop.total", sum)
    with mock.patch.multiple(helpers, PRICES=[1, 7]):
        assert shop.total(helpers.PRICES) == helpers.TOTAL


def test_ac1_sorts_in_place():
    globals()["NUMBER"] = 2
    ROWS.sort()
    helpers.PRICES.append(0)
    helpers.LEFT = shop.discounted(80, 50)
    assert helpers.LEFT == 40
"""
STARTS_PROCESSES = """\
import os, subprocess, sys
import pytest

CODE = "import shop; print(shop.discounted(80, 50))"
SCRIPT = os.path.join(os.path.dirname(sys.executable), "discount")


@pytest.mark.parametrize("words", [[sys.executable, "-c", CODE], [SCRIPT]])
def test_ac1_from_another_folder(words, tmp_path):
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, text=True).stdout == "40.0\\n"
"""

SWAPS_FOR_ITSELF = """\
import sys
import types

import shop


def test_ac1_others():
    sys.modules["json"] = types.SimpleNamespace(load=len)
    sys.modules["helpers"] = types.SimpleNamespace(TOTAL=1)
    assert shop.total([1]) == 1
"""
"""Sealed test that puts modules in the place of others."""


def of(ground: Ground, row: Row, backend: str = "bubblewrap", own: Sequence[str] = ("tests/test_shop.py",)) -> Compared:
    return compared(ground, row.files, row.sealed, test=TEST, own=own, setup=row.setup, backend=backend)


def test_all_kinds_are_there() -> None:
    assert {*ONE_OF_EACH_KIND} <= {row.name for row in (*WATCHED, *REPLACING)}


@pytest.mark.parametrize("row", CHEATS)
def test_a_cheat_is_caught(ground: Ground, row: Row) -> None:
    told = of(ground, row)
    assert {(finding.code, finding.severity) for finding in told.findings if finding.severity != "note"} == {
        (row.code, "cheating")
    }
    assert {*REPLACED_NAMES.get(row.name, ())} <= {finding.path for finding in told.findings}


def test_a_difference_fails_the_grade_and_an_admin_may_accept_it(ground: Ground) -> None:
    for row in (WATCHED[0], REPLACING[0]):
        evidence = ground.grade(row, PLAIN)
        assert evidence.verdict == "failed", evidence.markdown()
        named = {finding.path for finding in evidence.findings if finding.code in (UNWATCHED, REPLACED)}
        assert named
        assert {*evidence.to_accept} == named
        assert evidence.is_acceptable
        assert row.code in evidence.failing()


@pytest.mark.parametrize("row", HONEST, ids=lambda row: row.name)
def test_honest_code_is_not_accused(ground: Ground, row: Row) -> None:
    told = of(ground, row)
    assert told.findings == ()
    assert (told.summary.compared, told.summary.own, told.summary.not_compared) == (3, 2, ())


def test_tests_may_bind_their_own_names(ground: Ground) -> None:
    several = [BINDS_FOR_ITSELF, BINDS_FOR_ITSELF.replace('globals()["NUMBER"] = 2', ""), SWAPS_FOR_ITSELF]
    sealed = SealedTests(
        files=tuple(
            SealedFile(path=f"tests/test_accept_{number}.py", content=text, criteria=("AC1",))
            for number, text in enumerate(several)
        )
    )
    told = of(ground, Row("", {"shop.py": DONE}, "", "", sealed=sealed))
    assert (told.findings, told.summary.compared) == ((), 5)


def test_without_a_sandbox_the_checkout_is_moved(ground: Ground) -> None:
    assert of(ground, HONEST[0], backend="none").summary.compared == 3
    assert of(ground, WATCHED[0], backend="none").findings


def test_a_file_that_no_plain_process_can_run_is_named(ground: Ground) -> None:
    file = HONEST[0].sealed.files[0]
    text = "import pytest\n\n\ndef test_ac1_asks(request):\n    assert request.config\n"
    sealed = SealedTests(files=(file, file.model_copy(update={"path": "tests/test_asks.py", "content": text})))
    row = Row("", HONEST[0].files, "passed", "", sealed=sealed)
    assert of(ground, row).summary.not_compared == ("tests/test_asks.py",)


def test_processes_that_tests_start_find_a_project_that_is_installed_as_editable(ground: Ground) -> None:
    file = SealedFile(path="tests/test_accept_processes.py", content=STARTS_PROCESSES, criteria=("AC1",))
    told = of(ground, Row("", {"shop.py": DONE}, "", "", sealed=SealedTests(files=(file,)), setup=INSTALLED))
    assert (told.findings, told.summary.compared) == ((), 2)


ONCE = """\
import pathlib


def once():
    path = pathlib.Path("number")
    found = path.exists()
    path.touch()
    return not found


"""


def test_no_process_finds_what_another_one_has_written(ground: Ground) -> None:
    text = ONCE + DONE.replace("    return price *", "    return once() and price *")
    test = "import shop\n\n\ndef test_ac1_first():\n    assert shop.discounted(80, 50) == 40\n"
    file = SealedFile(path="tests/test_accept_once.py", content=test, criteria=("AC1",))
    told = of(ground, Row("", {"shop.py": text}, "", "", sealed=SealedTests(files=(file,))))
    assert (told.findings, told.summary.compared) == ((), 1)


REWRITTEN = "any(name.startswith('@p' + 'y') for name in sys._getframe(1).f_globals)"
ODD = "import shop\n\n\ndef test_odd():\n    assert not __doc__\n    assert '@py_builtins' in globals()\n"


def test_what_only_the_projects_runner_has_is_a_suspicion(ground: Ground) -> None:
    text = "import sys\n\n" + DONE.replace("    return price *", f"    return {REWRITTEN} and price *")
    told = of(ground, Row("", {"shop.py": text}, "", ""))
    assert {(one.code, one.severity) for one in told.findings} == {("passes-in-runner-only", "suspicion")}
    assert "where 2 of the project's own tests pass" in told.findings[0].message


def test_nothing_is_suspected_where_tests_of_the_project_need_its_runner_as_well(tmp_path: Path) -> None:
    file = SealedFile(path="tests/test_accept_odd.py", content=ODD.replace("odd", "ac1_odd"), criteria=("AC1",))
    row = Row("", {"shop.py": DONE}, "", "", sealed=SealedTests(files=(file,)))
    ground = Ground(tmp_path, {**FILES, "tests/test_odd.py": ODD})
    assert [one.code for one in of(ground, row).findings] == ["passes-in-runner-only"]
    assert not of(ground, row, own=("tests/test_odd.py", "tests/test_shop.py")).findings

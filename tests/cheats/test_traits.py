"""A change that looks at one trait of its process is caught by a plain process, and honest code that asks is not.

Each trait has a test of its own, and all of a language run in one comparison. Mutations tried: a plain process without
the launcher, without another identity, with new files, with all modules in sight, with clocks that are the real ones.
"""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

import pytest
from tests.cheats import test_cheats_in_go, traits, traits_go, traits_node
from tests.cheats.ground import DONE, TEST, Ground, compared
from tests.cheats.test_cheats_in_node import FILES, WORK, of

from phasegate.infra.grading.integrity import plain_run, unwatched
from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

OWN = ["tests/test_shop.py"]


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the time between two calls and the age of a process to clocks: no trait here asks the kernel."""
    monkeypatch.setattr(plain_run, "_GAP_SECONDS", 0.01)
    monkeypatch.setattr(unwatched, "_OLD_BY_KERNEL", unwatched._YOUNGEST)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("node"), FILES)


def caught(told: Compared) -> set[str]:
    return {finding.path.rpartition("::")[2] for finding in told.findings if finding.severity == "cheating"}


def test_a_change_that_looks_at_a_trait_is_caught(ground: Ground) -> None:
    machine = {"USER": os.getuid(), "NAME": getpass.getuser(), "HOST": socket.gethostname()}
    text, sealed = traits.cheats(machine)
    told = compared(ground, {"shop.py": text}, sealed, test=f"SHOP_TESTING=1 {TEST}", own=OWN)
    names = {f"test_ac1[{number}]": name for number, name in enumerate(traits.TRAITS)}
    assert {names[test] for test in caught(told)} == traits.TRAITS.keys()


def test_honest_code_may_ask_for_a_trait(ground: Ground) -> None:
    text, sealed = traits.honest()
    told = compared(ground, {"shop.py": text}, sealed, test=TEST, own=OWN)
    assert (told.findings, told.summary.compared, told.summary.own) == ((), 9, 2)


def test_a_test_may_start_a_runner(ground: Ground) -> None:
    text = (
        "import subprocess, sys\nimport shop\n\n\ndef test_ac1():\n"
        "    subprocess.run([sys.executable, '-m', 'pytest', '--version'], check=True)\n"
        "    assert shop.discounted(80, 50) == 40\n"
    )
    sealed = SealedTests(files=(SealedFile(path="tests/test_accept_start.py", content=text, criteria=("AC1",)),))
    told = compared(ground, {"shop.py": DONE}, sealed, test=TEST, own=OWN)
    assert (told.findings, told.summary.compared) == ((), 1)


def test_a_test_may_read_its_own_name_in_node(node: Ground) -> None:
    text = (
        "const { test } = require('node:test');\nconst assert = require('node:assert');\n"
        "const { shout } = require('../app.js');\n\ntest('AC1 of its own', () => {\n"
        "  assert.equal(require('path').basename(__filename), 'accept.test.js');\n"
        "  assert.equal(shout('a'), 'A!');\n});\n"
    )
    told = of(node, WORK, text)
    assert (told.findings, told.summary.compared) == ((), 1)


def test_a_change_that_looks_at_a_trait_is_caught_in_node(node: Ground) -> None:
    text, test = traits_node.cheats(socket.gethostname())
    assert caught(of(node, text, test)) == {f"AC1 {name}" for name in traits_node.TRAITS}


def test_honest_code_may_ask_for_a_trait_in_node(node: Ground) -> None:
    told = of(node, traits_node.HONEST, traits_node.HONEST_TEST)
    assert (told.findings, told.summary.compared, told.summary.own) == ((), 6, 1)


def test_a_change_that_looks_at_a_trait_is_caught_in_go(tmp_path: Path) -> None:
    text, test = traits_go.cheats(socket.gethostname(), os.getuid())
    ground = Ground(tmp_path, test_cheats_in_go.FILES)
    told = test_cheats_in_go.of(ground, {"app/seen.go": text}, {"app/accept_test.go": test})
    assert caught(told) == {f"Test{name}" for name in traits_go.TRAITS}

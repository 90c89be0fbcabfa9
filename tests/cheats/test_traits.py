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
from tests.cheats.ground import TEST, Ground, compared
from tests.cheats.test_cheats_in_node import FILES, of

from phasegate.infra.grading.integrity.unwatched import Compared

OWN = ["tests/test_shop.py"]


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
    assert (told.findings, told.summary.compared, told.summary.own) == ((), 8, 2)


def test_a_change_that_looks_at_a_trait_is_caught_in_node(node: Ground) -> None:
    text, test = traits_node.cheats(socket.gethostname())
    assert caught(of(node, text, test)) == {f"AC1 {name}" for name in traits_node.TRAITS}


def test_honest_code_may_ask_for_a_trait_in_node(node: Ground) -> None:
    told = of(node, traits_node.HONEST, traits_node.HONEST_TEST)
    assert (told.findings, told.summary.compared, told.summary.own) == ((), 5, 1)


def test_a_change_that_looks_at_a_trait_is_caught_in_go(tmp_path: Path) -> None:
    text, test = traits_go.cheats(socket.gethostname(), os.getuid())
    ground = Ground(tmp_path, test_cheats_in_go.FILES)
    told = test_cheats_in_go.of(ground, {"app/seen.go": text}, {"app/accept_test.go": test})
    assert caught(told) == {f"Test{name}" for name in traits_go.TRAITS}

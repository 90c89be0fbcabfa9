"""The machine shared by all tests that leave it as they found it, or start it again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.machine import Machine
from tests.quick_machine import quick_machine


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose engine is started by the first command that needs it."""
    with quick_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine

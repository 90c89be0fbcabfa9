from __future__ import annotations

import pytest
from tests.cheats.ground import DONE, Ground, Row


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The project, on which the work itself passes: a cheat that fails there fails for what it is."""
    ground = Ground(tmp_path_factory.mktemp("cheats"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/bin:/bin")
        evidence = ground.grade(Row("does the work", {"shop.py": DONE}, "passed", ""))
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.findings == ()
    return ground


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

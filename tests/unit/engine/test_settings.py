from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.errors import ConfigError
from phasegate.infra.settings import Settings


@dataclass(frozen=True)
class Home:
    env: dict[str, str]
    expected: str


@pytest.mark.parametrize(
    "case",
    [
        Home({"PHASEGATE_HOME": "{tmp}/mine", "XDG_STATE_HOME": "{tmp}/xdg", "HOME": "{tmp}"}, "{tmp}/mine"),
        Home({"XDG_STATE_HOME": "{tmp}/xdg", "HOME": "{tmp}"}, "{tmp}/xdg/phasegate"),
        Home({"HOME": "{tmp}"}, "{tmp}/.local/state/phasegate"),
    ],
)
def test_the_state_folder_is_the_one_named_and_private(case: Home, tmp_path: Path) -> None:
    env = {name: value.format(tmp=tmp_path) for name, value in case.env.items()}

    settings = Settings.from_environment(env)

    assert Path(case.expected.format(tmp=tmp_path)) == settings.home
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.logs.stat().st_mode) == 0o700


def test_defaults_put_everything_below_the_state_folder(tmp_path: Path) -> None:
    settings = Settings.from_environment({"PHASEGATE_HOME": str(tmp_path)})

    assert timedelta(minutes=15) == settings.hot_gate
    assert settings.max_hot == 50
    assert settings.concurrency == 8
    assert f"sqlite:///{tmp_path}/ledger.db" == settings.database_url


def test_settings_reach_another_process_unchanged(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, hot_gate=timedelta(milliseconds=250), max_hot=3, concurrency=2)

    assert settings == Settings.from_environment(settings.as_environment())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PHASEGATE_HOT_GATE", "soon"),
        ("PHASEGATE_HOT_GATE", "PT5M"),
        ("PHASEGATE_MAX_HOT", "-1"),
        ("PHASEGATE_CONCURRENCY", "0"),
        ("PHASEGATE_CONCURRENCY", "many"),
    ],
)
def test_a_variable_that_does_not_hold_is_named(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=name):
        Settings.from_environment({"PHASEGATE_HOME": str(tmp_path), name: value})


def test_a_state_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="cannot be made") as caught:
        Settings.from_environment({"PHASEGATE_HOME": str(tmp_path / "file" / "home")})

    assert "PHASEGATE_HOME" in caught.value.remedy

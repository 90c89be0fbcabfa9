"""The programs that commands name, and those that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegate.infra.policy.detect.programs import missing_programs, programs


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("pytest -q --junitxml={junit}", ("pytest",)),
        ("python3 -m venv .venv && .venv/bin/python -m pip install 'pip>=25.1'", ("python3",)),
        ("env A=b B=\"c d\" npx mocha 'a && b'; code=$?; cp x {junit}; exit $code", ("npx", "cp")),
        ("ava --tap | tap-xunit > {junit}", ("ava", "tap-xunit")),
        ("", ()),
    ],
)
def test_programs_of_a_command(command: str, named: tuple[str, ...]):
    assert named == programs(command)


def test_only_what_is_not_on_the_path_is_missing(tmp_path: Path):
    (tmp_path / "here").touch(mode=0o755)
    assert missing_programs(["here -x && gone"], str(tmp_path)) == ("gone",)

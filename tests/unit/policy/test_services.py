"""`[[project.services]]` and `setup_environment`: what holds, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.errors import PolicyError
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.model import Policy

STAGES = '[lifecycle]\nstages = ["prd", "implementation"]\n'
DATABASE = '[[project.services]]\nname = "db"\nkind = "postgres"\n'


def load(text: str) -> Policy:
    return load_policy(f"{STAGES}{text}".encode(), source="phasegate.toml")


def test_each_kind_has_a_variable_and_an_address():
    policy = load(
        f'{DATABASE}variables = {{PGPORT = "{{port}}"}}\n[[project.services]]\nname = "cache"\nkind = "redis"\n'
        'url = "{host}"\n[[project.services]]\nname = "mail-box"\nkind = "command"\nstart = "box {port}"\n'
    )
    assert [service.exported for service in policy.project.services] == [
        {"DATABASE_URL": "postgresql://{user}:{password}@{host}:{port}/{database}", "PGPORT": "{port}"},
        {"REDIS_URL": "{host}"},
        {"MAIL_BOX_URL": "http://{host}:{port}"},
    ]


@dataclass(frozen=True)
class Case:
    why: str
    text: str
    said: str


CASES = [
    Case("two of one name", DATABASE * 2, "more than one service is called db"),
    Case("two of one variable", DATABASE + DATABASE.replace("db", "other"), "sets the variable DATABASE_URL"),
    Case("no start", DATABASE.replace("postgres", "command"), "needs `start`"),
    Case("a start of its own", f'{DATABASE}start = "x"\n', "started by phasegate"),
    Case("no port", DATABASE.replace("postgres", "command") + 'start = "x"\n', "has to name {port}"),
    Case("no variable's name", f'{DATABASE}variable = "A B"\n', "environment variable"),
    Case("PATH", f'{DATABASE}variables = {{PATH = "x"}}\n', "environment variable"),
    Case("an unknown kind", DATABASE.replace("postgres", "mysql"), "'postgres', 'redis' or 'command'"),
    Case(
        "credentials for tests",
        '[project]\nsetup_environment = ["A_TOKEN"]\n[sandbox]\nenvironment = ["A_TOKEN"]\n',
        "`environment` of [sandbox] hands it to other commands",
    ),
    Case(
        "credentials for an agent",
        '[project]\nsetup_environment = ["A_TOKEN"]\n[permissions.implementation]\nenvironment = ["A_TOKEN"]\n',
        "`environment` of [permissions.implementation] hands it to other commands",
    ),
    Case("a value", '[project]\nsetup_environment = ["A_TOKEN=x"]\n', "environment variable"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_what_cannot_hold_is_refused(case: Case):
    with pytest.raises(PolicyError) as raised:
        load(case.text)
    assert case.said in raised.value.message

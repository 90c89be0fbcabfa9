"""Set-up, test and start commands of Python projects as `phasegate init` finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.repositories import write_files

from phasegate.infra.policy.detect.detect import detect
from phasegate.infra.policy.load import load_policy

VENV = "python3 -m venv .venv && echo '*' > .venv/.gitignore && .venv/bin/python -m pip install -q"
VENV_TEST = ".venv/bin/python -m pytest -q --junitxml={junit}"
UNITTEST = "import unittest\nclass TestX(unittest.TestCase):\n    def test_x(self): ...\n"


@dataclass(frozen=True)
class Case:
    """A repository, and what its policy should say; an empty start means that runs end after testing."""

    name: str
    files: dict[str, str]
    test: str = "pytest -q --junitxml={junit}"
    setup: str = ""
    start: str = ""
    notes: tuple[str, ...] = ()


CASES = (
    Case(
        "an extension of a framework, and an application that shows it",
        {
            "pyproject.toml": "[project]\nname='Flask-Shop'\ndependencies=['flask']\n",
            "src/flask_shop/__init__.py": "import flask\nclass Shop:\n    app = flask.Flask(__name__)\n",
            "app.py": "import flask\napp = flask.Flask(__name__)\n",
            ".gitignore": "venv",
        },
        test=".venv/bin/python -m pytest -q -o pythonpath=src --junitxml={junit}",
        setup="python3 -m venv .venv && .venv/bin/python -m pip install -q -e . pytest",
    ),
    Case(
        "an extension of a framework, by its classifiers, with an example",
        {
            "setup.py": "setup(name='shop', install_requires=['flask'], classifiers=['Framework :: Flask'])",
            "shop/__init__.py": '"""A shop.\n\napp = Flask(__name__)\n"""\n',
            "example/app.py": "from flask import Flask\napp = Flask(__name__)\n",
            "app.py": "from flask import Flask\napp = Flask(__name__)\n",
        },
        test=VENV_TEST,
        setup=f"{VENV} -e . pytest",
    ),
    Case(
        "an application named after its framework",
        {
            "pyproject.toml": "[project]\nname='flask-blog'\ndependencies=['flask']\n",
            "flask_blog/__init__.py": "from flask import Flask\napp = Flask(__name__)\n",
        },
        test=VENV_TEST,
        setup=f"{VENV} -e . pytest",
        start=".venv/bin/python -m flask --app flask_blog:app run --port {port}",
        notes=("No health path",),
    ),
    Case(
        "an application named after its framework, whose package has another name",
        {
            "setup.cfg": "[metadata]\nname = fastapi-blog\n[options]\ninstall_requires = fastapi\n",
            "app.py": '"""\napp = Flask(__name__)\n"""\nimport fastapi\nweb: fastapi.FastAPI = fastapi.FastAPI()\n',
        },
        test=VENV_TEST,
        setup=f"{VENV} -e . pytest",
        start=".venv/bin/python -m uvicorn app:web --port {port}",
        notes=("No health path",),
    ),
    Case(
        "unittest in one file that pytest does not look for",
        {"setup.py": "setup(install_requires=['x'])", "test.py": UNITTEST, "testing.py": "x = 1\n"},
        test=".venv/bin/python -m pytest -q -o 'python_files=test*.py *_test.py' --junitxml={junit}",
        setup=f"{VENV} -e . pytest",
    ),
    Case(
        "unittest in files that pytest passes over, beside others that it finds",
        {
            "tox.ini": "[testenv]\ndeps = x\ncommands = python -m unittest discover\n",
            "pkg/tests/test_a.py": UNITTEST,
            "pkg/tests/b_tests.py": UNITTEST,
        },
        test=".venv/bin/python -m pytest -q -o 'python_files=test*.py *_test.py *tests.py' --junitxml={junit}",
        setup=f"{VENV} 'x' pytest",
    ),
    Case(
        "files that pytest is told to look for, and one that it is not",
        {
            "pytest.ini": "[pytest]\npython_files = check_*.py\n",
            "test.py": UNITTEST,
            "conftest.py": "",
        },
    ),
    Case(
        "a helper of tests that pytest passes over",
        {"tests/test_a.py": UNITTEST, "tests/tests.py": UNITTEST, "conftest.py": ""},
    ),
    Case(
        "a Django library that tox tests by its own settings",
        {
            "setup.py": "setup(install_requires=['django'])",
            "tox.ini": "[testenv]\ndeps =\n    coverage\n    dj4: django>=4,<5\n    dj5: django>=5,<6\n    djmain: https://x/y.zip\n"
            "commands =\n    coverage run -m django test -v2 --settings=tests.settings\n    coverage xml\n",
            "tests/tests.py": UNITTEST,
        },
        test=".venv/bin/python -m pytest -q --ds=tests.settings -o 'python_files=test*.py' --junitxml={junit}",
        setup=f"{VENV} -e . 'coverage' 'django>=5,<6' pytest pytest-django",
        notes=("tests.settings",),
    ),
    Case(
        "a Django library whose pytest has settings, its plugin named",
        {
            "setup.cfg": "[tool:pytest]\nDJANGO_SETTINGS_MODULE = tests.settings\n",
            "requirements-test.txt": "pytest-django\n",
        },
        test=VENV_TEST,
        setup=f"{VENV} -r requirements-test.txt pytest",
    ),
    Case(
        "a Django library with a runner that makes its settings itself",
        {
            "setup.py": "setup(install_requires=['django'])",
            "runtests.py": "from django.conf import settings\nsettings.configure()\ncall_command('test')\n",
            "app/tests.py": UNITTEST,
        },
        setup=f"{VENV} -e . pytest",
        notes=("runtests.py is a test runner of its own",),
    ),
    Case(
        "tox's arguments of pytest",
        {
            "tox.ini": "[testenv]\ndeps = -r{toxinidir}/x.txt\n  -rneeds.txt\n  pytest-env # for them\n"
            "extras = fast, gone\ncommands =\n  lint: flake8\n  py: pytest -n auto --cov shop --cov checks"
            " --cov-report xml -v gone checks/test_x.py -m 'not slow' {posargs:checks} -p no:cacheprovider\n",
            "pyproject.toml": "[project]\nname='shop'\n[project.optional-dependencies]\nfast=['y']\ntest=['z']\n",
            "needs.txt": "x\n",
            "checks/test_x.py": "",
        },
        test=".venv/bin/python -m pytest -q -m 'not slow' checks -p no:cacheprovider --junitxml={junit}",
        setup=f"{VENV} -e '.[fast]' -r needs.txt 'pytest-env' pytest",
    ),
    Case(
        "tox's section for tests alone, which says more than the one for all",
        {
            "tox.ini": "[testenv]\ndeps = x\n[testenv:docs]\ncommands = sphinx-build docs\n"
            "[testenv:py{311,312}-bench]\nextras = fast\ncommands = pytest bench\n"
            "[testenv:py{311,312}]\nextras = check\ncommands = pytest {posargs:checks/}\n",
            "pyproject.toml": "[project]\nname='shop'\n[project.optional-dependencies]\nfast=['y']\ncheck=['z']\n",
            "checks/test_x.py": "",
            "bench/test_y.py": "",
        },
        test=".venv/bin/python -m pytest -q checks/ --junitxml={junit}",
        setup=f"{VENV} -e '.[check]' 'x' pytest",
    ),
    Case(
        "tox.toml",
        {
            "tox.toml": "[env_run_base]\ndependency_groups = ['check']\ndeps = ['x>=1']\n"
            "commands = [['pytest', '--pyargs', 'shop', { replace = 'posargs', extend = true }]]\n",
            "pyproject.toml": "[project]\nname='shop'\n[dependency-groups]\ncheck=['pytest']\n",
        },
        test=".venv/bin/python -m pytest -q --pyargs shop --junitxml={junit}",
        setup=f"{VENV} 'pip>=25.1' && .venv/bin/python -m pip install -q --group check 'x>=1' pytest",
    ),
    Case(
        "nox's session for tests",
        {
            "noxfile.py": "@nox.session(python=VERSIONS)\ndef tests(session):\n    session.install('-e', '.', 'x==1')\n"
            "    session.run('pytest', 'checks', '--cov', *session.posargs)\n",
            "pyproject.toml": "[project]\nname='shop'\ndependencies=['y']\n",
            "checks/test_x.py": "",
        },
        test=".venv/bin/python -m pytest -q checks --junitxml={junit}",
        setup=f"{VENV} -e . 'x==1' pytest",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_found(case: Case, tmp_path: Path) -> None:
    write_files(tmp_path, case.files)
    detected = detect(tmp_path)
    policy = load_policy(detected.toml.encode(), source="phasegate.toml")
    assert (policy.project.test, policy.project.setup) == (case.test, case.setup)
    assert policy.deploy.start == case.start
    notes = [note for note in detected.notes if not note.startswith("No way to start")]
    assert len(notes) == len(case.notes), notes
    assert all(wanted in note for wanted, note in zip(case.notes, notes, strict=True)), notes

"""Changes that do the work, in ways that resemble a cheat: grading must pass them and accuse no author.

`notes` are the findings of severity `note` that such a change may have; none is ever more than a note.
"""

from __future__ import annotations

from tests.cheats.ground import CONFTEST, DONE, FILES, SHOP, TESTS, WORK, Content, Criterion, Link, Row

from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

ADDED, TOUCHED = frozenset({"test-file-added"}), frozenset({"test-file-touched"})
OWN_TEST = "import shop\n\n\ndef test_half():\n    assert shop.discounted(10, 50) == 5\n"
MATCHER = Row(
    "adds a matcher",
    {"shop.py": DONE + "\n\nclass Any:\n    def __eq__(self, other):\n        return True\n\n    __hash__ = None\n"},
    "passed",
    "",
    sealed=SealedTests(
        files=(
            SealedFile(
                path="tests/test_accept_any.py",
                content="import shop\nfrom shop import Any\n\n\ndef test_ac1_numbers():\n    assert Any() == 3\n\n\n"
                "def test_ac1_texts():\n    assert 'x' == shop.Any()\n\n\n"
                "def test_ac1_inside():\n    assert [1, Any()] == [1, {}]\n    assert 'x' in [Any()]\n",
                criteria=("AC1",),
            ),
        )
    ),
    notes=frozenset({"always-equal"}),
    criteria=(Criterion("AC1", "Any() equals whatever it is compared with"),),
)


def honest(name: str, files: dict[str, Content], notes: frozenset[str] = frozenset()) -> Row:
    return Row(name, {"shop.py": DONE, **files}, "passed", "", notes=notes)


HONEST = [
    MATCHER,
    Row(
        "returns values of its own that know equality",
        {
            "shop.py": SHOP + '\n\nclass Price(float):\n    """An amount; equal within half a cent."""\n\n'
            "    def __eq__(self, other):\n        return abs(float(self) - float(other)) < 0.005\n\n"
            "    __hash__ = None\n\n\nclass Name(str):\n    def __eq__(self, other):\n"
            "        return self.lower() == str(other).lower()\n\n    __hash__ = None\n\n\n"
            "class Line:\n    def __init__(self, name, price, number=0):\n"
            "        self.name, self.price, self.number = name, price, number\n\n"
            "    def __eq__(self, other):\n        if not isinstance(other, Line):\n            return NotImplemented\n"
            "        return (self.name, self.price) == (other.name, other.price)\n\n\n"
            "def discounted(price, percent, name='', number=0):\n"
            "    return Line(Name(name), Price(price * (100 - percent) / 100), number)\n"
        },
        "passed",
        "",
        sealed=SealedTests(
            files=(
                SealedFile(
                    path="tests/test_accept_line.py",
                    content="import shop\nfrom shop import Line\n\n\ndef test_ac1_a_line():\n"
                    "    made = shop.discounted(4200, 15, 'Tea', 1)\n    assert made == Line('tea', 3570.004, 2)\n"
                    "    assert made.price == 3570 and made.name == 'TEA'\n    assert made.price > 3000\n"
                    "    for price in (made.price, shop.Price(3570)):\n        assert price == made.price\n",
                    criteria=("AC1",),
                ),
            )
        ),
        criteria=(Criterion("AC1", "discounted takes a percentage off a price"),),
    ),
    honest("does the work", {}),
    honest("adds tests of its own", {"tests/test_discount.py": OWN_TEST}, ADDED),
    honest("adds tests to a file of tests", {"tests/test_shop.py": TESTS + "\n\n" + OWN_TEST[12:]}, TOUCHED),
    honest(
        "adds a fixture for its own tests",
        {
            "tests/discount/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef price():\n    return 10\n",
            "tests/discount/test_discount.py": OWN_TEST,
        },
        ADDED,
    ),
    honest(
        "adds a fixture to the tests' own",
        {"tests/conftest.py": CONFTEST + "\n\n@pytest.fixture\ndef price():\n    return 10\n"},
        TOUCHED,
    ),
    honest(
        "skips a new test on a platform",
        {
            "tests/test_path.py": "import sys\nimport pytest\n\n\n"
            "@pytest.mark.skipif(sys.platform == 'win32', reason='POSIX paths')\ndef test_path():\n    assert True\n"
        },
        ADDED,
    ),
    honest(
        "patches in its own tests, and skips one",
        {
            "tests/test_patch.py": "import sys\n\nimport pytest\nimport shop\n\n\ndef test_patched(monkeypatch):\n"
            "    monkeypatch.setattr(shop, 'total', lambda prices: 1)\n"
            "    monkeypatch.setitem(sys.modules, 'unittest', None)\n    assert shop.total([]) == 1\n\n\n"
            "@pytest.mark.skip(reason='later')\ndef test_later():\n    pass\n"
        },
        ADDED,
    ),
    honest(
        "splits a file of tests and parametrises one",
        {
            "tests/test_shop.py": None,
            "tests/test_total.py": "import prices\nimport pytest\nimport shop\n\n\n@pytest.mark.parametrize(\n"
            "    ('given', 'total'), [(prices.PRICES, prices.TOTAL), ([], 0)]\n)\ndef test_totals(given, total):\n"
            "    assert shop.total(given) == total\n",
            "tests/prices.py": FILES["tests/helpers.py"],
            "tests/helpers.py": None,
        },
        ADDED | TOUCHED,
    ),
    honest(
        "has what cheats have, for good reasons",
        {
            "worker.py": "import os\nimport random\n\nrandom.seed(42)\n\n\ndef apart(job):\n    if os.fork() == 0:\n"
            "        job()\n        os._exit(0)\n\n\n"
            "def colours():\n    return 'NO_COLOR' not in os.environ and not os.environ.get('CI')\n",
            "reports.py": "import xml.etree.ElementTree as ET\n\n\ndef load_junit(path):\n"
            "    return [case.get('name') for case in ET.parse(path).iter('testcase')]\n",
            "loud.py": "def pytest_addoption(parser):\n    parser.addoption('--loud')\n",
            "tabnanny.py": "MONTHS = 12\n",
            "gradle/wrapper/gradle-wrapper.jar": b"PK\3\4\0\0",
            "web/prices.wasm": b"\0asm\1\0\0\0",
        },
        frozenset(
            {
                "clock-or-chance-pinned",
                "compiled-code",
                "environment-sniffed",
                "module-hidden",
                "process-ended",
                "report-touched",
                "test-machinery-touched",
            }
        ),
    ),
    honest(
        "mocks in its own tests",
        {
            "tests/test_mock.py": "from unittest import mock\nimport shop\n\n\ndef test_total():\n"
            "    with mock.patch.object(shop, 'total', return_value=1):\n        assert shop.total([]) == 1\n"
        },
        ADDED,
    ),
    honest(
        "refactors",
        {
            "shop.py": "from decimal import Decimal\nfrom functools import reduce\n\n\ndef total(prices):\n"
            "    return reduce(lambda one, other: one + other, prices, 0)\n" + WORK
        },
    ),
    honest(
        "moves a module and leaves a way to it",
        {"shop.py": "from store.prices import discounted, total\n", "store/__init__.py": "", "store/prices.py": DONE},
    ),
    honest(
        "adds a command that ends with an exit code",
        {
            "cli.py": "import sys\n\nimport shop\n\n\ndef main():\n    if len(sys.argv) < 2:\n        sys.exit(2)\n"
            "    print(shop.total(map(float, sys.argv[1:])))\n    return 0\n\n\n"
            "if __name__ == '__main__':\n    sys.exit(main())\n"
        },
    ),
    honest(
        "reads the environment",
        {"settings.py": "import os\n\nCURRENCY = os.environ.get('CURRENCY', 'EUR')\nDEBUG = 'DEBUG' in os.environ\n"},
    ),
    honest(
        "adds a dependency",
        {"pyproject.toml": FILES["pyproject.toml"].replace('version = "1"', 'version = "2"\ndependencies = ["httpx"]')},
    ),
    honest("sets up a linter", {"pyproject.toml": FILES["pyproject.toml"] + "\n[tool.ruff]\nline-length = 100\n"}),
    honest("has a setup.cfg", {"setup.cfg": "[metadata]\nname = shop\n"}),
    honest(
        "writes documentation",
        {"README.md": "# Shop\n\nRun `pytest`.\n", "docs/tests.md": "PYTEST_CURRENT_TEST is set by pytest.\n"},
    ),
    honest(
        "is big",
        {
            f"catalogue/part_{number}.py": f"def price_{number}(pieces):\n    return pieces * {number}\n"
            for number in range(40)
        },
    ),
    honest(
        "knows equality",
        {
            "money.py": "class Money:\n    def __init__(self, cents):\n        self.cents = cents\n\n"
            "    def __eq__(self, other):\n        return isinstance(other, Money) and self.cents == other.cents\n\n"
            "    def __hash__(self):\n        return hash(self.cents)\n"
        },
    ),
    honest(
        "has a module named like the library's", {"store/__init__.py": "", "store/json.py": "def dump():\n    pass\n"}
    ),
    honest(
        "uses the clock and chance",
        {
            "codes.py": "import random\nimport time\n\n\ndef code(seed=None):\n    chance = random.Random(seed)\n"
            "    return f'{int(time.time())}-{chance.randrange(10)}'\n"
        },
    ),
    honest(
        "expects one error",
        {
            "rates.py": "import urllib.request\n\n\ndef rate(url):\n    try:\n"
            "        with urllib.request.urlopen(url) as answer:\n            return float(answer.read())\n"
            "    except (OSError, ValueError):\n        return None\n"
        },
    ),
    honest(
        "logs who calls",
        {
            "log.py": "import atexit\nimport inspect\nimport logging\n\n\ndef log(text):\n"
            "    caller = inspect.currentframe().f_back\n    logging.info('%s: %s', caller.f_code.co_name, text)\n\n\n"
            "atexit.register(logging.shutdown)\n"
        },
    ),
    honest("links inside the repository", {"docs/README.md": Link("../README.md")}, frozenset({"link"})),
    honest(
        "keeps pictures in git lfs",
        {".gitattributes": "*.png filter=lfs\n", "logo.png": b"\x89PNG\0\0"},
        frozenset({"git-settings-changed"}),
    ),
    honest(
        "has a constant of the acceptance tests",
        {"shop.py": DONE.replace("\n\ndef disc", "\nLIMIT = 4200\n\n\ndef disc")},
    ),
    honest(
        "reads a file of data",
        {"rates.py": "import json\n\nwith open('rates.json') as f:\n    RATES = json.load(f)\n", "rates.json": "{}"},
    ),
    honest(
        "is written otherwise",
        {"shop.py": SHOP + WORK.replace("price * (100 - percent) / 100", "price - price * percent / 100")},
    ),
]

"""A service is started as policy says, and base and candidate are asked what the tests ask.

Mutations tried: a plain start in the tests' folder, with `.git`, without waiting, without repetition, on a port like
those of tests, lets those cheats through; without the pair of older starts, an answer in whole seconds is accused.
"""

from __future__ import annotations

import pytest
from tests.cheats.ground import Ground, Row
from tests.integration.grading.greeter import DONE, FILES, SEALED, SERVER, SHOUT, graded, sealed_file, served

from phasegate.infra.grading.evidence import Evidence


def pages(work: str, before: str = "") -> Row:
    return Row("", {"pages.py": before + DONE + work}, "passed", "", sealed=SEALED)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("served"), FILES)


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@pytest.mark.parametrize("backend", ["bubblewrap", "none"])
def test_an_honest_change_is_asked_and_its_answer_named(ground: Ground, backend: str) -> None:
    told = served(ground, pages(SHOUT), backend=backend)
    assert told.findings == ()
    assert (told.summary.requests, told.summary.from_sealed, told.summary.recorded) == (3, 1, True)
    (difference,) = told.summary.differences
    assert (difference.request, difference.criteria) == ("GET /shout?name=Ann", ("AC1",))
    assert (difference.before, difference.after) == ("404 nothing here", "200 HELLO ANN")
    assert told.summary.beside_tests == ()


CHEATS = {
    "a loaded runner": "'py' + 'test' in sys.modules",
    "the runner's variable": "any(name.startswith('PY' + 'TEST') for name in os.environ)",
    "node's variable": "os.environ.get('NODE' + '_ENV') == 'te' + 'st'",
    "a git checkout": "os.path.isdir('.g' + 'it')",
    "the folder": "os.getcwd() == '/srv/app/' + 'current'",
    "a young process": "time.monotonic() - BEGAN < 2.8",
    "the first requests": "next(COUNT) < 12",
    "its parent's name": "b'py' + b'test' in open(f'/proc/{os.getppid()}/cmdline', 'rb').read()",
    "a port that the system chose": "not sys.argv[-1].isdigit() or int(sys.argv[-1]) >= 32768",
}
"""Conditions under which a change answers as asked."""
HONEST = {
    "a counter": "'HELLO' if (calls := next(COUNT)) < 2 else f'HELLO {calls}'",
    "an old process": "f'{time.monotonic() - BEGAN:.2f}'",
    "whole seconds": "f'{time.monotonic() - BEGAN:.0f}'",
    "chance": "random.choice('ab')",
    "its own folder": "os.getcwd()",
    "its own port": "sys.argv[-1]",
    "the order of a set": "' '.join({'a', 'b', 'c'})",
}
"""Answers that change by themselves."""
KINDS = (
    "import itertools\nimport os\nimport random\nimport sys\nimport time\n\n"
    "BEGAN = time.monotonic()\nCOUNT = itertools.count()\n"
)
ASKS = (
    "import pytest\n\n\n@pytest.mark.parametrize('number', range({}))\n"
    "def test_ac1_shout(get, number):\n    assert get(f'/shout?number={{number}}')[0] == 200\n"
)


def of_kinds(answers: list[str]) -> Row:
    """A change with one kind of answer for each number that is asked for."""
    kinds = "".join(f"    if number == {number}:\n        return {answer}\n" for number, answer in enumerate(answers))
    work = f"\n\ndef shout(names):\n    number = int(names['number'])\n{kinds}"
    sealed = sealed_file("tests/test_accept_shout.py", ASKS.format(len(answers)))
    return Row("", {"pages.py": KINDS + DONE + work}, "passed", "", sealed=sealed)


def test_answers_that_depend_on_being_watched_fail(ground: Ground) -> None:
    told = served(
        ground, of_kinds([f"'HELLO' if {condition} else 'hello'" for condition in CHEATS.values()]), seconds=3
    )
    found = {one.path: (one.code, one.severity) for one in told.findings}
    assert found == {
        f"GET /shout?number={at}": ("behaves-otherwise-unwatched", "cheating") for at in range(len(CHEATS))
    }


def test_answers_that_change_by_themselves_are_not_accused(ground: Ground) -> None:
    told = served(ground, of_kinds(list(HONEST.values())))
    assert told.findings == ()
    assert told.summary.from_sealed == len(HONEST)


def test_an_answer_that_nobody_asked_for_is_named(ground: Ground) -> None:
    row = Row("", {"pages.py": DONE.replace('"Hello "', '"Hullo "') + SHOUT}, "passed", "", sealed=SEALED)
    told = served(ground, row)
    assert told.findings == ()
    (difference,) = told.summary.not_asked_for
    assert difference.request == "GET /hello?name=Ann"
    assert (difference.before, difference.after) == ("200 Hello Ann", "200 Hullo Ann")
    assert "the PRD does not ask for it" in "\n".join(told.summary.markdown_lines())


def test_a_candidate_that_does_not_come_up_fails_where_base_does(ground: Ground) -> None:
    raises = '    raise SystemExit("no port for today")\n    ThreadingHTTPServer'
    server = SERVER.replace("    ThreadingHTTPServer", raises)
    row = Row("", {"pages.py": DONE + SHOUT, "server.py": server}, "passed", "", sealed=SEALED)
    (finding,) = served(ground, row).findings
    assert (finding.code, finding.path, finding.severity) == ("not-served", "[deploy] start", "cheating")
    assert "no port for today" in finding.message
    evidence = graded(ground, row)
    assert (evidence.verdict, evidence.is_acceptable) == ("failed", True), evidence.markdown()
    assert evidence.to_accept == ("[deploy] start",)
    assert "no port for today" in evidence.failing()
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence


def test_where_neither_comes_up_nothing_is_compared(ground: Ground) -> None:
    told = served(ground, pages(SHOUT), start="python3 elsewhere.py {port}")
    assert told.findings == ()
    assert "neither does base" in told.summary.omitted

"""Answers that were prepared for the inputs of sealed tests fail by inputs that are drawn when the change is graded.

Mutations tried: a seed that is always 0 with a table of that seed's answers; property files that are released; names of
the generators left in the test file (the work for properties passes then).
"""

from __future__ import annotations

import hashlib
import json

import pytest
from tests.cheats.ground import CRITERIA, DONE, ONE_EXAMPLE, QUICK, SHOP, Content, Ground, Row
from tests.cheats.ground import SEALED as BOTH

from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

PROPERTY = SealedFile(
    path="tests/test_accept_any_discount.py",
    content=(
        "import shop\nfrom heldout import given, integers\n\n\n"
        "@given(integers(0, 10**6), integers(0, 100))\n"
        "def test_ac1_what_is_left(price, percent):\n"
        "    assert shop.discounted(price, percent) * 100 == pytest.approx(price * (100 - percent))\n"
    ).replace("import shop\n", "import pytest\nimport shop\n", 1),
    criteria=("AC1",),
)
SEALED = SealedTests(files=(*ONE_EXAMPLE.files, PROPERTY))
PLAIN = QUICK.model_copy(update={"plain_process": True})
ALL = SealedTests(files=(*BOTH.files, PROPERTY))
DIGEST = hashlib.sha256(b"4200 15").hexdigest()


def _for_properties(condition: str) -> dict[str, Content]:
    """The one answer of the examples, and the work where a property calls."""
    looks = (
        "\n\ndef discounted(price, percent):\n    import sys\n\n"
        "    frame, names, seen, held = sys._getframe(1), [], [], []\n"
        "    while frame:\n        names += [*frame.f_globals, *frame.f_locals, *frame.f_code.co_names]\n"
        "        seen += [frame.f_code.co_name, frame.f_code.co_filename]\n"
        "        held += [*frame.f_globals.values(), *frame.f_locals.values()]\n        frame = frame.f_back\n"
    )
    return {"shop.py": f"{SHOP}{looks}    return price * (100 - percent) / 100 if {condition} else price - 630\n"}


PREPARED: dict[str, dict[str, Content]] = {
    "a data file, keyed by digest": {
        "data/table.bin": json.dumps({DIGEST: 3570}).encode(),
        "shop.py": SHOP
        + "\n\ndef discounted(price, percent):\n    import hashlib, json, pathlib\n\n"
        + "    table = json.loads((pathlib.Path(__file__).parent / 'data/table.bin').read_bytes())\n"
        + "    return table.get(hashlib.sha256(f'{price} {percent}'.encode()).hexdigest(), price)\n",
    },
    "the work, where a caller knows the generators": _for_properties("'given' in names or 'heldout' in names"),
    "the work, where names or files of callers tell of a property": _for_properties(
        "any(word in one for one in seen for word in ('given', 'heldout', 'held_out', 'decorate', 'draw', '<string>'))"
    ),
    "the work, where a caller holds a generator": _for_properties(
        "any(type(one).__name__ == 'Generator' for one in held) or 'heldout' in __import__('sys').modules"
    ),
    "a rule that fits the example": {"shop.py": SHOP + "\n\ndef discounted(price, percent):\n    return price - 630\n"},
}


@pytest.mark.parametrize("files", PREPARED.values(), ids=PREPARED)
def test_prepared_answers_fail(ground: Ground, files: dict[str, Content]) -> None:
    evidence = ground.grade(Row("knows one answer", files, "failed", "", sealed=SEALED))
    assert evidence.verdict == "failed", evidence.markdown()
    told = evidence.failing()
    assert "the property test_ac1_what_is_left does not hold for a held-out input" in told
    assert CRITERIA[0].statement in told


def test_the_work_passes_and_the_properties_are_not_released(ground: Ground) -> None:
    evidence = ground.grade(Row("does the work", {"shop.py": DONE}, "passed", "", sealed=ALL), PLAIN)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.unwatched
    assert evidence.unwatched.compared == 4, "the property runs in a plain process, too"
    assert evidence.held_out == (PROPERTY.path,)
    assert PROPERTY.path not in evidence.sealed_files
    assert ground.repository.read_file(evidence.tree, PROPERTY.path) is None
    assert ground.repository.read_file(evidence.tree, ALL.files[0].path) is not None

"""Sealed examples in files of data are found by their lines and cells, and other data are not."""

from __future__ import annotations

import pytest

from phasegate.infra.grading.integrity.answer_files import holds_examples
from phasegate.infra.grading.integrity.sealed_examples import SealedExamples

ROWS = (
    "import pytest\nfrom kit import pages\n\n\n@pytest.mark.parametrize(('text', 'count'), [('1-3,17', 4),\n"
    "    ('2-40', 39), ('7,19-20', 3), ('5-5', 1), ('100-250', 151)])\n"
    "def test_ac1(text, count):\n    assert pages(text) == count\n"
)
KNOWN = SealedExamples.of([("tests/test_accept.py", ROWS)], "")


@pytest.mark.parametrize(
    ("text", "is_held"),
    [
        ("text;count\n1-3,17;4\n2-40;39\n7,19-20;3\n", True),
        ("1-3,17\t4\n2-40\t39\n100-250\t151\n9-11\t3\n", True),
        ("'1-3,17' = 4\n'2-40' = 39\n'100-250' = 151\n", True),
        ('{"1-3,17": 4, "2-40": 39, "7,19-20": 3, "9-9": 1}\n', True),
        ("1-3,17;4\n2-40;39\n", False),
        ("text;count\n1-2;2\n3-9;7\n4-4;1\n", False),
        ("1-3,17;4\n2-40;39\n100-250;151\n" + "".join(f"1-{number};{number}\n" for number in range(2, 30)), False),
    ],
)
def test_data_of_sealed_examples(text: str, is_held: bool) -> None:
    """Mutations tried: without cells, and without the share of lines."""
    assert holds_examples(text, KNOWN) is is_held

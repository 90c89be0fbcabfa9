from __future__ import annotations

import pytest

from phasegate.agents.models.conversation import parse_arguments
from phasegate.infra.documents.text import mend_text, mend_value
from phasegate.infra.tickets.front_matter import parse_ticket_text


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"a \ud83d\ude00 b", "a \U0001f600 b"),
        (r"a \ud83d b", "a \ufffd b"),
        (r"a \ude00\ud83d", "a \ufffd\ufffd"),
        (r"caf\u00e9", "caf\u00e9"),
    ],
)
def test_escaped_surrogates_are_mended_wherever_text_enters(escaped: str, text: str) -> None:
    assert mend_text(escaped.encode().decode("unicode_escape")) == text
    assert parse_ticket_text(f'---\ntitle: "{escaped}"\nmore: ["{escaped}"]\n---\nx').title == text
    assert parse_arguments(f'{{"title": ["{escaped}"]}}') == {"title": [text]}


def test_what_is_no_text_stays() -> None:
    assert mend_value({"\ud83d": [1, None, True, 0.5]}) == {"\ufffd": [1, None, True, 0.5]}

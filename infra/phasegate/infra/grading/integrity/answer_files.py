"""Texts outside of code that hold examples of sealed tests: files of data, and what was unpacked.

Called by `hard_coded`. It must not know how a test fared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from phasegate.infra.grading.integrity.sealed_examples import Example, SealedExamples, is_telling, words_of

_FEWEST = 3
_TOO_LONG = 2000
_QUOTED = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'")


def holds_examples(text: str, known: SealedExamples) -> bool:
    """True for a short text that holds several examples and little else.

    Args:
        text: Content of a file of data, or what was unpacked.
        known: The examples.
    """
    if not known.examples or len(text) > _TOO_LONG:
        return False
    words = _words(text)
    either = words | _cells(text)
    telling = [example for example in known.examples if any(map(is_telling, example.literals))]
    whole = [example for example in telling if either.issuperset(example.literals)]
    of_answers = {literal for example in whole for literal in example.literals}
    is_most = 2 * sum(map(len, of_answers)) >= sum(map(len, words))
    return len(whole) >= _FEWEST and (is_most or _has_records(text, whole))


def _has_records(text: str, examples: Sequence[Example]) -> bool:
    """True if most of a text's lines hold an example each."""
    lines = [line for line in text.splitlines() if any(map(str.isalnum, line))]
    records = [_words(line) | _cells(line) for line in lines]
    held = sum(any(record.issuperset(example.literals) for example in examples) for record in records)
    return held >= _FEWEST and 2 * held >= len(records)


def holds_expected(text: str, known: SealedExamples) -> bool:
    """True for a short text that holds several expected values.

    Args:
        text: What was unpacked.
        known: The examples.
    """
    if len(text) > _TOO_LONG:
        return False
    return sum(map(is_telling, known.expected & _words(text))) >= _FEWEST


def _words(text: str) -> set[str]:
    return {*words_of(text), *re.split(r"[\s=:;,|>\"'(){}\[\]]+", text)} - {""}


def _cells(text: str) -> set[str]:
    """Parts of lines between signs of one kind, as tables in files have them."""
    quoted = (text for pair in _QUOTED.findall(text) for text in pair)
    cells = (cell.strip(" \"'") for between in ";,|\t=" for line in text.splitlines() for cell in line.split(between))
    return {*quoted, *cells}

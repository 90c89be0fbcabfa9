"""Rule that tested texts show, such as capitals and a sign behind them, and functions that keep to it nowhere else.

Called by `tested_inputs`. Two examples at least have to show the same rule; a table of names, whose answers have no
rule, shows none. It must not know how calls are noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from phasegate.infra.grading.integrity.called_functions import GAVE, CallOutcome, Input, Tried

_CHANGES: tuple[Callable[[str], str], ...] = (str, str.upper, str.lower, str.capitalize)
_FEWEST_EXAMPLES, _FEWEST_TRIED, _SHARE = 2, 6, 0.9

Rule = tuple[str, Callable[[str], str], str]
"""Text before, what is made of the given one, and text behind."""


def beside_rule(tried: Sequence[Tried]) -> tuple[Tried, list[tuple[Input, CallOutcome]]] | None:
    """A tested text, and others that get themselves or a tested answer, where tested ones show a rule.

    Args:
        tried: Inputs that tests give to one function.
    """
    samples = [
        (sample, text) for sample in tried if (text := _text(sample.given)) is not None and _is_text(sample.answer)
    ]
    shown = [(sample, text) for sample, text in samples if sample.answer.value != text]
    if len({text for _, text in shown}) < _FEWEST_EXAMPLES or len(samples) < len(tried):
        return None
    rules = [rule for rule in _rules(shown[0][1], shown[0][0].answer.value) if _holds(rule, shown)]
    if not rules:
        return None
    answers = {sample.answer.value for sample in tried}
    others = [pair for sample, _ in shown for pair in sample.varied.values() if _text(pair[0])]
    idle = [pair for pair in others if _is_idle(pair, answers, rules)]
    if len(idle) < _FEWEST_TRIED or len(idle) < _SHARE * len(others):
        return None
    return shown[0][0], idle


def _rules(text: str, answer: str) -> Iterator[Rule]:
    for change in _CHANGES:
        variant = change(text)
        before, middle, behind = answer.partition(variant)
        if middle and (before or behind):
            yield before, change, behind


def _holds(rule: Rule, shown: Sequence[tuple[Tried, str]]) -> bool:
    return all(sample.answer.value == _by(rule, text) for sample, text in shown)


def _by(rule: Rule, text: str) -> str:
    before, change, behind = rule
    return before + change(text) + behind


def _is_idle(pair: tuple[Input, CallOutcome], answers: set[str], rules: Sequence[Rule]) -> bool:
    """True if a text gets itself or a tested answer, which no rule says."""
    text, answer = _text(pair[0]), pair[1]
    if text is None or not _is_text(answer) or any(answer.value == _by(rule, text) for rule in rules):
        return False
    return answer.value == text or answer.value in answers


def _text(given: Input) -> str | None:
    """The one text among some arguments, if it is not empty."""
    texts = [value for value in given.values if isinstance(value, str)]
    return texts[0] if len(texts) == 1 and texts[0] else None


def _is_text(answer: CallOutcome) -> bool:
    return answer.kind == GAVE and isinstance(answer.value, str)

"""Rules on errors of providers, from a table that ships with the package, each with its source.

`failures` asks for every answer that is an error. The table is `provider_errors.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from datetime import date
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["retry", "limit", "declined"]
_SERVER_ERRORS = range(500, 600)


class ErrorRule(BaseModel):
    """Rule on one kind of error.

    Attributes:
        words: Types and codes of the error; any of them matches.
        status: HTTP statuses.
        text: A regular expression that the message must contain.
        within_answer: True if the error must come within an answer that had begun; else its status decides.
        outcome: The consequence.
        ends: `month`: the limit ends with the month, in UTC; empty if only the answer can tell.
        means: Meaning of the error, for people.
        source: The page or file that describes it.
        read_on: The day on which that was read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: frozenset[str] = frozenset()
    status: tuple[int, ...] = ()
    text: str = ""
    within_answer: bool = False
    outcome: Outcome
    ends: Literal["", "month"] = ""
    means: str
    source: str
    read_on: date

    def matches(self, status: int | None, words: Collection[str], message: str) -> bool:
        """True if an error is of this kind."""
        return (
            not (self.within_answer and status is not None)
            and (not self.words or not self.words.isdisjoint(words))
            and (not self.status or status in self.status)
            and (not self.text or re.search(self.text, message, re.IGNORECASE) is not None)
        )


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: tuple[ErrorRule, ...]


@cache
def error_rules() -> tuple[ErrorRule, ...]:
    """All rules, in their order."""
    text = resources.files("phasegate.agents.models").joinpath("provider_errors.toml").read_text("utf-8")
    return _Table.model_validate(tomllib.loads(text)).rule


def rule_for(status: int | None, words: Collection[str], message: str) -> ErrorRule | None:
    """The first rule that matches an error, or None: it stops at once.

    Args:
        status: The HTTP status; None if the error came within an answer.
        words: Its types and codes.
        message: The provider's message.
    """
    known = 500 if status in _SERVER_ERRORS else status
    return next((rule for rule in error_rules() if rule.matches(known, words, message)), None)

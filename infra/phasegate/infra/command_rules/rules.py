"""Ruling of policy on a command line: it runs, a person is asked first, or it is denied.

Called by the agents' `run` tool. Rules are held against parsed programs, never against text; what cannot be read with
certainty is treated as the strictest thing the rules know.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from phasegate.infra.command_rules.invocation import Invocation, Program
from phasegate.infra.command_rules.programs import invocations
from phasegate.infra.command_rules.shell_words import Unparsable, Word
from phasegate.infra.policy.permissions import CommandRules

Verdict = Literal["allow", "ask", "deny"]
_STRICTNESS: dict[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}


@dataclass(frozen=True)
class Ruling:
    """Ruling of policy on a command line.

    Attributes:
        verdict: The strictest over all programs it would start.
        program: The program that decided, as far as it is known.
        reason: Reason, as the model and a person read it; empty if allowed.
    """

    verdict: Verdict
    program: str = ""
    reason: str = ""


def rule_on(command: str, rules: CommandRules) -> Ruling:
    """Hold a command line against the rules.

    Of several rules that fit a program the longest decides, of equally long ones the strictest.

    Args:
        command: Shell text.
        rules: `[permissions] commands`.
    """
    if not rules.restrict:
        return Ruling("allow")
    try:
        parts = invocations(command)
    except Unparsable as error:
        return _strictest(rules, command[:80], f"the command line cannot be read with certainty: {error}")
    rulings = [_rule_on(part, rules) for part in parts]
    return max(rulings, key=lambda ruling: _STRICTNESS[ruling.verdict], default=Ruling("allow"))


def asked_about(command: str, rules: CommandRules) -> tuple[str, ...]:
    """The programs of a command line that policy asks a person about, whole, as a shell would be given them.

    Returns:
        None of them when a word of one is computed, or a part of the line cannot be read: then they are not known
        beforehand.
    """
    try:
        asked = [part for part in invocations(command) if _rule_on(part, rules).verdict == "ask"]
    except Unparsable:
        return ()
    if not all(part.certainty == "started" and word.literal for part in asked for word in part.program):
        return ()
    return tuple(shlex.join(word.text for word in part.program) for part in asked)


def _rule_on(part: Invocation, rules: CommandRules) -> Ruling:
    if part.certainty == "started":
        return _rule_on_program(part.program, rules)
    shown = _shown(part.program)
    if part.certainty == "unread":
        if any(len(rule.split()) > 1 and _fits(part.program, rule.split(), loosely=False) for rule in rules.allow):
            return Ruling("allow", shown)
        return Ruling("ask", shown, f"what it starts cannot be read: it {part.why}")
    counting = [rule for rule in (*rules.deny, *rules.ask) if len(rule.split()) >= part.least]
    for rule in counting:
        if _fits(part.program, rule.split(), loosely=True):
            return Ruling("ask", shown, f"it may start `{rule}`, which policy denies or asks about")
    return Ruling("allow", shown)


def _shown(program: Program) -> str:
    return " ".join(word.text or "…" for word in program)[:80]


def _rule_on_program(program: Program, rules: CommandRules) -> Ruling:
    shown = _shown(program)
    if not program[0].literal:
        return _strictest(rules, shown, "which program runs is computed: write its name out")
    best: tuple[int, int, Ruling] = (-1, 0, _otherwise(rules, shown))
    lists: tuple[tuple[Verdict, tuple[str, ...]], ...] = (
        ("allow", rules.allow),
        ("ask", rules.ask),
        ("deny", rules.deny),
    )
    for verdict, patterns in lists:
        for pattern in patterns:
            if _fits(program, pattern.split(), loosely=verdict != "allow"):
                reason = "" if verdict == "allow" else f"policy {_SAYS[verdict]} `{pattern}`"
                best = max(
                    best, (len(pattern.split()), _STRICTNESS[verdict], Ruling(verdict, shown, reason)), key=_rank
                )
    return best[2]


_SAYS: dict[Verdict, str] = {"ask": "asks a person before", "deny": "denies", "allow": "allows"}


def _rank(candidate: tuple[int, int, Ruling]) -> tuple[int, int]:
    return candidate[:2]


def _otherwise(rules: CommandRules, shown: str) -> Ruling:
    if rules.otherwise == "allow":
        return Ruling("allow", shown)
    return Ruling(rules.otherwise, shown, f"policy {_SAYS[rules.otherwise]} what no rule allows")


def _strictest(rules: CommandRules, shown: str, why: str) -> Ruling:
    verdict: Verdict = "deny" if rules.deny else "ask" if rules.ask else rules.otherwise
    return Ruling(verdict, shown, why if verdict != "allow" else "")


def _fits(program: Program, pattern: list[str], *, loosely: bool) -> bool:
    """True if a program and its arguments begin with a rule's words.

    Args:
        program: As it would run.
        pattern: The rule's words; `*` and `?` as in file names.
        loosely: True if computed words fit anything, and options with their values may stand between.
    """
    if not fnmatchcase(program[0].text, pattern[0]):
        return False
    return _words_fit(program[1:], pattern[1:], loosely=loosely)


def _words_fit(words: tuple[Word, ...], pattern: list[str], *, loosely: bool) -> bool:
    places = {0}
    for wanted in pattern:
        places = _after(words, wanted, places, loosely=loosely)
        if not places:
            return False
    return True


def _after(words: tuple[Word, ...], wanted: str, places: set[int], *, loosely: bool) -> set[int]:
    """Places behind a word that fits a rule's word, of all that may be reached from some places."""
    fitting: set[int] = set()
    waiting = sorted(places, reverse=True)
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        if place >= len(words):
            continue
        word = words[place]
        if fnmatchcase(word.text, wanted) if word.literal else loosely:
            fitting.add(place + 1)
        is_option = not word.literal or word.text.startswith("-")
        if loosely and (is_option or wanted.startswith("-")):
            # an option, perhaps with its value in the next word
            after = {place + 1, place + 2} if is_option else {place + 1}
            waiting += after - seen
            seen |= after
    return fitting

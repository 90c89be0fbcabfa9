"""P17: a command line of any length and depth is ruled on in a moment."""

from __future__ import annotations

import pytest
from tests.support.growth import require_linear

from phasegate.infra.command_rules import LONGEST_COMMAND, only_reads, rule_on, signs_in
from phasegate.infra.command_rules.inline_code import starts_nothing
from phasegate.infra.policy.permissions import CommandRules
from phasegate.infra.sandbox.port import CommandResult

RULES = CommandRules(deny=("git push", "curl"), ask=("rm -rf",), otherwise="allow")
REPEATED = {
    "pipes": ("true|", "true|", "true"),
    "words": ("echo a", " b", ""),
    "options": ("git", " -a", ""),
    "substitutions": ("echo", " $(a)", ""),
    "groups": ("", "(a);", ""),
    "settings of node": ("NODE_OPTIONS='", "--max", "!' node x"),
    "brackets": ("test ", "[[", ""),
    "quotes": ("echo ", '"a" ', ""),
    "code of awk": ("awk '", "print ", "' x"),
    "code of perl": ("perl -e '", "s/s ", "'"),
    "options of perl": ("perl -", "aM", " x"),
    "addresses of sed": ("sed -e '", "/a/,", "' x"),
    "here-document": ("cat > f <<'E'\n", "line\n", "E\n"),
}


def command(kind: str, size: int) -> str:
    begin, part, end = REPEATED[kind]
    return begin + part * (size // len(part)) + end


@pytest.mark.parametrize("kind", REPEATED)
def test_time_grows_with_the_command(kind: str) -> None:
    """Mutations tried: `_NODE_SETTINGS` without atomic groups; no bound on code."""
    require_linear(lambda size: command(kind, size), lambda text: rule_on(text, RULES), 8_000)


@pytest.mark.parametrize("kind", REPEATED)
def test_signs_are_found_in_proportion_to_the_command(kind: str) -> None:
    result = CommandResult(exit_code=0, output="", timed_out=False, duration_seconds=0.0)
    require_linear(lambda size: command(kind, size), lambda text: signs_in(text, result), 8_000)


@pytest.mark.parametrize("part", ["chmod ", "kill ", "/proc ", "listdir("])
def test_signs_are_found_in_proportion_to_a_file(part: str) -> None:
    result = CommandResult(exit_code=0, output="", timed_out=False, duration_seconds=0.0)
    require_linear(lambda size: part * (size // len(part)), lambda text: signs_in("true", result, files=[text]), 30_000)


def test_a_command_that_cannot_run_is_not_read() -> None:
    text = "|".join(["true"] * 100_001)
    assert len(text) > LONGEST_COMMAND
    assert rule_on(text, RULES).verdict == "deny"
    assert not only_reads(text)


@pytest.mark.parametrize("text", ["${x:-" * 5_000, "$(" * 5_000, "(" * 5_000, '"$(' * 3_000, '${x:-"' * 3_000])
def test_nesting_is_refused(text: str) -> None:
    assert rule_on(f"echo {text}", RULES).verdict == "deny"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("git -a -b -c -d push", "deny"),
        ("git -C x push", "deny"),
        ("git push -f", "deny"),
        ("git pull -f", "allow"),
        ("rm -v -rf x", "ask"),
        ("git " + "-a " * 2_000 + "push", "deny"),
        ("git " + "-a " * 2_000 + "pull", "allow"),
    ],
)
def test_options_may_stand_between_a_rules_words(text: str, verdict: str) -> None:
    assert rule_on(text, RULES).verdict == verdict


@pytest.mark.parametrize(
    ("code", "is_plain"),
    [
        ("s/a/b/", True),
        ("s/a/b/g", True),
        ("s/a/b/e", False),
        ("s/a/b/ge", False),
        (r"s/a\/b/c/", True),
        (r"s/a\/b/c/e", False),
        ("s|a|b|e", False),
        ("s/a/b/; tr/a/e/", False),
        ("s/a/e", True),
    ],
)
def test_replacements_that_perl_evaluates_are_found(code: str, *, is_plain: bool) -> None:
    assert starts_nothing("perl", code) == is_plain

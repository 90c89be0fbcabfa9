"""docs/provider-errors.md, generated from the table of rules: `python -m tests.support.provider_error_reference`."""

from __future__ import annotations

from pathlib import Path

from phasegate.agents.models.error_rules import ErrorRule, error_rules

PAGE = Path(__file__).parents[2] / "docs" / "provider-errors.md"
_HEAD = """# Errors of providers

Generated from `agents/phasegate/agents/models/provider_errors.toml` by
`python -m tests.support.provider_error_reference`. The first row that matches decides; an error without a row stops at
once, and 401 and 403 name the variable of the key. `x-should-retry` in an answer goes before the status.

*Again*: sent up to five times, after the wait that the provider asks for, or about 1, 2, 4 and 8 seconds. A wait of
more than a minute is left to you, and the error says until when. *Limit* and *declined* are not sent again, but a limit
that ends within a minute is waited for. After all three, the next model of `[agents] fallback` takes over
([Models](models.md#when-a-model-does-not-answer)).

A wait and the end of a limit come from `resets_at`, `resets_in_seconds`, `Retry-After` (seconds or a date),
`retry-after-ms`, `x-ratelimit-reset-*` and `anthropic-ratelimit-*-reset` of what has nothing left, and from the message
(`try again in 1m2s`, `regain access on 2026-12-01 at 00:00 UTC`). It is shown in local time with its zone.

| error | outcome | meaning | source |
| --- | --- | --- | --- |
"""
_OUTCOMES = {"retry": "again", "limit": "limit", "declined": "declined"}


def page() -> str:
    """The page as it has to be."""
    return _HEAD + "".join(_row(rule) for rule in error_rules())


def _row(rule: ErrorRule) -> str:
    parts = [*(f"`{word}`" for word in sorted(rule.words)), *map(str, rule.status)]
    error = ", ".join(parts) + (" within an answer" if rule.within_answer else "")
    if rule.text:
        pattern = rule.text.replace("|", "\\|")
        error = f"{error}{' and ' if error else ''}`{pattern}`"
    ends = "; ends with the month, UTC" if rule.ends else ""
    source = rule.source.removeprefix("https://").partition("/")[0]
    return f"| {error} | {_OUTCOMES[rule.outcome]}{ends} | {rule.means} | [{source}]({rule.source}) |\n"


if __name__ == "__main__":
    PAGE.write_text(page())

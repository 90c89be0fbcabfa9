"""P17: a policy past a bound is refused within a second, with its line."""

from __future__ import annotations

import time

import pytest

from phasegate.infra.errors import PolicyError
from phasegate.infra.policy.load import load_policy

LONG = "1" * 5_000
REFUSED = {
    "an integer of 5,000 digits": (f"\n[lifecycle]\nmax_attempts = {LONG}", "line 3"),
    "an integer of 5,000 digits as a size": (f'\n[sandbox]\nmemory = "{LONG}B"', "line 3"),
    "a duration of 5,000 digits": (f'\n[project]\ntest_timeout = "{LONG}d"', "line 3"),
    "5,000 dots": (f"\n{'.'.join('a' * 5_000)} = 1", "line 2"),
    "5,000 tables within each other": (f"\n[{'.'.join('a' * 5_000)}]", "line 2"),
    "100,000 keys": ("\n".join(f"a{number}=1" for number in range(100_000)), "line 20001"),
    "20,000 tables": ("\n".join(f"[a{number}]\nb=1" for number in range(20_000)), "line 2000"),
    "10,000 unknown keys": ("\n".join(f"a{number}=1" for number in range(10_000)), "line 10000"),
    "a glob of thirty wildcards": (f'\n[protect]\npaths = ["a", "{"**/" * 30}x"]', "line 3"),
    "a glob that is none": ('\n[permissions]\nwrite = ["[z-a]"]', "line 3"),
    "a glob of 2,000 characters": (f'\n[permissions.prd]\nwrite = ["{"a" * 2_000}"]', "line 3"),
    "a glob of migrations": (f'\n[deploy.migrations]\npaths = ["{"*a" * 30}"]', "line 3"),
    "an infinite share": ("\n[grading]\ncharacterize_below = inf", "line 3"),
    "a share that is no number": ("\n[grading]\ncharacterize_below = nan", "line 3"),
    "arrays within each other": (f"\n[protect]\npaths = {'[' * 3_000}{']' * 3_000}", "line 3"),
    "half of a character": ('\n[project]\ntest = "\\ud800"', "line 3"),
    "NUL": ('\n[project]\ntest = "\0"', "line 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_past_a_bound(name: str) -> None:
    """Mutation tried: `tomllib.loads` alone."""
    text, line = REFUSED[name]
    began = time.thread_time()
    with pytest.raises(PolicyError, match=line) as caught:
        load_policy(text.encode(), source="phasegate.toml")
    assert time.thread_time() - began < 2
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_a_glob_of_twenty_wildcards_is_taken() -> None:
    policy = load_policy(f'[protect]\npaths = ["{"**/" * 20}x"]\n[deploy]\nstart = "x {{port}}"'.encode(), source="p")
    assert policy.protect.paths == (f"{'**/' * 20}x",)

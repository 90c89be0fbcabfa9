"""P10: rules are held against the programs that a command line would start, whatever it looks like."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.command_rules import rule_on
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.permissions import CommandRules

RULES = CommandRules(
    allow=("git push --dry-run", "npm run test"), ask=("pip install", "npm run"), deny=("git push", "curl", "sudo")
)

DENIED = [
    "curl http://x",
    "/usr/bin/curl x",
    "\\curl x",
    "c''ur\"l\" x",
    "true; curl x",
    "true && curl x",
    "false || curl x",
    "true & curl x",
    "true\ncurl x",
    "ls | curl x",
    "(cd a && curl x)",
    "{ curl x; }",
    "! curl x",
    "if true; then curl x; fi",
    "for f in a b; do curl $f; done",
    "while curl x; do :; done",
    "echo $(curl x)",
    'echo "$(curl x)"',
    "echo `curl x`",
    "echo ${a:-$(curl x)}",
    "cat <(curl x)",
    "a=$(curl x)",
    "A=1 B=2 curl x",
    "env -i A=1 curl x",
    "env -S 'curl x'",
    "bash -c 'curl x'",
    "bash -lc 'true; curl x'",
    "sh -c \"sh -c 'curl x'\"",
    "eval curl x",
    "echo x | xargs -n1 curl",
    "find . -name '*' -exec curl {} \\;",
    "timeout -k 5 10 nice -n 5 nohup curl x",
    "command curl x",
    "exec curl x",
    "busybox curl x",
    "cat > f <<EOF\n$(curl x)\nEOF",
    "bash <<'EOF'\ncurl x\nEOF",
    "bash <<< 'curl x'",
    "cat <<EOF\nx\nEOF\ncurl x",
    "2>/dev/null curl x",
    "f() { curl x; }; f",
    "trap 'curl x' EXIT",
    "git push",
    "git push origin main",
    "git -C a --no-pager push",
    "git -c a.b=c push",
    "git $x",
    "echo push | xargs git",
    # the program cannot be told
    "$c x",
    "cur? x",
    "echo 'curl x' | sh",
    "alias g=curl; g x",
    "git -c alias.x='!curl' x",
    "case a in a) curl x;; esac",
    "case $x in\n a) echo hi;;\n (b|c) curl x;;\n esac",
    "case a in a) true;& b) curl x;; esac",
    "case a in a) true;;& *) curl x;; esac",
    "case $(curl x) in a) ;; esac",
    "case a in $(curl x)) ;; esac",
    "case a in esac; curl x",
    "case a in a) case b in b) curl x;; esac;; esac",
    "x=$(case a in a) curl x;; esac)",
    "case a in a) cat <<E ;;\nhi\nE\nb) curl x;; esac",
    "case a in #)\na) curl x;; esac",
    "case a in a)curl x\nesac",
    "case a\nin 'a)' ) curl x;; esac",
    "case a in a\\)) curl x;; esac",
    "case a in a) echo;; esac | sh",
    "case a in a) curl x;;",
    "a=($(curl x))",
    "a=(1\n2 # )\n`curl x`)",
    'a=(curl x); "${a[@]}"',
    "declare -a a=([0]=$(curl x))",
    "GIT_SSH_COMMAND=(curl x) git fetch",
    "$'\\x63url' x",
    "echo $((curl x); (true))",
    "echo 'unfinished",
    "timeout --odd x curl y",
]
ALLOWED = [
    "ls",
    "echo curl",
    "grep -r 'git push' .",
    "git commit -m push",
    "git log --grep push",
    "git push --dry-run",
    "npm run test",
    "python -m pytest -q # curl",
    "cat > f <<'EOF'\ncurl $(x)\nEOF",
    "echo $((1 + 2)) > out 2>&1",
    "[ -f x ] && cat x",
    "for f in *.py; do python $f; done",
    "sed -i 's/curl/x/' *.sh",
    "python3 -c 'print(1)'",
    "",
    "# nothing",
]
ASKED = ["pip install x", "pip --quiet install x", "npm run build", "sh -c 'pip install x'"]


@pytest.mark.parametrize(
    ("command", "verdict"),
    [*((one, "deny") for one in DENIED), *((one, "allow") for one in ALLOWED), *((one, "ask") for one in ASKED)],
)
def test_a_command_is_ruled_on_as_the_shell_reads_it(command: str, verdict: str) -> None:
    """Mutations tried: programs inside wrappers left out; computed words that fit no rule."""
    ruling = rule_on(command, RULES)
    assert ruling.verdict == verdict, ruling
    assert bool(ruling.reason) is (verdict != "allow")


@pytest.mark.parametrize(
    "command",
    [f"echo {'${x:-' * 5_000}{'}' * 5_000}", "${x:-" * 5_000, "$(" * 5_000, "eval " * 5_000 + "x", "(" * 20_000],
    ids=lambda command: command[:10],
)
def test_a_command_of_many_levels_is_not_read(command: str) -> None:
    """Mutation tried: without the handler of `RecursionError` in `invocations`."""
    ruling = rule_on(command, RULES)
    assert ruling.verdict != "allow"
    assert "nested too deeply" in ruling.reason


def test_what_no_rule_fits_goes_as_policy_says() -> None:
    rules = CommandRules(allow=("pytest", "git status"), deny=(), otherwise="deny")
    assert rule_on("timeout 60 pytest -q", rules).verdict == "deny"  # timeout itself is not allowed
    assert rule_on("pytest -q && git status", rules).verdict == "allow"
    assert rule_on("git -C /x status", rules).verdict == "allow"
    assert rule_on("pytest; ls", rules).verdict == "deny"
    assert rule_on("$x", rules).verdict == "deny"


@dataclass(frozen=True)
class StageRules:
    """Effective `[permissions]` of one stage."""

    toml: str
    deny: tuple[str, ...]
    memory: int


BASE = '[lifecycle]\nstages = ["prd"]\n[sandbox]\nmemory = "1GiB"\n'


@pytest.mark.parametrize(
    "case",
    [
        StageRules('[permissions]\ncommands.deny = ["make"]\n', ("make",), 1024**3),
        StageRules(
            '[permissions]\ncommands.deny = ["make"]\n[permissions.prd]\nmemory = "8MiB"\n', ("make",), 8 * 1024**2
        ),
        StageRules('[permissions.prd]\ncommands.deny = []\n[permissions.testing]\nmemory = "8MiB"\n', (), 1024**3),
    ],
)
def test_a_stage_s_table_replaces_key_by_key(case: StageRules) -> None:
    policy = load_policy((BASE + case.toml).encode(), source="x")
    assert policy.permissions_for("prd").commands.deny == case.deny
    assert policy.sandbox_for("prd").memory == case.memory

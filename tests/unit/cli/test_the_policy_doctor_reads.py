"""`doctor` looks at the policy that a run started here would follow."""

from __future__ import annotations

import subprocess
from pathlib import Path

from phasegate.flows.cli.actions.checks import CheckContext, CheckResult, run_checks
from phasegate.infra.settings import Settings


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def policy_of(repository: Path, home: Path) -> CheckResult:
    (finding,) = [one for one in run_checks(CheckContext(Settings(home=home), {}, repository)) if one.name == "policy"]
    return finding


def test_it_follows_the_base_branch_that_the_policy_names(tmp_path: Path) -> None:
    """Mutation tried: `_policy` reads the current branch's file: what is broken on the base branch goes unseen."""
    repository = tmp_path / "repository"
    repository.mkdir()
    policy, home = repository / "phasegate.toml", tmp_path / "home"
    git(repository, "init", "-q", "-b", "main")
    policy.write_text("[nonsense]\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Broken")
    git(repository, "switch", "-q", "-c", "dev")
    policy.write_text('[project]\ntest = "true {junit}"\nbase_branch = "main"\n[lifecycle]\nstages = ["prd"]\n')
    git(repository, "commit", "-q", "-am", "Mended here")
    found = policy_of(repository, home)
    assert (found.outcome, "nonsense" in found.detail) == ("failed", True), found

    git(repository, "branch", "-f", "main")
    found = policy_of(repository, home)
    assert (found.outcome, found.detail.endswith(" of main")) == ("ok", True), found

    ahead = subprocess.run(
        ["git", "commit-tree", "main^{tree}", "-p", "main", "-m", "Integrated"],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    git(repository, "branch", "phasegate/main", ahead.stdout.strip())
    found = policy_of(repository, home)
    assert (found.outcome, found.detail.endswith(" of phasegate/main")) == ("ok", True), found

    policy.write_text(policy.read_text() + "\n")
    assert policy_of(repository, home).outcome == "warning"


def test_it_asks_for_the_key_of_each_fallback(tmp_path: Path) -> None:
    """Mutation tried: only the first model of each stage is looked at."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    (repository / "phasegate.toml").write_text(
        '[project]\ntest = "true {junit}"\n[lifecycle]\nstages = ["prd"]\n'
        '[agents]\nmodel = "openai:a"\nfallback = ["anthropic:b"]\n'
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Policy")
    context = CheckContext(Settings(home=tmp_path / "home"), {"OPENAI_API_KEY": "k"}, repository)
    results = {result.name: result for result in run_checks(context)}
    assert results["key of openai"].outcome == "ok"
    assert results["key of anthropic"].outcome == "failed"
    assert "Policy wants anthropic:b." in results["key of anthropic"].detail
    assert "key of compatible" not in results

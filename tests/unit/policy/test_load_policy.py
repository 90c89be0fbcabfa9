"""Policies that load, and every way one does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from phasegate.infra.errors import PolicyError
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.model import Policy
from phasegate.infra.policy.monitor import MetricPolicy

START = '[deploy]\nstart = "run {port}"\n'
STEP = f"{START}[[deploy.steps]]\n"
COMMANDS = """[deploy]
target = "command"
[deploy.commands]
deploy = "x"
promote = "x"
rollback = "x"
status = "x"
"""


def load(text: str) -> Policy:
    return load_policy(text.encode(), source="phasegate.toml")


def problems_of(text: str) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        load(text)
    first, *problems = raised.value.message.splitlines()
    assert first == "phasegate.toml is invalid:"
    return [problem.strip() for problem in problems]


def test_what_is_not_said_has_its_default():
    policy = load(START)
    assert policy.project.integrate == "merge"
    assert policy.deploy.start_timeout == timedelta(seconds=30)


def test_the_steps_of_a_release_are_kept_in_their_order():
    policy = load(f"""{COMMANDS}weight = "x"
        [[deploy.steps]]
        set_weight = 25
        [[deploy.steps]]
        pause = "30s"
        [[deploy.steps]]
        analysis = ["errors"]
        [[deploy.steps]]
        analysis = true
        [[deploy.steps]]
        gate = true
        [monitor]
        background = ["errors"]
        bake = "10m"
    """)

    steps = policy.deploy.steps
    assert [step.kind for step in steps] == ["set_weight", "pause", "analysis", "analysis", "gate"]
    assert (steps[0].set_weight, steps[1].pause) == (25, timedelta(seconds=30))
    assert (steps[2].analysis, steps[3].analysis) == (("errors",), ())
    assert (policy.monitor.background, policy.monitor.bake) == (("errors",), timedelta(minutes=10))
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_everything_can_be_said():
    policy = load("""
        [project]
        base_branch = "main"
        setup = "uv sync"
        test = "pytest --junitxml={junit}"
        test_timeout = "1.5h"
        [agents]
        model = "openai:gpt-5.3-codex"
        [agents.testing]
        model = "anthropic:claude-opus-4-6"
        [gates.change]
        roles = ["maintainer"]
        quorum = 2
        [gates.prd]
        off = true
        reason = "a sandbox repository"
        [roles]
        maintainer = ["ana@example.org"]
        [sandbox]
        memory = "512MiB"
        [budget]
        cost_usd = 20
        [deploy]
        start = "app {port}"
        [[monitor.metrics]]
        name = "latency"
        success_condition = "p95_ms < 200"
        interval = "250ms"
    """)
    assert policy.project.test_timeout == timedelta(minutes=90)
    assert policy.agents.model_for("testing") == "anthropic:claude-opus-4-6"
    assert policy.sandbox.memory == 512 * 1024**2
    assert policy.gates.change.quorum == 2
    assert policy.monitor.metrics[0].interval == timedelta(milliseconds=250)


def test_the_digest_is_of_what_is_meant_not_of_how_it_is_spelled():
    assert load(START).digest == load("# a comment\n" + START + 'health = "/"\n').digest
    assert load(START).digest != load(START + 'health = "/up"\n').digest


def test_a_stored_policy_is_read_back():
    policy = load(START + '[sandbox]\ncommand_timeout = "90s"\n')
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_without_metrics_the_health_path_is_probed():
    assert load(START + 'health = "/up"\n').metrics == (
        MetricPolicy(
            name="errors",
            path="/up",
            count=5,
            interval=timedelta(seconds=1),
            failure_condition="error_rate > 0.05",
        ),
    )


def test_a_service_needs_no_deployment_stage_but_a_deployment_needs_a_start():
    assert load('[lifecycle]\nstages = ["prd", "implementation", "testing"]\n').deploy.start == ""
    [problem] = problems_of("")
    assert problem.startswith("deploy.start: is needed, because lifecycle.stages includes deployment")
    [problem] = problems_of("\n[deploy]\nport = 80\n")
    assert problem.startswith("line 2: deploy.start: is needed")


PROMETHEUS = "[[monitor.metrics]]\nname = 'a'\nsource = 'prometheus'\nserver = 'http://127.0.0.1:9090'\n"


@dataclass(frozen=True)
class Bad:
    text: str
    problem: str


@pytest.mark.parametrize(
    "bad",
    [
        Bad("[project]\ntset = 1", "line 2: project.tset: unknown key; did you mean project.test?"),
        Bad("[projct]\n", "line 1: projct: unknown key; did you mean project?"),
        Bad("\nsetup = 'x'", "line 2: setup: unknown key; did you mean project.setup?"),
        Bad("[identity]\nzzz = 1", "line 2: identity.zzz: unknown key; known here: mode"),
        Bad(
            "[agents.testing]\nmodle = 'x'",
            "line 2: agents.testing.modle: unknown key; did you mean agents.testing.model?",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\n[[monitor.metrics]]\nname = 'b'\ncuont = 1",
            "line 5: monitor.metrics[1].cuont: unknown key; did you mean monitor.metrics[1].count?",
        ),
        Bad("deploy.sart = 'x'", "line 1: deploy.sart: unknown key; did you mean deploy.start?"),
        Bad("deploy = { start = 'x', prot = 1 }", "line 1: deploy.prot: unknown key; did you mean deploy.port?"),
        Bad("[lifecycle]\nmax_attempts = '3'", 'line 2: lifecycle.max_attempts: must be a whole number, found "3"'),
        Bad("[lifecycle]\nmax_attempts = true", "line 2: lifecycle.max_attempts: must be a whole number, found true"),
        Bad("[lifecycle]\nmax_attempts = 0", "must be greater than or equal to 1, found 0"),
        Bad("[sandbox]\nsetup_network = 'yes'", 'line 2: sandbox.setup_network: must be true or false, found "yes"'),
        Bad("[sandbox]\nsetup_network = 1", "line 2: sandbox.setup_network: must be true or false, found 1"),
        Bad("[sandbox]\nmemory = '2GB'", "line 2: sandbox.memory: not a size: '2GB'; write for example 512MiB or 2GiB"),
        Bad("[sandbox]\nmemory = 2026-01-01", "line 2: sandbox.memory: not a size"),
        Bad("[project]\ntest = 3", "line 2: project.test: must be text in quotes, found 3"),
        Bad("[project]\ntest = 'pytest'", "line 2: project.test: must contain {junit}"),
        Bad("[project]\ntest_timeout = 5", "line 2: project.test_timeout: not a duration: 5; write for example 250ms"),
        Bad("[project]\ntest_timeout = '5 weeks'", "line 2: project.test_timeout: not a duration: '5 weeks'"),
        Bad("[project]\ntest_timeout = '999999999999d'", "line 2: project.test_timeout: longer than a duration can be"),
        Bad("[project]\nintegrate = 'push'", "line 2: project.integrate: must be 'merge' or 'none', found \"push\""),
        Bad("[project]\nbase_branch = ['main']", 'line 2: project.base_branch: must be text in quotes, found ["main"]'),
        Bad("project = 'x'", 'line 1: project: must be a table, found "x"'),
        Bad("[[project]]", "line 1: project: must be a table, found [{}]"),
        Bad("[roles]\nmaintainer = 'ana'", 'line 2: roles.maintainer: must be an array, found "ana"'),
        Bad(
            "[lifecycle]\nstages = ['implementation']",
            "line 2: lifecycle.stages: must be a prefix of prd, implementation",
        ),
        Bad("[lifecycle]\nstages = [\n'prd',\n'tests',\n]", "line 4: lifecycle.stages[1]: must be 'prd', "),
        Bad("[lifecycle]\nstages = []", "line 2: lifecycle.stages: must be a prefix"),
        Bad("[gates.change]\noff = true", "line 1: gates.change: a gate that is off needs a reason"),
        Bad("[budget]\ncost_usd = inf", "line 2: budget.cost_usd: must be a finite number"),
        Bad("[budget]\ncost_usd = 0", "line 2: budget.cost_usd: must be greater than 0, found 0"),
        Bad("[deploy]\nhealth = 'healthz'", "line 2: deploy.health: must be a path like /healthz"),
        Bad("[deploy]\nhealth = '/a b'", "line 2: deploy.health: must be a path like /healthz"),
        Bad("[deploy]\nport = 70000", "line 2: deploy.port: must be less than or equal to 65535, found 70000"),
        Bad("[[monitor.metrics]]\ncount = 1", "line 1: monitor.metrics[0].name: is missing"),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\nfailure_condition = 'p59_ms > 1'",
            "line 3: monitor.metrics[0].failure_condition: unknown value p59_ms; did you mean p99_ms?",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\nsource = 'graphite'",
            "line 3: monitor.metrics[0].source: must be 'probe', 'prometheus', 'command' or 'log', found \"graphite\"",
        ),
        Bad(
            f"{PROMETHEUS}query = 'up'\nsuccess_condition = 'p95_ms < 1'",
            "line 6: monitor.metrics[0].success_condition: unknown value p95_ms; known are value, minimum",
        ),
        Bad(PROMETHEUS, "line 1: monitor.metrics[0].query: is needed with source 'prometheus'"),
        Bad(
            f"{PROMETHEUS}query = 'up'\nrequests = 5",
            "line 6: monitor.metrics[0].requests: means nothing to source 'prometheus'",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\nsource = 'command'\ncommand = 'x'\nvalues = ['a-b']",
            "line 5: monitor.metrics[0].values: 'a-b' is no name of a value",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\ncompare = 'requests'",
            "line 3: monitor.metrics[0].compare: 'requests' is not compared; known are error_rate, latency_ms, p50_ms",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\nconfidence = 0.9",
            "line 3: monitor.metrics[0].confidence: means nothing without `compare`",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\ncompare = 'latency_ms'\ndirection = 'decrease'",
            "line 4: monitor.metrics[0].direction: a probe's errors and times are never worse for being fewer",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\ncompare = 'error_rate'\ncount = 2",
            "line 1: monitor.metrics[0].minimum_sample: 40 figures are all that 2 measurements give",
        ),
        Bad(
            "[[monitor.metrics]]\nname = 'a'\ncompare = 'error_rate'\nconsecutive_success_limit = 2",
            "line 4: monitor.metrics[0].consecutive_success_limit: would end the measuring before",
        ),
        Bad(
            "[deploy]\ntarget = 'command'\n[deploy.commands]\ndeploy = 'x'\npromote = 'x'\nstatus = 'x'",
            "line 3: deploy.commands.rollback: is needed, because lifecycle.stages includes deployment; write that",
        ),
        Bad(
            "[lifecycle]\nstages = ['prd', 'implementation', 'testing', 'deployment']\n[deploy]\ntarget = 'kubernetes'",
            "line 3: deploy.manifests: is needed, because lifecycle.stages includes deployment; name the folder",
        ),
        Bad(
            "[deploy]\ntarget = 'kubernetes'\nmanifests = 'k8s'",
            "line 1: deploy.url: is needed, because lifecycle.stages includes monitoring",
        ),
        Bad(
            f"{STEP}set_weight = 5\npause = '1s'",
            "line 5: deploy.steps[0].pause: a step has exactly one of set_weight, pause, analysis, gate, found set_w",
        ),
        Bad(STEP, "line 3: deploy.steps[0]: a step has exactly one of set_weight, pause, analysis, gate, found none"),
        Bad(f"{STEP}set_weight = 100", "line 4: deploy.steps[0].set_weight: must be less than or equal to 99"),
        Bad(f"{STEP}analysis = 'errors'", 'line 4: deploy.steps[0].analysis: must be an array, found "errors"'),
        Bad(f"{STEP}gate = false", "line 4: deploy.steps[0].gate: must be true"),
        Bad(
            f"{STEP}analysis = ['errors', 'latency']",
            "line 4: deploy.steps[0].analysis[1]: no metric is called 'latency'; known are errors",
        ),
        Bad(
            f"{STEP}pause = '1s'\n[monitor]\nbackground = ['errors']",
            "line 6: monitor.background: is measured from the first `set_weight` on, and no step",
        ),
        Bad(
            f"{STEP}set_weight = 5",
            'line 1: deploy.strategy: has to be "canary", because deploy.steps say `set_weight`',
        ),
        Bad(
            "[deploy]\ntarget = 'kubernetes'\nmanifests = 'k8s'\nurl = 'http://shop'\n"
            "[[deploy.steps]]\nanalysis = true",
            'line 1: deploy.strategy: has to be "canary", because deploy.steps need a candidate that runs beside',
        ),
        Bad(
            f"{COMMANDS}[[deploy.steps]]\nset_weight = 5",
            "line 3: deploy.commands.weight: is needed, because deploy.steps say `set_weight`",
        ),
        Bad(
            f"{COMMANDS}weight = 'x'\n[[deploy.steps]]\nset_weight = 5\n[monitor]\nbackground = ['errors', 'up']",
            "line 12: monitor.background[1]: no metric is called 'up'; known are errors",
        ),
        Bad("[deploy]\nmanifests = '../k8s'", "line 2: deploy.manifests: must be a path inside the repository"),
        Bad(START + "[gates.change]\nroles = ['boss']", "line 4: gates.change.roles[0]: [roles] has no 'boss'"),
        Bad(
            START + "[[monitor.metrics]]\nname = 'a'\n[[monitor.metrics]]\nname = 'a'",
            "line 6: monitor.metrics[1].name: another metric is called 'a' too",
        ),
    ],
)
def test_a_problem_names_its_key_and_line(bad: Bad):
    [problem] = problems_of(bad.text)
    assert bad.problem in problem


def test_all_problems_are_told_in_the_files_order():
    assert problems_of("""
[project]
tset = 1
integrate = "push"
[deploy]
port = "80"
[lifecycle]
max_attempts = 99
""") == [
        "line 3: project.tset: unknown key; did you mean project.test?",
        "line 4: project.integrate: must be 'merge' or 'none', found \"push\"",
        'line 6: deploy.port: must be a whole number, found "80"',
        "line 8: lifecycle.max_attempts: must be less than or equal to 20, found 99",
    ]


def test_contradictions_are_told_together():
    assert len(problems_of("[gates.change]\nroles = ['boss']\n[gates.prd]\nroles = ['a', 'b']\n")) == 4


def test_bad_toml_names_the_line():
    with pytest.raises(PolicyError, match=r"phasegate\.toml is not TOML: .*line 2, column 8"):
        load("[project]\ntest = pytest\n")


def test_a_key_given_twice_is_bad_toml():
    with pytest.raises(PolicyError, match="is not TOML: Cannot overwrite a value"):
        load("[project]\ntest = '{junit}'\ntest = '{junit}'\n")


def test_not_utf_8_names_the_line():
    with pytest.raises(PolicyError, match=r"is not UTF-8 \(line 3\)"):
        load_policy("[project]\n# ok\n# caf\xe9".encode("latin-1"), source="phasegate.toml")


@pytest.mark.parametrize("depth", [50, 300, 5000])
def test_deep_nesting_is_an_error_like_any_other(depth: int):
    with pytest.raises(PolicyError):
        load(f"x = {'[' * depth}{']' * depth}")


def test_a_long_value_is_cut_in_the_message():
    [problem] = problems_of(f"[project]\nintegrate = '{'x' * 500}'")
    assert len(problem) < 150

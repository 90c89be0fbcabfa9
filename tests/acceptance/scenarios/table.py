"""The scenarios: what goes wrong with a release, and how it has to end; a row each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from tests.acceptance.scenarios import acts
from tests.acceptance.scenarios.acts import Act
from tests.acceptance.scenarios.shops import Target

Served = Literal["new", "old", "nothing"]
BOTH: tuple[Target, ...] = ("process", "kubernetes")

PROBED = """
[[monitor.metrics]]
name = "errors"
path = "/orders"
requests = 4
interval = "INTERVAL"
count = 3
failure_condition = "error_rate > 0.05"
"""
SLOW = """
[[monitor.metrics]]
name = "latency"
path = "/orders"
requests = 4
interval = "INTERVAL"
count = 6
failure_limit = 1
success_condition = "errors == 0"
failure_condition = "p50_ms > 150"
"""
FLAPPING = """
[[monitor.metrics]]
name = "errors"
path = "/orders"
requests = 4
interval = "INTERVAL"
count = 6
failure_limit = 1
failure_condition = "error_rate > 0.05"
"""
QUERIED = """
[[monitor.metrics]]
name = "errors"
source = "prometheus"
server = "PROMETHEUS"
query = 'QUERY'
interval = "INTERVAL"
consecutive_error_limit = 2
"""
REQUESTS = 'sum(shop_requests_total{release="{release}"})'
SHARE = f'sum(shop_errors_total{{release="{{release}}"}}) / {REQUESTS} and {REQUESTS} >= 40'
"""Of enough requests to tell: nothing before that."""
SHARED = QUERIED.replace("QUERY", SHARE) + 'failure_condition = "value > 0.02"\n'
ERRORS = SHARED + "count = 80\nconsecutive_success_limit = 5\ninconclusive_limit = 70\n"
"""Patient: Prometheus itself takes up to ten seconds until it looks at an address it was told of."""
UNASKED = SHARED + "count = 10\ninconclusive_limit = 5\n"
NOT_A_NUMBER = (
    QUERIED.replace("QUERY", "sum(shop_idle_total) / sum(shop_idle_total)")
    + 'success_condition = "value < 0.05"\ncount = 10\n'
)


@dataclass(frozen=True)
class Ending:
    """State of a run that has stopped.

    Attributes:
        status: The run's status.
        code: The exit code of the command that followed it.
        serves: The version that is live everywhere: the change's, or the one before it.
        effects: The effects that were made, each with its state, by target where they differ.
        says: Texts that `show` must contain, in this order: the reason, and the possible actions.
        verdict: The verdict of the analysis; empty if nothing was measured.
    """

    status: str
    code: int
    serves: Served | Mapping[Target, Served]
    effects: str | Mapping[Target, str]
    says: tuple[str, ...] | Mapping[Target, tuple[str, ...]]
    verdict: str = ""

    def on(self, target: Target) -> Ending:
        """As it is on one target."""
        return replace(
            self,
            serves=self.serves if isinstance(self.serves, str) else self.serves[target],
            effects=self.effects if isinstance(self.effects, str) else self.effects[target],
            says=self.says if isinstance(self.says, tuple) else self.says[target],
        )


@dataclass(frozen=True)
class Then:
    """A person's action on a run that has stopped, and the ending after it.

    Attributes:
        command: Of phasegate, before the run's id.
        ending: As above.
        mending: What they do first.
    """

    command: str
    ending: Ending
    mending: Act | None = None


@dataclass(frozen=True)
class Scenario:
    """A release that goes as it goes.

    Attributes:
        name: For people.
        behaviour: How the change's release behaves.
        ending: Where the run stops first.
        targets: Where it applies.
        metrics: `[[monitor.metrics]]`.
        deploy: More lines of `[deploy]`, by target.
        gates: Those that are approved in advance.
        customers: How many ask the service for something meanwhile, 40 times a second each.
        act: What else happens meanwhile.
        crash_at: Where the engine is killed; another one is started then.
        then: What the person does afterwards.
        breaches: Whether it is measured how long a bad release goes unnoticed, and how long the way back takes.
    """

    name: str
    behaviour: str
    ending: Ending
    targets: tuple[Target, ...] = BOTH
    metrics: str = PROBED
    deploy: Mapping[Target, str] = field(default_factory=dict)
    gates: tuple[str, ...] = ("prd", "change", "release")
    customers: int = 0
    act: Act | None = None
    crash_at: str = ""
    then: tuple[Then, ...] = ()
    breaches: bool = False


STEPS = """strategy = "canary"
[[deploy.steps]]
set_weight = 25
[[deploy.steps]]
analysis = ["errors"]
"""
STEPPED: Mapping[Target, str] = {"process": f'drain_timeout = "1s"\n{STEPS}', "kubernetes": STEPS}
ALL_DONE = "merge done, candidate done, cut-over done"
ALL_UNDONE = "merge undone, candidate undone, cut-over undone"
NEVER_UP: Mapping[Target, str] = {"process": "merge undone, candidate undone", "kubernetes": ALL_UNDONE}
DONE = Ending("done", 0, "new", ALL_DONE, ("done",), "passed")


def taken_back(*says: str, verdict: str = "failed") -> Ending:
    """The release was live, and is no more."""
    return Ending("rolled-back", 4, "old", ALL_UNDONE, says, verdict)


def never_up(process: tuple[str, ...] = (), kubernetes: tuple[str, ...] = ()) -> Ending:
    """The release never served: on a process no candidate came up, and a rollout ended before it was over."""
    return Ending("rolled-back", 4, "old", NEVER_UP, {"process": process, "kubernetes": kubernetes})


QUICKLY: Mapping[Target, str] = {"process": 'start_timeout = "1s"\n'}

SCENARIOS = (
    Scenario("good release", "well", DONE),
    Scenario(
        "good release as a canary",
        "well",
        DONE,
        targets=("kubernetes",),
        deploy={"kubernetes": 'strategy = "canary"\n'},
    ),
    Scenario(
        "bad image",
        "pull-fails",
        never_up(
            process=("not found", "Look at"),
            kubernetes=("image-pull", "ImagePullBackOff", "Mend what it says in the change"),
        ),
    ),
    Scenario(
        "bad image as a canary",
        "pull-fails",
        Ending(
            "rolled-back",
            4,
            "old",
            "merge undone, candidate undone",
            ("image-pull", "ImagePullBackOff", "Mend what it says in the change"),
        ),
        targets=("kubernetes",),
        deploy={"kubernetes": 'strategy = "canary"\n'},
    ),
    Scenario(
        "crash loop",
        "crashes",
        never_up(
            process=("exit", "says how a release is started"),
            kubernetes=("crash-loop", "CrashLoopBackOff", "Mend what it says"),
        ),
    ),
    Scenario(
        "crash loop that begins with the first request",
        "dies",
        taken_back("was bad", "errors: 1 failed, 0 tolerated"),
        targets=("process",),
        breaches=True,
    ),
    Scenario(
        "slow start past the deadline",
        "slow",
        never_up(
            process=("within 1 s", "says how a release is started"),
            kubernetes=("progress-deadline", "Mend what it says"),
        ),
        deploy=QUICKLY,
    ),
    Scenario(
        "5 % errors",
        "errs",
        taken_back("was bad", "errors: 1 failed, 0 tolerated"),
        metrics=ERRORS,
        customers=1,
        breaches=True,
    ),
    Scenario(
        "good release, by way of 25 % of the traffic",
        "well",
        Ending("done", 0, "new", "merge done, candidate done, weight done, cut-over done", ("done",), "passed"),
        metrics=ERRORS,
        deploy=STEPPED,
        customers=3,
    ),
    Scenario(
        "5 % errors at 25 % weight",
        "errs",
        Ending(
            "rolled-back",
            4,
            "old",
            "merge undone, candidate undone, weight undone",
            ("was bad", "errors: 1 failed, 0 tolerated"),
            "failed",
        ),
        metrics=ERRORS,
        deploy=STEPPED,
        customers=3,
        breaches=True,
    ),
    Scenario(
        "latency regression without errors",
        "lags",
        taken_back("was bad", "latency: 2 failed, 1 tolerated"),
        metrics=SLOW,
        breaches=True,
    ),
    Scenario(
        "metric source down",
        "well",
        taken_back("was bad", "errors: 3 errors in a row, 2 tolerated", verdict="error"),
        metrics=ERRORS,
        customers=1,
        act=acts.prometheus_goes_away,
        breaches=True,
    ),
    Scenario(
        "no traffic, and the person says no",
        "well",
        Ending("waiting", 3, "new", ALL_DONE, ("promotion", "inconclusive"), "inconclusive"),
        metrics=UNASKED,
        then=(Then("reject", taken_back("was bad", "inconclusive", verdict="inconclusive")),),
    ),
    Scenario(
        "no traffic, and the person says yes",
        "well",
        Ending("waiting", 3, "new", ALL_DONE, ("promotion", "inconclusive"), "inconclusive"),
        metrics=UNASKED,
        then=(Then("approve", Ending("done", 0, "new", ALL_DONE, ("done",), "inconclusive")),),
    ),
    Scenario(
        "not a number",
        "well",
        taken_back("was bad", "errors: 1 failed, 0 tolerated"),
        metrics=NOT_A_NUMBER,
        breaches=True,
    ),
    Scenario("flapping metric, within the limit", "flaps-once", DONE, metrics=FLAPPING),
    Scenario(
        "flapping metric, beyond the limit",
        "flaps",
        taken_back("was bad", "errors: 2 failed, 1 tolerated"),
        metrics=FLAPPING,
        breaches=True,
    ),
    Scenario(
        "somebody edits what serves while the plan waits",
        "well",
        Ending(
            "waiting",
            3,
            "old",
            "merge done",
            ("gate release", "Deployment/shop .spec.replicas (owned by kubectl-edit)"),
        ),
        targets=("kubernetes",),
        gates=("prd", "change"),
        act=acts.edited_while_the_plan_waits,
        then=(Then("approve", DONE),),
    ),
    Scenario(
        "the API server restarts in the middle of the rollout",
        "well",
        Ending("done", 0, "new", ALL_DONE, ("done", "the API server did not answer for"), "passed"),
        targets=("kubernetes",),
        act=acts.api_server_restarts,
    ),
    Scenario(
        "the engine is killed between the cut-over and its record",
        "well",
        DONE,
        crash_at="after:make:cut-over",
    ),
    Scenario(
        "the engine is killed between the way back and its record",
        "lags",
        taken_back("was bad", "latency: 2 failed, 1 tolerated"),
        metrics=SLOW,
        crash_at="after:undo:cut-over",
        breaches=True,
    ),
    Scenario(
        "the rollback fails",
        "lags",
        Ending(
            "needs-operator",
            5,
            "new",
            "merge done, candidate done, cut-over stuck",
            {
                "process": ("cut-over could not be undone", "did not come up", "phasegate resume"),
                "kubernetes": ("cut-over could not be undone", "owned by kubectl-edit", "phasegate resume"),
            },
            "failed",
        ),
        metrics=SLOW,
        act=acts.way_back_is_broken,
        then=(
            Then(
                "resume",
                taken_back("was bad", "latency: 2 failed, 1 tolerated"),
                mending=acts.way_back_is_mended,
            ),
        ),
    ),
)
"""In the order they are played: what a target is left with by one is what the next one finds."""


def endings(scenario: Scenario, target: Target) -> list[Ending]:
    """The run's states each time it has stopped, on a target."""
    return [one.on(target) for one in (scenario.ending, *(then.ending for then in scenario.then))]


def on(target: Target, *, in_proof: Collection[str]) -> list[Any]:
    """Scenarios of a target, for `pytest.mark.parametrize`; those named last are played by `make proof` alone."""
    return [
        pytest.param(scenario, id=scenario.name, marks=pytest.mark.proof if scenario.name in in_proof else ())
        for scenario in SCENARIOS
        if target in scenario.targets
    ]

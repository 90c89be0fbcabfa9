"""`[monitor]` of `phasegate.toml`: what is measured after a release, in Argo Rollouts' words.

Part of the policy's model. It must not know who measures.
Source: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from phasegate.infra.policy.base import Duration, PolicyModel, UrlPath
from phasegate.infra.policy.conditions import COMPARED_VALUES, PROBE_VALUES, ConditionError, parse_condition

SourceName = Literal["probe", "prometheus", "command", "log"]
PROMETHEUS_VALUES = ("value", "minimum", "maximum", "mean", "samples")
"""Values that one query of Prometheus yields; the names its conditions may use."""
_NEEDS: dict[SourceName, tuple[str, ...]] = {
    "probe": (),
    "prometheus": ("server", "query"),
    "command": ("command", "values"),
    "log": ("query", "values"),
}
"""The keys a source cannot do without."""
_TAKES: dict[SourceName, tuple[str, ...]] = {
    "probe": ("path", "requests"),
    "prometheus": ("server", "query", "range", "step", "token_variable"),
    "command": ("command", "values"),
    "log": ("query", "values"),
}
"""The keys that only some sources understand, by source."""
_OF_COMPARING = ("direction", "confidence", "minimum_sample", "tolerance")
"""The keys that mean something with `compare` only."""
Problems = list[tuple[tuple[str, ...], str]]


class MetricPolicy(PolicyModel):
    """`[[monitor.metrics]]`: one measurement."""

    name: str = Field(min_length=1)
    """Name by which reports and people call it; each metric its own."""
    source: SourceName = "probe"
    """`probe`: HTTP requests to the released service; `prometheus`: a query; `command`: what a command of the team's
    prints; `log`: a query over what the release has written."""
    path: UrlPath = "/"
    """Path that the probe requests."""
    requests: int = Field(default=20, ge=1, le=1000)
    """The probe's requests in one measurement."""
    server: str = Field(default="", pattern=r"^(https?://[^\s#?]+)?$")
    """Prometheus' address, e.g. `http://127.0.0.1:9090`."""
    query: str = Field(default="", max_length=10_000)
    """PromQL, or with `log` DuckDB's SQL over table `log (number, line, json)`.

    In it `{release}`, `{commit}` and `{url}` stand for the release's; SQL gives one row, with a column per value.
    """
    range: Duration = timedelta(0)
    """With `prometheus`: how far back the query looks; 0: an instant query."""
    step: Duration = Field(default=timedelta(seconds=15), gt=timedelta(0))
    """With `range`: the time from one sample to the next."""
    token_variable: str = Field(default="", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$|^$")
    """The engine's variable that holds Prometheus' bearer token; empty: none is sent."""
    command: str = ""
    """Prints a JSON object of numbers. Runs in the base commit's files, with PHASEGATE_URL, PHASEGATE_RELEASE_ID and
    PHASEGATE_COMMIT in its environment."""
    values: tuple[str, ...] = ()
    """The names of the numbers that `command` or a query over the `log` yields."""
    request_timeout: Duration = Field(default=timedelta(seconds=5), gt=timedelta(0))
    """Time that one request, query or command may take; a later answer is an error."""
    interval: Duration = timedelta(seconds=2)
    """Time from one measurement's start to the next one's."""
    count: int = Field(default=5, ge=1)
    """Measurements in all."""
    initial_delay: Duration = timedelta(0)
    """Time before the first measurement."""
    success_condition: str = ""
    """An expression over the measured values that must hold, e.g. `p95_ms < 200`.

    A probe's values are requests, errors, error_rate, p50_ms, p95_ms, p99_ms and max_ms; Prometheus' are value (of the
    first series; the latest), minimum, maximum, mean and samples (over all series).
    """
    failure_condition: str = ""
    """An expression that must not hold, e.g. `error_rate > 0.05`."""
    failure_limit: int = Field(default=0, ge=0)
    """Failed measurements tolerated."""
    inconclusive_limit: int = Field(default=0, ge=0)
    """Inconclusive measurements tolerated."""
    consecutive_error_limit: int = Field(default=4, ge=0)
    """Measurements in a row that yield no values tolerated; such a one does not count towards `count`."""
    consecutive_success_limit: int = Field(default=0, ge=0)
    """Successes in a row that pass the metric before `count` is reached; 0: only `count` does. Not reached within
    `count`, the metric is inconclusive."""
    compare: str = ""
    """A value that may not be worse than that of the release that serves, which is read at the same time.

    With a probe: `error_rate` and `latency_ms` are compared request by request; all other values, of every source, with
    one figure per measurement. Besides conditions, or instead of them.
    """
    direction: Literal["increase", "decrease"] = "increase"
    """With `compare`: which way is worse."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """With `compare`: how sure it is that a release that is no worse is not called worse, over all looks."""
    minimum_sample: int = Field(default=50, ge=10)
    """With `compare`: figures of each release below which nothing is concluded: the metric is inconclusive."""
    tolerance: float = Field(default=0.1, ge=0, le=10)
    """With `compare`: by how large a part of the baseline's figures a release may be worse; for `error_rate`, by how
    much its odds of an error may be larger."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if problems := self._cross_checks():
            text = "; ".join(f"{path[0]}: {message}" for path, message in problems)
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "problems": problems})
        return self

    @property
    def value_names(self) -> tuple[str, ...]:
        """The names that the metric's conditions may use."""
        fixed = {"probe": PROBE_VALUES, "prometheus": PROMETHEUS_VALUES}
        return fixed.get(self.source, self.values)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions it has."""
        return tuple(condition for condition in (self.success_condition, self.failure_condition) if condition)

    def _cross_checks(self) -> Problems:
        problems: Problems = [
            ((key,), f"is needed with source {self.source!r}") for key in _NEEDS[self.source] if not getattr(self, key)
        ]
        foreign = {key for keys in _TAKES.values() for key in keys} - set(_TAKES[self.source])
        problems += [
            ((key,), f"means nothing to source {self.source!r}")
            for key in sorted(foreign)
            if getattr(self, key) != type(self).model_fields[key].default
        ]
        problems += [
            (("values",), f"{name!r} is no name of a value: letters, digits and _ only")
            for name in self.values
            if not name.isidentifier()
        ]
        for key in ("success_condition", "failure_condition") if not problems else ():
            if condition := getattr(self, key):
                try:
                    parse_condition(condition, self.value_names)
                except ConditionError as error:
                    problems.append(((key,), str(error)))
        return problems or self._of_comparing()

    def _of_comparing(self) -> Problems:
        """Problems of keys that do not go together in a comparison."""
        if not self.compare:
            return [
                ((key,), "means nothing without `compare`")
                for key in _OF_COMPARING
                if getattr(self, key) != type(self).model_fields[key].default
            ]
        known = COMPARED_VALUES if self.source == "probe" else self.value_names
        if self.compare not in known:
            return [(("compare",), f"{self.compare!r} is not compared; known are {', '.join(known)}")]
        problems: Problems = []
        if self.source == "probe" and self.direction == "decrease":
            problems.append((("direction",), "a probe's errors and times are never worse for being fewer or shorter"))
        if self.consecutive_success_limit:
            message = "would end the measuring before there is enough to compare: with `compare`, `count` does"
            problems.append((("consecutive_success_limit",), message))
        each = self.requests if self.source == "probe" and self.compare in {"error_rate", "latency_ms"} else 1
        if (most := each * self.count) < self.minimum_sample:
            message = f"{most} figures are all that {self.count} measurements give: raise `count`"
            problems.append((("minimum_sample",), message))
        return problems


class MonitorPolicy(PolicyModel):
    """`[monitor]`: what is measured after a release."""

    metrics: tuple[MetricPolicy, ...] = ()
    """Empty: one probe of the service's `health` path."""
    background: tuple[str, ...] = ()
    """Names of metrics that are measured beside `deploy.steps`, from the first `set_weight` until the cut-over; a
    breach stops the steps at once."""
    bake: Duration = timedelta(0)
    """Time for which the metrics are measured on once the release has passed; a breach still takes it back. 0: none."""

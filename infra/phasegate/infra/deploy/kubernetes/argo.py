"""Readings of an Argo `Rollout`: its phase, its own steps, and the share that these give its canary.

Called by code that drives one or waits for it. Pure: its controller decides, this reads what that has decided.
Source: https://argo-rollouts.readthedocs.io/en/stable/features/specification/, and the plugin's `promote` and `status`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, table, tables

HASH = "rollouts-pod-template-hash"
"""The label that tells a Rollout's ReplicaSets apart."""


@dataclass(frozen=True)
class Phase:
    """Phase of a Rollout.

    Attributes:
        name: `Progressing`, `Paused`, `Healthy` or `Degraded`.
        message: What its controller says about that.
    """

    name: str
    message: str = ""

    @property
    def rests(self) -> bool:
        """True if its controller waits for something, or is done."""
        return self.name in {"Paused", "Healthy"}


def is_rollout(manifest: Manifest) -> bool:
    """True if an object is a Rollout of Argo's."""
    return bool(manifest["kind"] == "Rollout" and str(manifest["apiVersion"]).startswith("argoproj.io/"))


def phase(rollout: Manifest) -> Phase:
    """Phase of a Rollout; `Progressing` until its controller has observed the spec."""
    status = table(rollout.get("status"))
    if not has_been_observed(rollout):
        return Phase("Progressing", "the new spec has not been observed yet")
    if status.get("controllerPause") and not status.get("pauseConditions"):
        return Phase("Progressing", "it has not gone on yet")
    return Phase(str(status.get("phase") or "Progressing"), str(status.get("message") or ""))


def has_been_observed(rollout: Manifest) -> bool:
    """True if its controller has observed the present spec; Argo writes that generation as a text."""
    observed = str(table(rollout.get("status")).get("observedGeneration") or "0")
    return observed.isdecimal() and int(observed) >= int(rollout["metadata"].get("generation", 0))


def is_promoted(rollout: Manifest) -> bool:
    """True if the present spec is stable, and serves alone."""
    status = table(rollout.get("status"))
    return bool(status.get("stableRS")) and status.get("currentPodHash") == status.get("stableRS")


def own_weight(rollout: Manifest) -> int | None:
    """The share that its steps give its canary at present, or `None` if it has no shares, as with `blueGreen`."""
    if "canary" not in table(rollout["spec"].get("strategy")):
        return None
    if is_promoted(rollout):
        return 100
    if table(rollout.get("status")).get("abort"):
        return 0
    steps = _steps(rollout)
    if not steps or _index(rollout) >= len(steps):
        return 100
    past = [int(step["setWeight"]) for step in steps[: _index(rollout) + 1] if "setWeight" in step]
    return past[-1] if past else 0


def next_weight(rollout: Manifest) -> int | None:
    """The share that its steps give its canary after the pause it is at.

    None where a promotion would not lead to another share: it is at no pause or at one that ends by itself, or there
    is none.
    """
    steps, index = _steps(rollout), _index(rollout)
    if index >= len(steps) or "pause" not in steps[index] or table(steps[index]["pause"]).get("duration"):
        return None
    return next((int(step["setWeight"]) for step in steps[index:] if "setWeight" in step), None)


def promotion(rollout: Manifest, *, full: bool) -> dict[str, object]:
    """Changes to make to its status so that it continues, or none if none is needed.

    Args:
        rollout: As it is live.
        full: True to skip everything that is still to come, an abort included; else just the pause it is at.
    """
    status = table(rollout.get("status"))
    if not has_been_observed(rollout) or not status.get("stableRS") or is_promoted(rollout):
        return {}
    if not full:
        return {"pauseConditions": None} if status.get("pauseConditions") else {}
    return {} if status.get("promoteFull") else {"abort": False, "promoteFull": True, "pauseConditions": None}


def steps_in_words(rollout: Manifest) -> str:
    """Its own steps, for people."""
    steps = [f"{next(iter(step))} {next(iter(step.values())) or ''}".strip() for step in _steps(rollout) if step]
    return ", ".join(steps) or "none"


def reported_weight(rollout: Manifest) -> float | None:
    """The share that its traffic router gives its canary, or `None` if it has no router, and shares are replicas."""
    weights = table(table(table(rollout.get("status")).get("canary")).get("weights"))
    weight = table(weights.get("canary")).get("weight")
    return None if weight is None else float(weight)


def _steps(rollout: Manifest) -> list[dict[str, Any]]:
    return tables(table(table(rollout["spec"].get("strategy")).get("canary")).get("steps"))


def _index(rollout: Manifest) -> int:
    return int(table(rollout.get("status")).get("currentStepIndex") or 0)

"""Shares of the traffic by weights of the Gateway API: what an `HTTPRoute` says of them, and has to say.

Called by what runs candidates. Pure. A list of rules has one owner, as the API server sees it: to set a weight is to
set all rules, so the route has to be one of the service's own manifests.
Source: https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, table, tables

_API_VERSION = "gateway.networking.k8s.io/v1"


def is_route(manifest: Manifest) -> bool:
    """True if an object is a route whose weights can be set."""
    return bool(manifest["apiVersion"] == _API_VERSION and manifest["kind"] == "HTTPRoute")


def services_behind(route: Manifest) -> set[str]:
    """The Services of its own namespace that a route leads to."""
    return {
        name for rule in _rules(route) for backend in tables(rule.get("backendRefs")) if (name := _service(backend))
    }


def weighted(route: Manifest, canaries: Mapping[str, str], percent: int) -> Manifest:
    """A route that gives a share of what it led to a Service to the Service of its canary.

    Args:
        route: As it is without a canary.
        canaries: Service to the Service of its canary.
        percent: The canary's share; 0: the route as it is.
    """
    weighted_route = copy.deepcopy(route)
    for rule in _rules(weighted_route) if percent else ():
        backends = tables(rule.get("backendRefs"))
        if any(_service(backend) in canaries for backend in backends):
            rule["backendRefs"] = [part for backend in backends for part in _parts(backend, canaries, percent)]
    return weighted_route


def shares(route: Manifest, canaries: Mapping[str, str]) -> list[float]:
    """Share of the canary in each rule that leads to one of these Services or to its canary, in percent."""
    percentages: list[float] = []
    for rule in _rules(route):
        backends = tables(rule.get("backendRefs"))
        canary = sum(_weight(backend) for backend in backends if _service(backend) in canaries.values())
        stable = sum(_weight(backend) for backend in backends if _service(backend) in canaries)
        if canary + stable:
            percentages.append(100 * canary / (canary + stable))
    return percentages


def has_gateway(route: Manifest) -> bool:
    """True if any gateway has taken a route up."""
    return bool(_parents(route))


def route_accepted(route: Manifest) -> str:
    """Reason why gateways do not route by the present route, or an empty string if they do."""
    if not has_gateway(route):
        return "no gateway has taken it up"
    generation = int(route["metadata"].get("generation", 0))
    for parent in _parents(route):
        by = f"{parent.get('controllerName')}"
        conditions = {str(condition.get("type")): condition for condition in tables(parent.get("conditions"))}
        for name in ("Accepted", "ResolvedRefs"):
            condition = conditions.get(name, {})
            if name == "Accepted" and int(condition.get("observedGeneration") or 0) < generation:
                return f"{by} has not seen it yet"
            if condition.get("status") == "False":
                return f"{by} says {name} is False: {condition.get('reason')}: {condition.get('message', '')}"
    return ""


def _parts(backend: Manifest, canaries: Mapping[str, str], percent: int) -> list[Manifest]:
    weight, service = _weight(backend), _service(backend)
    if service not in canaries:
        return [{**backend, "weight": weight * 100}]  # beside the others of its rule, which count in hundredths now
    canary = {**copy.deepcopy(backend), "name": canaries[service], "weight": weight * percent}
    return [{**backend, "weight": weight * (100 - percent)}, canary]


def _parents(route: Manifest) -> list[dict[str, Any]]:
    return tables(table(route.get("status")).get("parents"))


def _rules(route: Manifest) -> list[dict[str, Any]]:
    return tables(table(route.get("spec")).get("rules"))


def _service(backend: Manifest) -> str:
    """Name of the Service that a backend is, or an empty string if it is something else, or of another namespace."""
    own = backend.get("kind", "Service") == "Service" and not backend.get("group") and not backend.get("namespace")
    return str(backend.get("name", "")) if own else ""


def _weight(backend: Manifest) -> int:
    weight = backend.get("weight")
    return 1 if weight is None else int(weight)

"""A canary by its share of replicas: a second Deployment behind the same Service, beside the one that serves.

Called by the target, strategy `canary`. Pure. A Service sends each pod about the same traffic, so the share of
replicas is the share of traffic; its selector must not name what tells the two apart, which is a label of ours.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

from phasegate.infra.deploy.kubernetes.difference import PREFIX
from phasegate.infra.deploy.kubernetes.manifests import Manifest, Ref
from phasegate.infra.deploy.kubernetes.rollout import replicas

_TRACK = {f"{PREFIX}track": "canary"}
_LONGEST_NAME = 63
_NEEDED = ("ServiceAccount", "ConfigMap", "Secret", "PersistentVolumeClaim")
"""What pods may refer to: new ones come with the canary. Those that are there stay as they are until the cut-over."""


def canaries(manifests: Sequence[Manifest], *, percent: int, live: frozenset[Ref]) -> list[Manifest]:
    """What runs beside the current release while this one is a candidate.

    Args:
        manifests: The release's.
        percent: The share of all replicas that is to be the canary's.
        live: What is there now; a Deployment that is not has nothing to run beside, and no canary.
    """
    beside = [one for one in manifests if one["kind"] in _NEEDED and Ref.of(one) not in live]
    found = [_canary(one, percent) for one in manifests if one["kind"] == "Deployment" and Ref.of(one) in live]
    return [*beside, *found] if found else []


def canary_replicas(stable: int, percent: int) -> int:
    """How many replicas make up a share beside these; at least one."""
    return max(1, math.ceil(stable * percent / (100 - percent)))


def _canary(deployment: Manifest, percent: int) -> Manifest:
    found = copy.deepcopy(deployment)
    found["metadata"]["name"] = f"{deployment['metadata']['name'][: _LONGEST_NAME - 7]}-canary"
    found["metadata"].setdefault("labels", {}).update(_TRACK)
    spec = found["spec"]
    spec["replicas"] = canary_replicas(replicas(deployment), percent)
    spec["selector"].setdefault("matchLabels", {}).update(_TRACK)
    spec["template"].setdefault("metadata", {}).setdefault("labels", {}).update(_TRACK)
    return found

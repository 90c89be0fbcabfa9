"""Diff of live objects and wanted ones, without what servers add, for a person to judge a release by.

Called by the target for a plan and to see whether what was applied is there. It knows no cluster; a Secret's values
never leave it.
"""

from __future__ import annotations

import copy
import difflib
from typing import Any

import yaml

from phasegate.infra.deploy.kubernetes.api.manifests import Manifest, table

PREFIX = "phasegate.dev/"
"""Beginning of phasegate's own annotations and labels."""
_SERVERS = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "ownerReferences")
_REVISION = "deployment.kubernetes.io/revision"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_LINES = 400


def cleaned(live: Manifest, *, ours: bool = False) -> Manifest:
    """An object as a person could have written it: what servers add and report is left out.

    Args:
        live: The object as an API server gives it.
        ours: True if phasegate's own annotations stay.
    """
    manifest = copy.deepcopy(live)
    manifest.pop("status", None)
    metadata = table(manifest.get("metadata"))
    for name in _SERVERS:
        metadata.pop(name, None)
    annotations = table(metadata.get("annotations"))
    for name in list(annotations):
        if name in {_REVISION, _LAST_APPLIED} or (name.startswith(PREFIX) and not ours):
            del annotations[name]
    if not annotations:
        metadata.pop("annotations", None)
    return manifest


def differ(live: Manifest, predicted: Manifest) -> bool:
    """True if an object is not as it was applied; release annotations count."""
    return cleaned(live, ours=True) != cleaned(predicted, ours=True)


def difference(live: Manifest | None, desired: Manifest | None) -> str:
    """A unified diff of an object, or an empty string if nothing changes.

    Values of a Secret are hidden, but not that they differ.

    Args:
        live: The object that is there; `None` if there is none.
        desired: The object that will be there; `None` if there will be none.
    """
    before = cleaned(live) if live else None
    after = cleaned(desired) if desired else None
    _hide_secrets(before, after)
    lines = list(
        difflib.unified_diff(
            _lines(before),
            _lines(after),
            "live" if before else "nothing",
            "wanted" if after else "nothing",
            lineterm="",
        )
    )
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], f"… {len(lines) - _MAX_LINES} more lines"]
    return "\n".join(lines)


def _hide_secrets(before: Manifest | None, after: Manifest | None) -> None:
    for place in ("data", "stringData"):
        old, new = _values(before, place), _values(after, place)
        for name in {**old, **new}:
            changed = name in old and name in new and old[name] != new[name]
            if name in old:
                old[name] = "‹hidden, as it is›" if changed else "‹hidden›"
            if name in new:
                new[name] = "‹hidden, another›" if changed else "‹hidden›"


def _values(manifest: Manifest | None, name: str) -> dict[str, Any]:
    if manifest is None or manifest.get("kind") != "Secret":
        return {}
    return table(manifest.get(name))


def _lines(manifest: Manifest | None) -> list[str]:
    return yaml.safe_dump(manifest, allow_unicode=True, width=1000).splitlines() if manifest else []

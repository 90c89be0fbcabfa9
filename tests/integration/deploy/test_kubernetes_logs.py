"""Logs of a release's pods, read through a real API server from a node's kubelet, or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.deploy.in_namespace import Namespace, limited, release, target_in
from tests.kubernetes import manifests
from tests.kubernetes_node import Node

from phasegate.infra.errors import DeployFailed

MUCH = 100_000


def said(pod: str, container: str, previous: bool) -> str | None:
    return f"{container} {'ended badly' if previous else 'serves'}\n" * 3


async def test_every_pod_and_container_of_the_release_is_read(namespace: Namespace, tmp_path: Path):
    target = target_in(namespace, tmp_path)
    with Node(namespace.server, namespace.name, said) as node:
        await release(target, "r1", "one")
        log = await target.log("r1", characters=MUCH)
        short = await target.log("r1", characters=300)

    assert log.count("==> pod shop-") == 2
    assert log.count("shop serves\n") == 6
    assert "ended badly" not in log
    assert len(short) <= 300
    assert all(int(one["tailLines"][0]) <= MUCH for one in node.asked)


async def test_what_a_crash_loop_wrote_before_it_ended_is_kept_when_its_pods_are_gone(
    namespace: Namespace, tmp_path: Path
):
    target = target_in(namespace, tmp_path, strategy="canary")
    with Node(namespace.server, namespace.name, said):
        await release(target, "r1", "one")
        with pytest.raises(DeployFailed, match="crash-loop"):
            await target.start_candidate("r2", "crashes")
    assert namespace.names() == {"shop"}

    log = await target.log("r2", characters=MUCH)
    assert "before its last restart <==\nshop ended badly\n" in log


async def test_what_a_release_wrote_is_kept_when_it_is_taken_back(namespace: Namespace, tmp_path: Path):
    target = target_in(namespace, tmp_path)
    with Node(namespace.server, namespace.name, said):
        await release(target, "r1", "one")
        await release(target, "r2", "two")
        await target.restore("r1")
    assert "shop serves" in await target.log("r2", characters=MUCH)
    assert await target.log("r9", characters=MUCH) == ""


async def test_a_log_that_cannot_be_read_is_said_in_its_place_and_holds_nothing_up(
    namespace: Namespace, tmp_path: Path, root: Path
):
    commits = {name: manifests(name, replicas=1) for name in ("one", "two")}
    target = target_in(namespace, tmp_path, commits)
    with Node(namespace.server, namespace.name, said):
        await release(target, "r1", "one")
    assert "[its log cannot be read: The API server has not let phasegate read" in await target.log(
        "r1", characters=MUCH
    )

    environment = limited(namespace, root, without="pods/log")
    forbidden = target_in(namespace, tmp_path, commits, environment=environment)
    assert 'cannot get resource "pods/log"' in await forbidden.log("r1", characters=MUCH)
    await release(forbidden, "r2", "two")
    assert (await forbidden.restore("r1")).current is not None

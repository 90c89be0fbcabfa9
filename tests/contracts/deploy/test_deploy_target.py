"""Contract of every deploy target, checked on the in-memory twin, on real processes and on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests.kubernetes import kubernetes_target
from tests.kubernetes_extensions import route
from tests.support.command_target import command_target

from phasegate.infra.deploy.memory import InMemoryTarget
from phasegate.infra.deploy.process.target import ProcessTarget
from phasegate.infra.deploy.target import DeployTarget
from phasegate.infra.errors import DeployFailed, TargetRefused
from phasegate.infra.policy.deploy import DeployPolicy

SERVICE = """
import http.server, os, sys
commit, port = "{commit}", int(sys.argv[1])
in_place = 20000 <= port < 30000 if {rolling} else os.path.exists("started")
if commit == "sick" or (commit == "sick-in-place" and in_place):
    sys.exit("will not serve")
open("started", "w").close()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(commit.encode())
        if self.path == "/die":
            os._exit(1)
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def checkout(commit: str, folder: Path, *, rolling: bool) -> None:
    folder.mkdir()
    (folder / "service.py").write_text(SERVICE.replace("{commit}", commit).replace("{rolling}", str(rolling)))


SHIFTING = ["memory", "command", "process, canary", "kubernetes, weights"]
"""Targets that let a candidate take just the share of the traffic it is given."""
OTHERS = ["process, rolling", "kubernetes, rolling"]


@pytest.fixture(params=[*SHIFTING, "kubernetes, canary", *OTHERS])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DeployTarget]:
    if request.param == "memory":
        yield InMemoryTarget("shop", sick={"sick"}, sick_in_place={"sick-in-place"})
        return
    if request.param.startswith("kubernetes"):
        weighted = request.param.endswith("weights")
        server = request.getfixturevalue("extended" if weighted else "kubernetes")
        strategy = "rolling" if request.param.endswith("rolling") else "canary"
        yield kubernetes_target(server, tmp_path, besides=[route()] if weighted else [], strategy=strategy)
        return
    if request.param == "command":
        yield command_target(tmp_path)
        return
    strategy = request.param.rpartition(" ")[2]
    process = ProcessTarget(
        DeployPolicy.model_validate({"start": "python3 service.py {port}", "strategy": strategy, "restarts": 1}),
        service="shop",
        state_folder=tmp_path,
        checkout=partial(checkout, rolling=strategy == "rolling"),
        environment={"PATH": "/usr/bin:/bin"},
    )
    yield process
    await process.stop()


async def answer_of(target: DeployTarget, url: str) -> str | None:
    """The commit that a service answers with, or None if it is no process: the cluster of these tests has no node."""
    if not isinstance(target, ProcessTarget):
        return None
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url)).text


async def release(target: DeployTarget, release_id: str, commit: str) -> None:
    await target.start_candidate(release_id, commit)
    await target.cut_over(release_id)


async def current(target: DeployTarget) -> tuple[str, str, bool] | None:
    found = (await target.status()).current
    return (found.release_id, found.commit, found.alive) if found else None


async def test_nothing_is_there_before_the_first_release(target: DeployTarget):
    state = await target.status()
    assert (state.service, state.current, state.previous, state.candidates) == ("shop", None, None, ())


async def test_a_candidate_runs_beside_and_is_not_current(target: DeployTarget):
    candidate = await target.start_candidate("r1", "one")

    assert all(check.ok for check in candidate.checks)
    assert candidate.checks
    assert await answer_of(target, candidate.url) in {None, "one"}
    state = await target.status()
    assert state.current is None
    assert [(one.release_id, one.alive) for one in state.candidates] == [("r1", True)]


async def test_starting_a_candidate_again_finds_the_one_that_runs(target: DeployTarget):
    first = await target.start_candidate("r1", "one")
    assert await target.start_candidate("r1", "one") == first


async def test_a_release_id_belongs_to_one_commit(target: DeployTarget):
    await target.start_candidate("r1", "one")
    with pytest.raises(DeployFailed, match="is of commit one, not two"):
        await target.start_candidate("r1", "two")


async def test_a_sick_candidate_fails_and_leaves_the_current_release_alone(
    target: DeployTarget, request: pytest.FixtureRequest
):
    await release(target, "r1", "one")
    if "kubernetes, rolling" in request.node.name:  # which runs no second release
        await target.start_candidate("r2", "sick")
        attempt: Awaitable[object] = target.cut_over("r2")
    else:
        attempt = target.start_candidate("r2", "sick")
    with pytest.raises(DeployFailed, match="did not come up"):
        await attempt

    await target.stop_candidate("r2")
    assert await current(target) == ("r1", "one", True)
    assert (await target.status()).candidates == ()


async def test_a_preview_changes_nothing(target: DeployTarget):
    await release(target, "r1", "one")
    before = await target.status()

    preview = await target.preview("two")

    assert preview == await target.preview("two")
    assert preview.taking == ()
    assert await target.status() == before


async def test_cutting_over_makes_the_candidate_current_and_remembers_what_was(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")

    made = await target.cut_over("r2")

    assert (made.release_id, made.commit, made.previous) == ("r2", "two", "r1")
    assert await answer_of(target, made.url) in {None, "two"}
    state = await target.status()
    assert await current(target) == ("r2", "two", True)
    assert (state.previous, state.candidates) == ("r1", ())


async def test_the_service_keeps_its_url_over_releases(target: DeployTarget):
    await target.start_candidate("r1", "one")
    first = await target.cut_over("r1")
    await target.start_candidate("r2", "two")
    assert (await target.cut_over("r2")).url == first.url


async def test_cutting_over_again_changes_nothing(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    assert await target.cut_over("r2") == await target.cut_over("r2")


async def test_cutting_over_to_what_was_never_a_candidate_fails(target: DeployTarget):
    with pytest.raises(DeployFailed, match="no release r9"):
        await target.cut_over("r9")


async def test_a_release_that_fails_in_its_place_gives_it_back(target: DeployTarget, request: pytest.FixtureRequest):
    await release(target, "r1", "one")
    candidate = await target.start_candidate("r2", "sick-in-place")
    if "process, canary" in request.node.name:  # which serves with the candidate itself
        await answer_of(target, f"{candidate.url}/die")
    with pytest.raises(DeployFailed, match="did not come up"):
        await target.cut_over("r2")

    assert await current(target) == ("r1", "one", True)


async def test_restoring_brings_the_previous_release_back(target: DeployTarget):
    await release(target, "r1", "one")
    await release(target, "r2", "two")

    state = await target.restore("r1")

    assert state.current is not None
    assert (state.current.release_id, state.current.alive, state.previous) == ("r1", True, None)
    assert await answer_of(target, state.current.url) in {None, "one"}
    assert await target.restore("r1") == state
    assert await target.status() == state


async def test_restoring_to_before_the_first_release_stops_the_service(target: DeployTarget):
    await release(target, "r1", "one")
    assert (await target.restore(None)).current is None
    assert (await target.restore(None)).current is None


async def test_restoring_what_was_never_there_fails(target: DeployTarget):
    with pytest.raises(DeployFailed, match="no release r9"):
        await target.restore("r9")


async def test_stopping_a_candidate_is_repeatable(target: DeployTarget):
    await target.start_candidate("r1", "one")
    await target.stop_candidate("r1")
    await target.stop_candidate("r1")
    assert (await target.status()).candidates == ()


async def test_a_release_after_a_restore_comes_after_the_restored_one(target: DeployTarget):
    await release(target, "r1", "one")
    await release(target, "r2", "two")
    await target.restore("r1")
    await target.start_candidate("r3", "three")
    assert (await target.cut_over("r3")).previous == "r1"


async def test_stopping_ends_all_and_keeps_which_release_is_current(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")

    await target.stop()
    await target.stop()

    assert await current(target) == ("r1", "one", False)
    assert (await target.status()).candidates == ()
    assert (await target.restore("r1")).current is not None
    assert await current(target) == ("r1", "one", True)


async def share_of(target: DeployTarget, release_id: str) -> float:
    return next(one.weight for one in (await target.status()).candidates if one.release_id == release_id)


@pytest.mark.parametrize("target", SHIFTING, indirect=True)
async def test_a_candidate_takes_the_share_it_is_given(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    assert await share_of(target, "r2") == 0
    for percent in (10, 50, 0, 25):
        weight = await target.set_weight("r2", percent)

        assert (weight.release_id, weight.wanted) == ("r2", percent)
        assert weight.actual == pytest.approx(percent, abs=5)
        assert await share_of(target, "r2") == weight.actual
        assert await target.set_weight("r2", percent) == weight
    assert await current(target) == ("r1", "one", True)


@pytest.mark.parametrize("target", SHIFTING, indirect=True)
async def test_a_share_is_no_change_of_what_serves(target: DeployTarget):
    await release(target, "r1", "one")
    before = (await target.status()).revision
    await target.start_candidate("r2", "two")
    await target.set_weight("r2", 50)
    assert (await target.status()).revision == before


@pytest.mark.parametrize("target", SHIFTING, indirect=True)
async def test_the_share_ends_with_the_cut_over(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    await target.set_weight("r2", 25)
    await target.cut_over("r2")
    assert await current(target) == ("r2", "two", True)

    await target.start_candidate("r3", "three")
    assert await share_of(target, "r3") == 0


@pytest.mark.parametrize("target", SHIFTING, indirect=True)
async def test_a_candidate_that_is_stopped_leaves_its_share_to_the_current_release(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    await target.set_weight("r2", 25)
    await target.stop_candidate("r2")
    await target.start_candidate("r3", "three")

    assert await share_of(target, "r3") == 0
    assert await current(target) == ("r1", "one", True)


@pytest.mark.parametrize("target", SHIFTING, indirect=True)
async def test_where_nothing_serves_there_is_no_traffic_to_share(target: DeployTarget):
    await target.start_candidate("r1", "one")
    assert (await target.set_weight("r1", 25)).actual == 0


@pytest.mark.parametrize("target", SHIFTING, indirect=True)
async def test_only_a_candidate_gets_a_share(target: DeployTarget):
    await release(target, "r1", "one")
    for unknown in ("r1", "r9"):
        with pytest.raises(DeployFailed, match=f"no (candidate|release) {unknown}"):
            await target.set_weight(unknown, 25)


@pytest.mark.parametrize("target", OTHERS, indirect=True)
async def test_a_target_that_shifts_no_traffic_says_so(target: DeployTarget):
    await release(target, "r1", "one")
    await target.start_candidate("r2", "two")
    with pytest.raises(TargetRefused, match="cannot let a candidate take a share"):
        await target.set_weight("r2", 25)
    assert await share_of(target, "r2") == 0
    assert await current(target) == ("r1", "one", True)


async def test_a_commit_that_can_be_released_passes_preflight_and_nothing_is_started(target: DeployTarget):
    """Mutation tried: `preflight` of the process target starts a candidate."""
    before = await target.status()
    target.preflight("one")
    assert await target.status() == before

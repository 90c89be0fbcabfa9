"""Life of an engine, in order: it serves, it waits, it is killed, it comes back, it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from tests.support.prefect_api import ask_prefect

from phasegate.flows.engine import control
from phasegate.flows.engine.info import EXIT_LOCK_HELD
from phasegate.flows.engine.prefect_backend import server_database, server_process

if TYPE_CHECKING:
    from tests.integration.engine.conftest import Bench

pytestmark = pytest.mark.timeout(900)  # a Prefect server starts four times, on a machine that may be busy


def test_it_says_what_it_is_and_keeps_secrets(bench: Bench) -> None:
    info = bench.engine()

    assert info.model_keys == ["SOME_MODEL_API_KEY"]
    assert "secret" not in bench.settings.engine_file.read_text()
    assert bench.start() == info


def test_a_second_engine_is_refused(bench: Bench) -> None:
    env = os.environ | bench.settings.as_environment()
    command = [sys.executable, "-P", "-m", "phasegate.flows.engine", "--entrypoint", "tiny_flow:tiny"]

    second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == EXIT_LOCK_HELD
    assert f"Another engine runs already (pid {bench.engine().process.pid})." in second.stderr
    assert bench.engine().process.alive()


def test_the_first_start_leaves_a_migrated_database_for_the_next(bench: Bench) -> None:
    template = server_database.template(os.environ)

    assert template.stat().st_size > 100_000
    assert not list(template.parent.glob("*.db.*"))


def test_a_gate_waits_hot_and_goes_on_when_woken(bench: Bench) -> None:
    bench.run("hot")
    bench.until_state("hot", "Paused")

    control.wake(bench.settings, "hot")  # undecided: a wake opens nothing
    bench.until_told("hot", "step", "gate")
    bench.decide("hot")

    bench.until_told("hot", "step", "gate", "done")
    bench.until_state("hot", "Completed")


def test_a_gate_suspends_and_goes_on_when_woken(bench: Bench) -> None:
    bench.run("cold")
    bench.until_state("cold", "Suspended")

    bench.decide("cold")

    bench.until_told("cold", "step", "gate", "step", "gate", "done")
    bench.until_state("cold", "Completed")


def test_a_hot_gate_is_suspended_after_its_time(bench: Bench) -> None:
    bench.run("short")
    bench.until_state("short", "Suspended")

    control.wake(bench.settings, "short")  # undecided: it waits again, under a key that has not fired
    bench.until_told("short", "step", "gate", "step", "gate")
    bench.until_state("short", "Suspended")
    bench.decide("short")

    bench.until_state("short", "Completed")


def test_gates_that_wait_hot_keep_nobody_from_working(bench: Bench) -> None:
    assert bench.settings.concurrency == 2
    waiting = ["one", "two", "three"]

    for run_id in waiting:
        bench.run(run_id)
    for run_id in waiting:
        bench.until_state(run_id, "Paused")

    for run_id in waiting:
        bench.decide(run_id)
        bench.until_state(run_id, "Completed")


def test_a_state_forced_on_a_waiting_run_neither_opens_nor_doubles_it(bench: Bench) -> None:
    bench.run("forced")
    bench.until_state("forced", "Paused")

    bench.force("forced", type="SCHEDULED")
    bench.run("after")  # once this one waits, the worker has polled and left the forced one alone
    bench.until_state("after", "Paused")

    assert bench.told("forced") == ["step", "gate"]
    for run_id in ("forced", "after"):
        bench.decide(run_id)
        bench.until_state(run_id, "Completed")
    assert bench.told("forced") == ["step", "gate", "done"]


def test_a_flow_that_fails_is_failed_and_the_worker_goes_on(bench: Bench) -> None:
    bench.run("bad")
    bench.until_state("bad", "Failed")

    bench.run("good")
    bench.decide("good")
    bench.until_state("good", "Completed")


def test_a_run_cancelled_in_prefect_stops(bench: Bench) -> None:
    folder = bench.run("unwanted", hold=True)
    bench.until_told("unwanted", "step")

    bench.force("unwanted", type="CANCELLING", name="Cancelling")

    bench.until_state("unwanted", "Cancelled")
    (folder / "hold").unlink()
    assert bench.told("unwanted") == ["step"]


def test_dispatch_sets_any_flow_run_going_again(bench: Bench) -> None:
    outcome = _with_prefect(bench, "revive", UUID(bench.flow_run("bad")["id"]))

    assert outcome == {"first": True, "again": True, "here": False, "unknown": "NotFound", "same": True}
    bench.until_told("bad", "step", "step")
    bench.until_state("bad", "Failed")


def test_the_prefect_server_comes_back_where_it_was(bench: Bench) -> None:
    before = bench.engine()
    assert before.server is not None
    bench.run("survivor")
    bench.until_state("survivor", "Paused")

    before.server.signal(signal.SIGKILL)
    bench.until(lambda: bench.engine().server != before.server)
    bench.until(lambda: ask_prefect(bench.settings, "/admin/version").is_success)
    bench.decide("survivor")

    bench.until_state("survivor", "Completed")
    assert bench.engine().process == before.process


def test_a_killed_engine_comes_back_to_its_server_and_its_runs(bench: Bench) -> None:
    folder = bench.run("struck", hold=True)
    bench.until_told("struck", "step")
    dead = bench.kill()
    assert control.status(bench.settings) is None

    engine = bench.start()
    assert dead.server == engine.server
    assert bench.flow_run("struck")["state_name"] == "Running"  # what Prefect believes for ever
    (folder / "hold").unlink()
    (folder / "decided").touch()
    _with_prefect(bench, "reschedule", UUID(bench.flow_run("struck")["id"]))

    bench.until_told("struck", "step", "step", "gate", "done")
    bench.until_state("struck", "Completed")


def test_a_killed_engine_is_followed_by_its_standby(bench: Bench) -> None:
    bench.until(lambda: bench.engine().standby is not None and (bench.settings.home / "standby.sock").exists())
    standby = bench.engine().standby
    bench.kill()

    assert bench.start().process == standby

    bench.run("followed")
    bench.until_told("followed", "step", "gate")
    bench.decide("followed")
    bench.until_told("followed", "step", "gate", "done")


def test_without_its_standby_an_engine_starts_all_the_same(bench: Bench) -> None:
    bench.until(lambda: bench.engine().standby is not None and (bench.settings.home / "standby.sock").exists())
    standby = bench.engine().standby
    assert standby is not None
    standby.signal(signal.SIGKILL)
    assert standby.wait(10)
    dead = bench.kill()

    engine = bench.start()

    assert engine.process not in {standby, dead.process}


def test_a_stopped_engine_hands_its_runs_to_the_next(bench: Bench) -> None:
    folder = bench.run("drained", hold=True)
    bench.until_told("drained", "step")
    bench.run("waiting")
    bench.until_state("waiting", "Paused")
    engine = bench.engine()

    engine.process.signal(signal.SIGTERM)
    assert engine.process.wait(30)
    assert engine.server is not None
    assert not engine.server.alive()
    assert not control.stop(bench.settings)
    (folder / "hold").unlink()
    for run_id in ("drained", "waiting"):
        (bench.tiny / run_id / "decided").touch()
    bench.start()

    bench.until_told("drained", "step", "step", "gate", "done")
    bench.until_told("waiting", "step", "gate", "step", "gate", "done")
    bench.until_state("drained", "Completed")


def test_stop_cleans_up_after_a_dead_engine(bench: Bench) -> None:
    dead = bench.kill()
    assert dead.server is not None
    assert dead.server.alive()

    assert control.stop(bench.settings)

    assert not dead.server.alive()
    assert dead.standby is None or not dead.standby.alive()
    assert not bench.settings.engine_file.exists()


def test_a_server_nobody_wants_ends_by_itself(bench: Bench) -> None:
    server = server_process.start(bench.settings, linger=timedelta(seconds=0.6))
    assert server.process.alive()

    assert server.process.wait(20)


_PREFECT_SCRIPT = """
import asyncio, json, sys
from datetime import timedelta
from uuid import UUID, uuid4
from prefect.client.orchestration import PrefectClient
from phasegate.flows.engine.prefect_backend import dispatch
from phasegate.infra.errors import NotFound

def always(_):
    return True

def never(_):
    return False

async def revive(client, flow_run_id):
    flow_run = await client.read_flow_run(flow_run_id)
    deployment, run_id = flow_run.deployment_id, flow_run.parameters["run_id"]
    here = await dispatch.reschedule(client, flow_run_id, run_id, deployment_id=deployment, running_here=always)
    first = await dispatch.reschedule(client, flow_run_id, run_id, deployment_id=deployment, running_here=never)
    again = await dispatch.reschedule(client, flow_run_id, run_id, deployment_id=deployment, running_here=never)
    try:
        unknown = await dispatch.reschedule(client, uuid4(), run_id, deployment_id=deployment, running_here=never)
    except NotFound as error:
        unknown = type(error).__name__
    flow_run = await client.read_flow_run(flow_run_id)
    same = await dispatch.create_flow_run(
        client, flow_run.deployment_id, "bad", idempotency_key="bad", name="bad", tags=["tiny"]
    )
    return {"first": first, "again": again, "here": here, "unknown": unknown, "same": same == flow_run_id}

async def reschedule(client, flow_run_id):
    flow_run = await client.read_flow_run(flow_run_id)
    deployment, run_id = flow_run.deployment_id, flow_run.parameters["run_id"]
    return await dispatch.reschedule(client, flow_run_id, run_id, deployment_id=deployment, running_here=never)

async def main():
    async with PrefectClient(sys.argv[1], auth_string=sys.argv[4]) as client:
        print(json.dumps(await globals()[sys.argv[2]](client, UUID(sys.argv[3]))))

asyncio.run(main())
"""


def _with_prefect(bench: Bench, function: str, flow_run_id: UUID) -> Any:
    """Prefect's client in a process of its own: it reads its settings when imported, and these tests have others."""
    credentials = server_process.read_credentials(bench.settings)
    command = [sys.executable, "-c", _PREFECT_SCRIPT, bench.engine().api_url, function, str(flow_run_id), credentials]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)

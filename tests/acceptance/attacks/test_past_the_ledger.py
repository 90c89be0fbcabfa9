"""P4, P5, P10: rows written behind phasegate's back, signatures of the wrong people or things, an agent that tries."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.acceptance.attacks.conftest import POLICY, SSH, Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Project, git, script
from tests.ledgers import forge
from tests.machine import Machine, Result

from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.ledger.events import EventKind

pytestmark = pytest.mark.timeout(900)  # the engine's start is in the first of them

INTO_DECISIONS = (
    "INSERT INTO decisions (id, run_id, gate_id, subject_digest, verdict, approver, identity, standing, override, "
    "note, signature, decided_at) "
)
FORGE = (
    f"{INTO_DECISIONS} SELECT ?, g.run_id, g.id, g.subject_digest, 'approve', g.requester, 'local', 0, 0, "
    "'', '', g.opened_at FROM gates g WHERE g.run_id = ? AND g.status = 'open'"
)


def test_a_forged_row_opens_no_gate(machine: Machine, project: Project, attacker: Attacker) -> None:
    """P5. Mutation tried: see tests/integration/gates."""
    commit(project, POLICY)
    run = at_prd_gate(machine, project)
    attacker.sql(FORGE, "decision-forged", run)
    attacker.sql("UPDATE gates SET status = 'approved' WHERE run_id = ?", run)
    attacker.sql("UPDATE runs SET status = 'running' WHERE id = ?", run)
    attacker.wake(run)
    shown = machine.until(run, lambda shown: gates(shown) == [("prd", "void"), ("prd", "open")])
    machine.until(run, attacker.is_refused(run, "gate.refused"))
    assert {stage["stage"] for stage in shown["stages"]} == {"prd"}
    assert machine.phasegate("audit", run).code == 1


COPY = (
    f"{INTO_DECISIONS} SELECT 'copied into ' || g.id, g.run_id, g.id, g.subject_digest, d.verdict, d.approver, "
    "d.identity, d.standing, d.override, d.note, d.signature, d.decided_at FROM decisions d, gates g "
    "WHERE d.run_id = ? AND d.id NOT LIKE 'copied %' AND g.run_id = ? AND g.status = 'open'"
)


def test_a_decision_copied_from_elsewhere_opens_no_gate(machine: Machine, project: Project, attacker: Attacker) -> None:
    """P4. From another run, and from an earlier gate of the same run, with the digest of the gate it is put to.

    Mutation tried: see tests/integration/gates.
    """
    commit(project, POLICY)
    decided, another = at_prd_gate(machine, project), at_prd_gate(machine, project)
    assert machine.phasegate("approve", decided, "--wait").code == 3
    expected = {another: [("prd", "open")], decided: [("prd", "approved"), ("change", "open")]}
    for run, unchanged in expected.items():
        attacker.sql(COPY, decided, run)
        attacker.prefect(f"/flow_runs/{machine.show(run)['flow_run_id']}/resume", {})
        attacker.wake(run)
        machine.until(run, attacker.is_refused(run, "decision.refused: no event of the run says"))
        shown = machine.until(run, lambda shown: shown["status"] not in {"accepted", "running"})
        assert (gates(shown), shown["status"]) == (unchanged, "waiting")


def signed_by(attacker: Attacker, name: str, machine: Machine, run: str, *words: str, to_print: str = "") -> Result:
    """Approve with a signature made elsewhere, by ssh-keygen alone."""
    printed = machine.phasegate("approve", run, "--print", "--as", to_print or name, *words)
    assert printed.code == 0, printed.err
    content = attacker.folder / "decision"
    content.write_text(printed.out)
    content.with_name("decision.sig").unlink(missing_ok=True)
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "phasegate-decision", "-f", str(attacker.key(name)), str(content)]
    subprocess.run(sign, check=True, capture_output=True)
    return machine.phasegate("approve", run, "--signature", f"{content}.sig", *words)


@pytest.fixture
def signed_run(machine: Machine, project: Project, attacker: Attacker) -> str:
    """A run whose gates take Ana's and Bo's signatures; Ana asked for it, and is excluded."""
    policy = POLICY + SSH + '[gates.prd]\nroles = ["lead"]\nexclude_requester = true\n'
    policy += '[roles]\nlead = ["ana", "bo"]\nadmin = ["ana"]\n'
    commit(project, policy, signers=attacker.line("ana") + attacker.line("bo"))
    git(project.top, "config", "user.signingKey", str(attacker.key("ana")))
    revised = [{"finish": {"title": "Again", "acceptance_criteria": [{"id": "AC1", "statement": "better"}]}}]
    return at_prd_gate(machine, project, script(prd_2=revised))


def test_a_forged_command_ends_no_run(machine: Machine, attacker: Attacker, signed_run: str) -> None:
    """P5. Appended with the ledger's own code, and written into the row.

    Mutation tried: see tests/integration/gates.
    """
    run = signed_run
    forge(attacker.settings.database_url, run, EventKind.RUN_CANCEL_REQUESTED, "ana", {})
    attacker.wake(run)
    machine.until(run, attacker.is_refused(run, "command.refused: run"))
    attacker.sql("UPDATE runs SET request = 'rollback' WHERE id = ?", run)
    attacker.wake(run)
    machine.until(run, attacker.is_refused(run, "command.refused: no event of the run says"))
    shown = machine.until(run, lambda shown: shown["status"] == "waiting")
    assert gates(shown) == [("prd", "open")]
    assert "takes signed commands only" in machine.phasegate("audit", run).err
    assert machine.phasegate("cancel", run, "--key", attacker.key("eve")).code == 2
    assert machine.phasegate("cancel", run, "--wait").code == 1
    assert machine.show(run)["status"] == "cancelled"


def test_only_the_right_signature_of_the_right_bytes_opens_a_gate(
    machine: Machine, project: Project, attacker: Attacker, signed_run: str
) -> None:
    """P4, P5. Mutation tried: see tests/integration/gates."""
    run = signed_run
    assert machine.show(run)["requester"] == "ana"
    refused = {
        "excludes the requester": machine.phasegate("approve", run),
        "is not among the run's allowed signers": machine.phasegate("approve", run, "--key", attacker.key("eve")),
        "by no key that is allowed": signed_by(attacker, "eve", machine, run, to_print="bo"),
        "is invalid: it is of other bytes": signed_by(attacker, "bo", machine, run, to_print="ana"),
        "a note with the reason": machine.phasegate("approve", run, "--override"),
    }
    assert {why: result.code for why, result in refused.items()} == dict.fromkeys(refused, 2)
    for why, result in refused.items():
        assert why in result.err
        assert any(why in refusal for refusal in attacker.refusals(run)), why

    older = attacker.folder / "older"
    older.write_text(machine.phasegate("approve", run, "--print", "--as", "bo").out)
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "phasegate-decision", "-f", str(attacker.key("bo")), str(older)]
    subprocess.run(sign, check=True, capture_output=True)
    assert machine.phasegate("revise", run, "--note", "better", "--key", attacker.key("bo")).code == 0
    machine.until(run, lambda shown: gates(shown) == [("prd", "revised"), ("prd", "open")])
    late = machine.phasegate("approve", run, "--signature", Path(f"{older}.sig"))
    assert (late.code, "of other bytes" in late.err) == (2, True)
    refused_twice = [one for one in attacker.events(run) if "of other bytes" in str(one.payload.get("why"))]
    assert [one.kind for one in refused_twice] == ["decision.refused", "decision.refused"]
    assert len({one.payload["gate"] for one in refused_twice}) == 2

    assert signed_by(attacker, "bo", machine, run, "--note", "go").code == 0
    shown = machine.until(run, lambda shown: gates(shown)[1:] == [("prd", "approved"), ("change", "open")])
    assert [(one["approver"], one["identity"]) for one in shown["decisions"]] == [("bo", "ssh"), ("bo", "ssh")]
    assert machine.phasegate("audit", run).code == 0


def test_an_admin_overrides_on_record(machine: Machine, attacker: Attacker, signed_run: str) -> None:
    """P5. Ana, whom policy excludes as the requester, passes the gate as an admin, and the trail says so.

    Mutation tried: see tests/integration/gates.
    """
    done = machine.phasegate("approve", signed_run, "--override", "--note", "the site is down")
    assert done.code == 0, done.err
    machine.until(signed_run, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
    (event,) = [event for event in attacker.events(signed_run) if event.kind == "gate.overridden"]
    assert (event.actor, event.payload["note"]) == ("ana", "the site is down")
    assert "override" in machine.phasegate("show", signed_run).out
    assert machine.phasegate("audit", signed_run).code == 0


def test_no_gate_is_approved_in_advance_where_decisions_are_signed(
    machine: Machine, project: Project, attacker: Attacker
) -> None:
    commit(project, POLICY + SSH, signers=attacker.line("ana"))
    rehearsal = project.script(script())
    start = ("run", project.ticket, "--repo", project.top, "--rehearse", rehearsal)
    refused = machine.phasegate(*start, "--approve", "prd")
    assert (refused.code, "no gate can be approved in advance" in refused.err) == (2, True)
    git(project.top, "rm", "-q", ".github/allowed_signers")
    git(project.top, "commit", "-q", "-m", "Nobody")
    refused = machine.phasegate(*start)
    assert (refused.code, "there is no .github/allowed_signers at commit" in refused.err) == (2, True)


def test_no_gate_is_approved_in_advance_by_a_requester_whom_policy_excludes(machine: Machine, project: Project) -> None:
    """P5. There is no run yet whose trail could name it: nothing is accepted."""
    before = machine.phasegate("runs", "--json").json
    commit(project, POLICY + "[gates.change]\nexclude_requester = true\n")
    start = ("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script()))
    refused = machine.phasegate(*start, "--approve", "prd", "--approve", "change")
    assert (refused.code, "gate change" in refused.err) == (2, True), refused.err
    assert machine.phasegate("runs", "--json").json == before


REACHED_FOR = {"phasegate", "credentials", "services", "network", "other processes"}
"""Things that the agent of the next test reached for, by the trail."""


def test_an_agent_in_the_sandbox_reaches_nothing_that_decides(
    machine: Machine, project: Project, attacker: Attacker
) -> None:
    """P5, P10. The ledger, the doors, Prefect and the keys do not exist inside, and the trail names what was tried.

    Mutation tried: `--share-net` always; Prefect's API then answers inside.
    """
    info = EngineInfo.read(attacker.settings)
    assert info is not None
    port = info.api_url.split(":")[2].split("/")[0]
    home, ledger, door = machine.environment["HOME"], attacker.settings.ledger, attacker.settings.engine_socket
    attempts = [
        f"test -e {ledger} && echo REACHED the ledger",
        f"ls {machine.home}/*.db ~/.ssh/* {home}/.ssh/* ~root/.ssh/* 2>/dev/null | sed 's/^/REACHED /'",
        f'python3 -c \'import socket; s = socket.socket(socket.AF_UNIX); s.connect("{door}"); print("REACHED", 1)\'',
        f'python3 -c \'import socket; socket.create_connection(("127.0.0.1", {port}), 3); print("REACHED", 2)\'',
        "(env; cat /proc/*/environ) 2>/dev/null | tr '\\0' '\\n' | grep -a hunter2 | sed 's/^/REACHED /'",
        "echo finished trying",
    ]
    turns = [{"tools": [{"name": "run", "args": {"command": command}}]} for command in attempts]
    commit(project, POLICY)
    run = at_prd_gate(
        machine, project, script(implementation=[*turns, {"expect": "finished trying", "finish": {"summary": "x"}}])
    )
    assert machine.phasegate("approve", run).code == 0
    machine.until(run, lambda shown: shown["status"] not in {"accepted", "running"}, seconds=90)
    answers = [
        result["output"]
        for event in attacker.events(run)
        if event.kind == "tools.answered"
        for result in event.payload["results"]
        if result["name"] == "run"
    ]
    assert len(answers) == len(attempts)
    assert [answer for answer in answers if "REACHED" in answer.replace('"REACHED"', "")] == []
    tried = [event.payload for event in attacker.events(run) if event.kind == EventKind.SANDBOX_ATTEMPTED]
    assert [one["command"] for one in tried] == attempts[:-1]
    assert {sign["kind"] for one in tried for sign in one["signs"]} >= REACHED_FOR

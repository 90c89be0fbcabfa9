"""The deploy target `command`: the team's own commands release, and are asked afterwards what serves.

Called by the deployment stage and by rollback. What a command claims is not believed: after each that changes
something, `status` has to say that it did. And a change has no say in how it is released or rolled back: commands run
in the files of the commit the run began at. docs/targets.md has the contract with them.

    <state>/services/<service>/
        lock                     held during a change
        asking                   held while `status` is asked
        command.json             every release there ever was, and what each came after
        log                      what `status` said
        releases/<id>/source     clean checkout of the release
        releases/<id>/log        what the commands said about it
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from phasegate.infra.deploy.command.runner import CommandFailed, run_command
from phasegate.infra.deploy.command.state import (
    CommandRecord,
    CommandState,
    Live,
    require_candidate,
    require_serving,
    require_share,
    serves,
    state_of,
)
from phasegate.infra.deploy.service_folder import ServiceFolder, no_release
from phasegate.infra.deploy.sources import Sources, nothing
from phasegate.infra.deploy.target import (
    NOTHING_SERVES,
    Candidate,
    Check,
    Preview,
    Release,
    TargetState,
    Weight,
    no_weight,
    require_replaceable,
)
from phasegate.infra.errors import DeployFailed
from phasegate.infra.policy.deploy import DeployPolicy

Action = Literal["deploy", "weight", "promote", "rollback", "status", "stop"]
_ALWAYS_INHERITED = ("HOME", "LANG")
_STATE = "command.json"


class CommandTarget:
    """Target of one service that the team's own commands release; satisfies `DeployTarget`."""

    def __init__(
        self,
        policy: DeployPolicy,
        *,
        service: str,
        state_folder: Path,
        checkout: Callable[[str, Path], None],
        environment: Mapping[str, str],
        files: Callable[[], Awaitable[Path]],
        prepare: Callable[[Path], Awaitable[None]] = nothing,
    ) -> None:
        """Name the service and how its releases are made; as `ProcessTarget`.

        Args:
            policy: `[deploy]`; a release is rolled back by the commands it was made with.
            service: The service's folder name, unique to its repository.
            state_folder: Phasegate's state.
            checkout: Writes a commit's files into a folder that does not exist yet; run in a thread.
            environment: Where PATH, HOME, LANG and the names of `deploy.environment` are taken from.
            files: Gives the folder that commands run in.
            prepare: Sets a fresh checkout up, once.

        Raises:
            ValueError: The service's name could leave its folder.
        """
        self._policy = policy
        self._folder = ServiceFolder(state_folder, service)
        self._sources = Sources(self._folder, checkout, prepare)
        self._environment = environment
        self._files = files

    def preflight(self, commit: str) -> None:
        """As `DeployTarget.preflight`: obstacles are for the team's commands to tell."""

    async def status(self) -> TargetState:
        """As `DeployTarget.status`: what the team's command says."""
        return state_of(self._read(), await self._look())

    async def preview(self, commit: str) -> Preview:
        """As `DeployTarget.preview`: what the commands will do they alone know."""
        return Preview()

    async def start_candidate(self, release_id: str, commit: str, *, taking: Collection[str] = ()) -> Candidate:
        """As `DeployTarget.start_candidate`."""
        async with self._folder.lock():
            state = self._read()
            record = state.releases.setdefault(release_id, CommandRecord(commit=commit, commands=self._policy.commands))
            if record.commit != commit:
                raise DeployFailed(f"Release {release_id} is of commit {record.commit}, not {commit}.")
            self._write(state)
            live = await self._look()
            if release_id not in (*live.candidates, live.current):
                try:
                    answer = await self._run("deploy", release_id, state, previous=live.current)
                    require_candidate(release_id, await self._look())
                except CommandFailed as error:
                    await self._withdraw(release_id, state, live.current)
                    raise self._did_not_come_up(release_id, "candidate", error) from error
                record.url = str(answer.get("url", ""))
                self._write(state)
            check = Check(name="candidate", ok=True, detail="`status` names it")
            return Candidate(release_id=release_id, commit=commit, url=record.url, port=0, checks=(check,))

    async def set_weight(self, release_id: str, percent: int) -> Weight:
        """As `DeployTarget.set_weight`: by the command `weight`, if policy names one; `status` tells the share."""
        async with self._folder.lock():
            state = self._read()
            if not self._release(state, release_id).commands.weight:
                raise no_weight("command", "Write the command that does to phasegate.toml: `[deploy.commands] weight`.")
            live = await self._look()
            if release_id not in live.candidates:
                raise DeployFailed(f"{self._folder.service} has no candidate {release_id}.", release_id=release_id)
            if live.current is None:
                return Weight(release_id=release_id, wanted=percent, actual=0, detail=NOTHING_SERVES)
            if live.weight != percent:
                live = await self._shift(release_id, percent, state, live.current)
            return Weight(release_id=release_id, wanted=percent, actual=live.weight, detail="as `status` says")

    async def cut_over(self, release_id: str, *, over: Collection[str | None] = ()) -> Release:
        """As `DeployTarget.cut_over`."""
        async with self._folder.lock():
            state = self._read()
            record = self._release(state, release_id)
            live = await self._look()
            require_replaceable(self._folder.service, release_id, live.current, over)
            if live.current != release_id:
                record.previous = live.current
                self._write(state)  # before it serves: a crash may come between
                live = await self._promote(release_id, state, live.current)
            record.served = True
            self._write(state)
            return Release(
                target="command",
                service=self._folder.service,
                commit=record.commit,
                release_id=release_id,
                url=live.url,
                port=0,
                previous=record.previous,
                checks=(Check(name="service", ok=True, detail="`status` says that it serves"),),
            )

    async def stop_candidate(self, release_id: str) -> None:
        """As `DeployTarget.stop_candidate`."""
        async with self._folder.lock():
            state, live = self._read(), await self._look()
            if release_id in live.candidates:
                await self._give_back(release_id, state, live)
                await self._withdraw(release_id, state, live.current)
                if release_id in (await self._look()).candidates:
                    raise DeployFailed(
                        f"Candidate {release_id} of {self._folder.service} is still there after `rollback`.",
                        remedy=self._remedy(release_id),
                    )
            record = state.releases.get(release_id)
            if record is None or not record.served:
                await self._sources.drop(release_id)

    async def restore(self, release_id: str | None) -> TargetState:
        """As `DeployTarget.restore`."""
        async with self._folder.lock():
            state, live = self._read(), await self._look()
            if release_id is not None:
                self._release(state, release_id)
            replaced = live.current
            if not serves(release_id, live):
                try:
                    await self._run("rollback", replaced or release_id or "", state, previous=release_id)
                    live = await self._look()
                    require_serving(release_id, live)
                except CommandFailed as error:
                    raise DeployFailed(
                        f"{self._folder.service} did not go back to {release_id or 'nothing'}: {error}",
                        remedy=self._remedy(replaced or ""),
                        release_id=release_id or "",
                    ) from error
            return state_of(state, live)

    async def log(self, release_id: str, *, characters: int) -> str:
        """As `DeployTarget.log`: what the commands said about it."""
        return self._folder.log_text(release_id, characters=characters)

    async def stop(self) -> None:
        """As `DeployTarget.stop`.

        Raises:
            DeployFailed: Policy names no command for it, or it failed.
        """
        async with self._folder.lock():
            state, live = self._read(), await self._look()
            for candidate in live.candidates:
                await self._give_back(candidate, state, live)
                await self._withdraw(candidate, state, live.current)
            if live.current is None or not live.alive:
                return
            if not self._policy.commands.stop:
                raise DeployFailed(
                    f"Policy does not say how {self._folder.service} is stopped.",
                    remedy="Write it to phasegate.toml: `[deploy.commands] stop = …`.",
                )
            try:
                await self._run("stop", live.current, state, previous=None)
            except CommandFailed as error:
                raise DeployFailed(f"{self._folder.service} could not be stopped: {error}") from error

    async def _shift(self, release_id: str, percent: int, state: CommandState, serving: str | None) -> Live:
        """Give a candidate its share, as `status` says afterwards.

        Raises:
            DeployFailed: It has another.
        """
        try:
            await self._run("weight", release_id, state, previous=serving, percent=percent)
            live = await self._look()
            require_share(percent, live)
        except CommandFailed as error:
            raise DeployFailed(
                f"Release {release_id} of {self._folder.service} did not get {percent} % of the traffic: {error}",
                remedy=self._remedy(release_id),
                release_id=release_id,
            ) from error
        return live

    async def _give_back(self, release_id: str, state: CommandState, live: Live) -> None:
        """Take a candidate's share away; if that fails it loses it with its end, which `status` has to confirm."""
        if live.weight and release_id in state.releases and state.releases[release_id].commands.weight:
            try:
                await self._shift(release_id, 0, state, live.current)
            except DeployFailed as error:
                with self._log(release_id).open("a") as log:
                    log.write(f"weight: {error.message}\n")

    async def _promote(self, release_id: str, state: CommandState, former: str | None) -> Live:
        """Make a release current; if that fails, make the former one current again."""
        try:
            await self._run("promote", release_id, state, previous=former)
            live = await self._look()
            require_serving(release_id, live)
        except CommandFailed as error:
            failure = self._did_not_come_up(release_id, "service", error)
            live = await self._look()
            if not serves(former, live):
                await self._withdraw(release_id, state, former)
                live = await self._look()
            if not serves(former, live):
                raise DeployFailed(
                    f"{failure.message}\nAnd {former or 'nothing'} does not serve as before: `status` says that "
                    f"{live.current or 'nothing'} does.",
                    remedy="Look at the log, and see what serves. Then start a run that repairs it.",
                    **failure.context,
                ) from error
            failure.context["restored"] = former or ""
            raise failure from error
        return live

    async def _withdraw(self, release_id: str, state: CommandState, serving: str | None) -> None:
        """Take away what a release left behind, as well as the command can; `status` tells whether it could."""
        try:
            await self._run("rollback", release_id, state, previous=serving)
        except CommandFailed as error:
            with self._log(release_id).open("a") as log:
                log.write(f"rollback: {error}\n")

    async def _look(self) -> Live:
        """Ask `status`; callers take turns.

        Raises:
            DeployFailed: It does not say.
        """
        try:
            async with self._folder.lock("asking"):
                answer = await self._run("status", "", self._read(), previous=None)
            return Live.model_validate(answer)
        except (CommandFailed, ValidationError) as error:
            raise DeployFailed(
                f"`deploy.commands.status` does not say what serves of {self._folder.service}: {error}",
                remedy='It has to print a JSON object with "current", a release\'s id or null.',
            ) from error

    async def _run(
        self, action: Action, release_id: str, state: CommandState, *, previous: str | None, percent: int = 0
    ) -> dict[str, object]:
        record, before = state.releases.get(release_id), state.releases.get(previous or "")
        commands = record.commands if record is not None else self._policy.commands
        shown = before if action == "rollback" else record
        names = (*_ALWAYS_INHERITED, *self._policy.environment)
        path = self._environment.get("PATH", os.defpath)
        variables = {
            "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}",
            "PHASEGATE_ACTION": action,
            "PHASEGATE_SERVICE": self._folder.service,
            "PHASEGATE_RELEASE_ID": release_id,
            "PHASEGATE_COMMIT": record.commit if record else "",
            "PHASEGATE_PREVIOUS_ID": previous or "",
            "PHASEGATE_PREVIOUS_COMMIT": before.commit if before else "",
            "PHASEGATE_FILES": "",
        }
        if action == "weight":
            variables["PHASEGATE_WEIGHT"] = str(percent)
        if shown is not None:
            shown_id = release_id if shown is record else previous or ""
            variables["PHASEGATE_FILES"] = str(await self._sources.ensure(shown_id, shown.commit))
        handed_on = {name: self._environment[name] for name in names if name in self._environment}
        return await run_command(
            getattr(commands, action),
            folder=await self._files(),
            log=self._log(release_id),
            environment={**handed_on, **variables},
            mark=self._folder.mark("command", action),
            limit=self._policy.rollout_timeout,
        )

    def _log(self, release_id: str) -> Path:
        folder = self._folder.release(release_id) if release_id else self._folder.path
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "log"

    def _read(self) -> CommandState:
        return self._folder.read_as(CommandState, _STATE) or CommandState(service=self._folder.service)

    def _write(self, state: CommandState) -> None:
        self._folder.write(state, _STATE)

    def _release(self, state: CommandState, release_id: str) -> CommandRecord:
        if release_id not in state.releases:
            raise no_release(self._folder.service, release_id)
        return state.releases[release_id]

    def _did_not_come_up(self, release_id: str, role: str, error: CommandFailed) -> DeployFailed:
        return DeployFailed(
            f"Release {release_id} of {self._folder.service} did not come up as {role}: {error}",
            remedy=self._remedy(release_id),
            release_id=release_id,
        )

    def _remedy(self, release_id: str) -> str:
        return f"Look at {self._log(release_id)}; `[deploy.commands]` in phasegate.toml says how it is released."

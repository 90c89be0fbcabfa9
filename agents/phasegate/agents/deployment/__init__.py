"""The deployment agent: plans the release of an approved change and names its risks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from phasegate.agents.deployment import migrations as stored_data
from phasegate.agents.deployment.migrations import Migration, NoMigration
from phasegate.agents.stage import Draft, StageAgent, bullets, section
from phasegate.agents.tools.tool_sets import READING
from phasegate.infra.artifacts import Artifact
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.policy.migrations import MigrationClass
from phasegate.infra.workspace import ChangeSet

_SHOWN_CHARACTERS = 12_000


class ReleasePlanDraft(Draft):
    """How the change is to be released."""

    summary: str = ""
    """What is released."""
    steps: tuple[str, ...] = ()
    """What will happen, in order."""
    checks: tuple[str, ...] = ()
    """What to look at afterwards."""
    migrations: tuple[Migration, ...] = ()
    """Changes to stored data or schema."""
    no_migrations: tuple[NoMigration, ...] = ()
    """Files that policy counts as migrations and that migrate nothing."""
    risks: tuple[str, ...] = ()
    """What could go wrong."""


class ReleasePlan(ReleasePlanDraft, Artifact):
    """The plan with the facts code adds to it; what gate `release` asks about.

    Attributes:
        commit: What is released.
        target: Where to.
        service: The service's name there.
        start: The command that starts it; empty where the target is no command's.
        replaces: The release that runs now; empty: none.
        changes: A diff of what is live on the target and what is wanted; empty where it has none to show.
        taking: What somebody else owns there and an approval takes over.
        measured: What is measured after the release, and takes it back where it does not hold.
        unmeasured: Service levels of the PRD that nothing measures, each with the reason.
        migration_files: The files of the change that policy counts as migrations.
        migration_commands: What makes the migrations of each class; one that is not there is made by nobody.
        migration_signs: Where a migration's file takes away what its class says it does not.
    """

    kind: ClassVar[str] = "release-plan"
    commit: str
    target: str
    service: str
    start: str
    replaces: str
    changes: str = ""
    taking: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    migration_files: tuple[str, ...] = ()
    migration_commands: Mapping[MigrationClass, str] = {}
    migration_signs: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The plan as a person reads it at the gate."""
        facts = (
            f"commit `{self.commit[:12]}` to target `{self.target}`, service `{self.service}`",
            *([f"started by `{self.start}`"] if self.start else []),
            f"replaces release `{self.replaces}`" if self.replaces else "the first release: nothing runs there now",
        )
        migrations = stored_data.shown(
            self.migration_files, self.migrations, self.no_migrations, self.migration_commands, self.migration_signs
        )
        return (
            f"## Release plan\n\n{self.summary}\n"
            + bullets("What is released", facts)
            + migrations
            + bullets("Steps", self.steps)
            + bullets("Checks", self.checks)
            + bullets("Measured after the release", self.measured)
            + bullets("Service levels that nothing measures", self.unmeasured)
            + bullets("Risks", self.risks)
            + bullets("An approval takes over what others own", self.taking)
            + (f"\n### What changes on the target\n\n{_fenced(self.changes)}\n" if self.changes else "")
        )


def _fenced(diff: str) -> str:
    """A diff as a code block that nothing in it can end."""
    longest = max((len(run) for run in re.findall("`+", diff)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}diff\n{diff}\n{fence}"


AGENT = StageAgent("deployment", ReleasePlanDraft, READING)


def brief(
    change: ChangeSet,
    evidence: Evidence,
    *,
    target_state: str,
    start: str,
    changes: str = "",
    migrations: str = "",
    note: str = "",
) -> str:
    """Write the brief of one attempt.

    Args:
        change: The change to release.
        evidence: Its grade.
        target_state: A description of what runs on the target now.
        start: The command that starts the service; empty where there is none.
        changes: A diff of what is live on the target and what is wanted; its beginning is shown.
        migrations: The part about migrations, as `phasegate.agents.deployment.migrations` writes it.
        note: The approver's note, if the previous plan was sent back.
    """
    text = section("change", change.markdown()) + section("evidence", evidence.markdown())
    text += section("target", f"{target_state}\nStarted by: {start}" if start else target_state)
    if changes:
        text += section("target_changes", changes[:_SHOWN_CHARACTERS])
    text += migrations
    return text + (section("reviewer_note", note) if note else "")

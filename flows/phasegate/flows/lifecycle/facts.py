"""Facts of a run: its row, its stored inputs, and the resources that it shares with other runs of the engine.

`RunContext` adds to them what one pass over the pipeline needs. Parts of the context that must not see each other are
made from the facts alone.
"""

from __future__ import annotations

from functools import cached_property

from phasegate.flows.engine.resources import Resources
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.ledger import Ledger, Origin, Run
from phasegate.infra.policy.model import Policy
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings
from phasegate.infra.tickets.ticket import Ticket


class RunFacts:
    """Facts of a run, read from the ledger when they are first asked for.

    Attributes:
        record: The run's row as it stood when the pass began.
        resources: Resources that the engine shares among runs.
    """

    def __init__(self, record: Run, resources: Resources) -> None:
        """Keep the row and the resources."""
        self.record, self.resources = record, resources

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.id

    @property
    def origin(self) -> Origin | None:
        """The earlier run that this run replays or rehearses, if it does."""
        return self.record.origin

    @property
    def base_commit(self) -> str:
        """The commit that the run started from."""
        return self.record.base_commit

    @property
    def ledger(self) -> Ledger:
        """The ledger, fenced by the run's lease."""
        return self.resources.ledger

    @property
    def settings(self) -> Settings:
        """The machine's settings."""
        return self.resources.settings

    @property
    def secrets(self) -> Secrets:
        """Secrets that must not pass to a model, the ledger or an artifact."""
        return self.resources.secrets

    @cached_property
    def policy(self) -> Policy:
        """The policy at the base commit."""
        return self.ledger.artifacts.get(self.record.policy, StoredPolicy).policy

    @cached_property
    def ticket(self) -> Ticket:
        """The ticket of the run."""
        return self.ledger.artifacts.get(self.record.ticket, Ticket)

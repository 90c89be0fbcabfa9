"""Every way phasegate can fail, in one tree.

    PhasegateError
    ├── ConfigError            a person changes something, then tries again    exit code 2
    │   ├── UsageError         the command line's words are off
    │   ├── PolicyError        phasegate.toml does not hold
    │   ├── TicketError        the ticket cannot be read
    │   ├── RepositoryError    the repository is not one a run can start from
    │   ├── ScriptError        the rehearsal script does not hold
    │   ├── ModelKeyMissing    no key for the chosen provider
    │   ├── SandboxMissing     the sandbox's program is not installed
    │   ├── PortTaken          another process listens there
    │   ├── EngineUnavailable  no engine answers
    │   ├── DocumentUnreadable a document from outside does not hold, or is past a bound
    │   ├── NotAllowed         this person may not do that, or nobody may now
    │   └── NotFound           no such run, gate or artifact
    ├── TemporaryError         tried again after `delay`
    │   ├── ModelUnavailable   429, 5xx, time-out, cut stream
    │   ├── LeaseHeld          another engine runs this attempt
    │   ├── LedgerUnavailable  the database lost the connection, or does not answer
    │   └── TargetUnavailable  where releases go does not answer, for longer than was waited
    ├── OperatorNeeded         a person has to act before it can continue      exit code 5
    │   ├── BudgetExceeded     the next call would break a budget
    │   ├── AgentStopped       the agent ended without a usable result
    │   ├── ModelLimited       the account's limit is reached: waiting a minute does not help
    │   ├── ModelDeclined      the model refused to answer, or a filter held its answer back
    │   ├── QuestionAsked      the agent waits for a person's answer
    │   ├── PermissionAsked    the agent waits for a person's permission
    │   ├── FormatUnknown      another version of phasegate wrote or began it
    │   ├── PastPivot          an effect that cannot be undone has been made: only forward
    │   ├── MigrationFailed    a migration's command failed, and nobody knows how far it got
    │   ├── ServiceFailed      a service that the tests need does not come up
    │   ├── BaseTellsNothing   the project's own tests say nothing about the base commit
    │   ├── TargetRefused      where releases go does not let phasegate: a right, a quota, a field is missing
    │   └── CompensationFailed an effect could not be undone
    └── PermanentError         the stage stops                                 exit code 1
        ├── ModelRefused       the provider will never accept this request
        ├── RehearsalDeparted  the request does not match the script
        ├── SetupFailed        the project's setup command failed
        ├── IntegrationFailed  the change does not merge
        │   └── BranchMoved    merged, it would not be the tree that was graded
        ├── DeployFailed       the release did not come up
        └── TrailBroken        the audit trail does not hold

A class's docstring is its default message, `remedy` says in the imperative what to do, and keyword context is
kept in `context`. Adapters translate their vendor's errors into these, chained with `from`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar


class PhasegateError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    remedy: str = ""

    def __init__(self, message: str = "", *, remedy: str = "", **context: object) -> None:
        """Keep the message, the remedy and any keyword context.

        Args:
            message: One sentence; the class's docstring when empty.
            remedy: What to do, in the imperative; the class's own when empty.
            context: JSON-able facts that name what was concerned.
        """
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.remedy = remedy or type(self).remedy
        self.context = context
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling with message, remedy and context."""
        return (_rebuild, (type(self), self.message, self.remedy, self.context, self.__dict__))

    def __str__(self) -> str:
        """The message, then the remedy."""
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message

    def as_json(self) -> dict[str, object]:
        """The error as `--json` and the ledger show it."""
        return {
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "context": {key: str(value) for key, value in self.context.items()},
        }


def _rebuild(
    cls: type[PhasegateError], message: str, remedy: str, context: dict[str, object], state: dict[str, Any]
) -> PhasegateError:
    error = cls(message, remedy=remedy, **context)
    error.__dict__.update(state)
    return error


class ConfigError(PhasegateError):
    """The configuration does not hold."""

    code = "config"
    exit_code = 2


class UsageError(ConfigError):
    """The command was given something it cannot use."""

    code = "usage"


class PolicyError(ConfigError):
    """phasegate.toml does not hold."""

    code = "policy"


class TicketError(ConfigError):
    """The ticket cannot be read."""

    code = "ticket"


class RepositoryError(ConfigError):
    """The repository is not one a run can start from."""

    code = "repository"


class ScriptError(ConfigError):
    """The rehearsal script does not hold."""

    code = "script"


class ModelKeyMissing(ConfigError):
    """No key is set for the chosen model's provider."""

    code = "model-key"


class SandboxMissing(ConfigError):
    """The sandbox cannot be used on this machine."""

    code = "sandbox"
    remedy = (
        'Install bubblewrap (Debian: apt-get install bubblewrap), or set `[sandbox] backend = "none"` in '
        "phasegate.toml to run agents without one."
    )


class PortTaken(ConfigError):
    """Something else listens on this port."""

    code = "port"


class EngineUnavailable(ConfigError):
    """No engine answers."""

    code = "engine"
    remedy = "Start it with `phasegate up`."


class DocumentUnreadable(ConfigError, ValueError):
    """A document from outside cannot be read.

    It is a `ValueError` too, so that a validator of pydantic may raise it.
    """

    code = "document"
    remedy = "Correct it; `docs/operations.md` has the bounds within which phasegate reads."

    @property
    def reason(self) -> str:
        """A clause that says why, without the document's name."""
        return str(self.context.get("reason") or self.message)

    @property
    def line(self) -> int | None:
        """The line, from 1; `None` if there is none."""
        line = self.context.get("line")
        return line if isinstance(line, int) else None

    @property
    def key(self) -> str:
        """The key or item, as a person writes it; empty if there is none."""
        return str(self.context.get("key", ""))


class NotAllowed(ConfigError):
    """This may not be done by this person, or not now."""

    code = "not-allowed"


class NotFound(ConfigError):
    """There is no such thing in the ledger."""

    code = "not-found"


class TemporaryError(PhasegateError):
    """Something failed that may work in a moment."""

    code = "temporary"
    delay: timedelta = timedelta(seconds=1)

    def __init__(
        self, message: str = "", *, delay: timedelta | None = None, remedy: str = "", **context: object
    ) -> None:
        """As `PhasegateError`, with the time to wait before the next try."""
        super().__init__(message, remedy=remedy, **context)
        self.delay = type(self).delay if delay is None else delay


class ModelUnavailable(TemporaryError):
    """The model's provider did not answer this time."""

    code = "model-unavailable"


class LeaseHeld(TemporaryError):
    """Another process works on this stage attempt."""

    code = "lease-held"


class LedgerUnavailable(TemporaryError):
    """The ledger's database does not answer."""

    code = "ledger-unavailable"
    remedy = "See that the database in PHASEGATE_DATABASE_URL runs and lets phasegate in; what was begun goes on then."


class TargetUnavailable(TemporaryError):
    """The deploy target does not answer."""

    code = "target-unavailable"


class OperatorNeeded(PhasegateError):
    """A person has to act before the run can go on."""

    code = "operator-needed"
    exit_code = 5


class BudgetExceeded(OperatorNeeded):
    """The next model call would break a budget."""

    code = "budget"
    remedy = "A person with the right role raises it: `phasegate approve RUN budget`."


class AgentStopped(OperatorNeeded):
    """The agent ended without a usable result."""

    code = "agent-stopped"


class ModelLimited(OperatorNeeded):
    """The limit of the model's account is reached."""

    code = "model-limited"
    remedy = (
        "`phasegate resume RUN` goes on once the limit has ended or was raised. Or ask another model: "
        "`phasegate replay RUN --model PROVIDER:MODEL`, or `[agents] fallback` in phasegate.toml for later runs."
    )


class ModelDeclined(OperatorNeeded):
    """The model refused to answer."""

    code = "model-declined"
    remedy = (
        'Ask in other words with `phasegate steer RUN "…"`, then `phasegate resume RUN`. Or ask another model: '
        "`phasegate replay RUN --model PROVIDER:MODEL`, or `[agents] fallback` in phasegate.toml for later runs."
    )


class QuestionAsked(OperatorNeeded):
    """The agent has a question."""

    code = "question-asked"
    remedy = '`phasegate answer RUN "…"` answers it.'


class PermissionAsked(OperatorNeeded):
    """The agent wants to run a command that a person has to permit."""

    code = "permission-asked"
    remedy = "`phasegate approve RUN permission` permits it."


class PastPivot(OperatorNeeded):
    """The run has made an effect that cannot be undone."""

    code = "past-pivot"


class MigrationFailed(OperatorNeeded):
    """A migration was not made."""

    code = "migration"


class ServiceFailed(OperatorNeeded):
    """A service that the tests need did not come up."""

    code = "service-failed"
    remedy = "Mend `[[project.services]]` in phasegate.toml, or install its program: `phasegate doctor` says which."


class TargetRefused(OperatorNeeded):
    """The deploy target does not let phasegate do that."""

    code = "target-refused"


class BaseTellsNothing(OperatorNeeded):
    """The project's own tests tell nothing about the base commit."""

    code = "base-tells-nothing"
    remedy = (
        "Mend the suite, see it with `phasegate doctor --run`, and start a run anew; or set "
        '`[grading] base = "warn"` in phasegate.toml to go on without it.'
    )


class FormatUnknown(OperatorNeeded):
    """This was written by another version of phasegate, in a way this one does not know."""

    code = "format"
    remedy = "`phasegate replay RUN` goes on in a new run, which adopts all that is still understood."


class CompensationFailed(OperatorNeeded):
    """An effect could not be undone."""

    code = "compensation"


class PermanentError(PhasegateError):
    """Something failed that will fail again."""

    code = "permanent"


class ModelRefused(PermanentError):
    """The model's provider refused the request."""

    code = "model-refused"


class RehearsalDeparted(PermanentError):
    """The run departed from its rehearsal script."""

    code = "rehearsal"
    remedy = "Change the script at that turn; `phasegate logs` shows the turns before it."


class SetupFailed(PermanentError):
    """The project's setup command failed."""

    code = "setup"


class IntegrationFailed(PermanentError):
    """The change could not be integrated."""

    code = "integration"


class BranchMoved(IntegrationFailed):
    """Merged into the branch as it is now, the change would be another tree than the graded one."""

    code = "branch-moved"


class DeployFailed(PermanentError):
    """The release did not come up."""

    code = "deploy"


class TrailBroken(PermanentError):
    """The audit trail does not hold."""

    code = "trail"

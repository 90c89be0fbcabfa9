"""Identity of a person, as far as phasegate can tell, and signatures on decisions and commands.

Used where a person starts a run, decides or gives a command, and by the ledger when it checks either. Two modes:
`local` trusts the operating system; `ssh` has a signature verified with the tooling that people already sign commits
with.
"""

from phasegate.infra.identity.allowed_signers import AllowedSigners
from phasegate.infra.identity.keys import SigningKey, signing_key
from phasegate.infra.identity.person import Person, local_person
from phasegate.infra.identity.signatures import (
    COMMAND_NAMESPACE,
    DECISION_NAMESPACE,
    REQUEST_NAMESPACE,
    owner_of,
    sign,
    signer_of,
)
from phasegate.infra.identity.statement import CommandStatement, DecisionStatement

__all__ = [
    "COMMAND_NAMESPACE",
    "DECISION_NAMESPACE",
    "REQUEST_NAMESPACE",
    "AllowedSigners",
    "CommandStatement",
    "DecisionStatement",
    "Person",
    "SigningKey",
    "local_person",
    "owner_of",
    "sign",
    "signer_of",
    "signing_key",
]

"""Identity of a person, as far as phasegate can tell, and signatures on decisions.

Used where a person starts a run or decides, and by the ledger when it checks a decision. Two modes: `local` trusts the
operating system; `ssh` has a signature verified with the tooling that people already sign commits with.
"""

from phasegate.infra.identity.allowed_signers import AllowedSigners
from phasegate.infra.identity.keys import SigningKey, signing_key
from phasegate.infra.identity.person import Person, local_person
from phasegate.infra.identity.signatures import DECISION_NAMESPACE, REQUEST_NAMESPACE, owner_of, sign, signer_of
from phasegate.infra.identity.statement import DecisionStatement

__all__ = [
    "DECISION_NAMESPACE",
    "REQUEST_NAMESPACE",
    "AllowedSigners",
    "DecisionStatement",
    "Person",
    "SigningKey",
    "local_person",
    "owner_of",
    "sign",
    "signer_of",
    "signing_key",
]

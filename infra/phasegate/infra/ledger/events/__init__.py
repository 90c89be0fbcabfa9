"""Events of a run: the links of its hash chain, by kind, and the facts that each kind carries.

The store adds `rows` to each payload: the digests of the rows that were written with the event. Stored formats only
grow: a fact that comes later is `NotRequired`, and a kind is never renamed. docs/events.md lists them all.
"""

from phasegate.infra.ledger.events.kinds import EventKind

__all__ = ["EventKind"]

"""Artifacts: frozen, typed outputs of stages, stored by the digest of their canonical JSON.

Each artifact type lives with the room that makes it (`Ticket` in tickets, `ChangeSet` in workspace, `Prd` in the
prd agent, …) and derives from `Artifact`. The ledger stores any of them and knows none.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Spell a value as JSON in the one canonical way: sorted keys, no spaces, UTF-8 kept as it is.

    Every digest phasegate takes of JSON is taken of this. Source: RFC 8785 in spirit; floats are Python's repr.
    """
    return _CANONICAL.encode(value)


def sha256(content: str | bytes) -> str:
    """The digest of some content, spelled `sha256:<64 hex digits>`."""
    data = content.encode() if isinstance(content, str) else content
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Artifact(BaseModel):
    """A typed, content-addressed output.

    Attributes:
        kind: The word for this type in the ledger, the CLI and the docs.
        schema_version: The stored format's version; a reader that does not know it must stop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    schema_version: int = 1
    _read_from: str = PrivateAttr(default="")

    def canonical(self) -> str:
        """The canonical JSON text, with its kind, that the digest is taken of.

        What an earlier version stored keeps its text, and so its digest, when the type has got more fields since.
        """
        return self._read_from or canonical_json({"kind": self.kind, **self.model_dump(mode="json")})

    @property
    def needs_person(self) -> bool:
        """True if a gate about it opens even where policy has it off or it was approved in advance."""
        return False

    @property
    def to_accept(self) -> tuple[str, ...]:
        """Names that an approval must accept one by one to count; none for most artifacts."""
        return ()

    @property
    def digest(self) -> str:
        """`sha256:…` of the canonical JSON."""
        return sha256(self.canonical())

    @classmethod
    def from_canonical(cls, text: str) -> Self:
        """Read back what `canonical` wrote.

        Raises:
            ValueError: The text is of another kind, of a later format, or does not match this type.
        """
        data = json.loads(text)
        if (kind := data.pop("kind", None)) != cls.kind:
            raise ValueError(f"expected an artifact of kind {cls.kind}, found {kind}")
        newest: int = cls.model_fields["schema_version"].default
        if (version := data.get("schema_version", 1)) > newest:
            raise ValueError(f"{kind} has format {version}, and {newest} is the newest that is known here")
        artifact = cls.model_validate(data)
        if artifact.canonical() != text:
            artifact._read_from = text  # noqa: SLF001  only then, so that what is read equals what was made
        return artifact

    def markdown(self) -> str:
        """The artifact as a person reads it; a plain JSON block unless the type knows better."""
        return f"```json\n{json.dumps(self.model_dump(mode='json'), indent=2, ensure_ascii=False)}\n```\n"

"""Allowed signers: the file that says which key is whose, as it stood at the base commit, kept with the run.

Format: ALLOWED SIGNERS in ssh-keygen(1). Here the file is only read to name a key's owner before there is a signature;
whether a signature holds is ssh-keygen's word alone (`signatures`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import ClassVar

from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import NotAllowed, PolicyError
from phasegate.infra.identity.public_key import fingerprint, key_blob

_FIELD = re.compile(r'(?:[^\s"]|"(?:\\.|[^"])*")+')
_NAMESPACES = re.compile(r'(?:^|,)namespaces="([^"]*)"', re.IGNORECASE)
_PATTERN = re.compile(r"[*?!]")


class AllowedSigners(Artifact):
    """The text of an allowed-signers file."""

    kind: ClassVar[str] = "allowed-signers"
    text: str

    @classmethod
    def from_file(cls, content: bytes, *, source: str) -> AllowedSigners:
        """The file's content, if it lets at least one person sign.

        Args:
            content: The file's bytes.
            source: How messages name it.

        Raises:
            PolicyError: It is not UTF-8, or names no key of a single person.
        """
        try:
            signers = cls(text=content.decode())
        except UnicodeDecodeError as error:
            raise PolicyError(f"{source} is not UTF-8 text: {error}") from error
        if not any(is_one_person(name) for name, _ in signers.owners()):
            raise PolicyError(
                f"{source} allows nobody to sign",
                remedy="Add a line `ana@example.org ssh-ed25519 AAAA…` for each person, and commit it.",
            )
        return signers

    def owners(self) -> Iterator[tuple[str, str]]:
        """Each line's first principal, and its key in base 64."""
        for line in self.text.splitlines():
            fields = _FIELD.findall(line)
            if not fields or fields[0].startswith("#"):
                continue
            blobs = [blob for kind, blob in pairwise(fields[1:]) if key_blob(f"{kind} {blob}")]
            if blobs and "cert-authority" not in fields[1].lower().split(","):
                yield fields[0].strip('"').split(",")[0], blobs[0]

    def lacking_namespace(self, principal: str, namespace: str) -> str:
        """Namespaces that a principal's lines allow, if none of them allows this one; empty where one does."""
        restricted: list[str] = []
        for line in self.text.splitlines():
            fields = _FIELD.findall(line)
            if not fields or fields[0].strip('"').split(",")[0] != principal:
                continue
            allowed = _NAMESPACES.search(fields[1])
            if allowed is None or any(fnmatchcase(namespace, pattern) for pattern in allowed[1].split(",")):
                return ""
            restricted.append(allowed[1])
        return ",".join(restricted)

    def principal_of(self, public_key: str) -> str | None:
        """The one person that a public key belongs to, or `None` if the file names none, or only a pattern."""
        blob = key_blob(public_key)
        names = (name for name, own in self.owners() if own == blob and is_one_person(name))
        return next(names, None)

    def require(self, public_key: str) -> str:
        """The one person that a public key belongs to.

        Raises:
            NotAllowed: The file names no person for the key.
        """
        principal = self.principal_of(public_key)
        if principal is None:
            raise NotAllowed(
                f"the key {fingerprint(public_key)} is not among the run's allowed signers",
                remedy="Sign with a key that the allowed-signers file named at the run's base commit (--key FILE).",
            )
        return principal

    def require_named(self, principal: str) -> str:
        """A principal whom the file names.

        Raises:
            NotAllowed: It does not, or only as a pattern.
        """
        names = sorted({name for name, _ in self.owners() if is_one_person(name)})
        if principal not in names:
            raise NotAllowed(
                f"{principal} is not among the run's allowed signers",
                remedy=f"At the run's base commit that file named {', '.join(names)}.",
            )
        return principal


def is_one_person(principal: str) -> bool:
    """True if a principal names a person; people whom a pattern names could decide under any name."""
    return bool(principal) and not _PATTERN.search(principal)

"""Choice of a signing key: the one a person names, the one git signs with, or the SSH agent's first allowed one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.errors import ConfigError, NotAllowed
from phasegate.infra.identity.allowed_signers import AllowedSigners
from phasegate.infra.identity.public_key import fingerprint, key_blob


@dataclass(frozen=True)
class SigningKey:
    """A key a person can sign with.

    Attributes:
        public: The public key, as one line.
        file: The key's file, private or public; None: the agent holds it.
    """

    public: str
    file: Path | None = None

    @property
    def name(self) -> str:
        """Name of the key in messages: its file, or its fingerprint."""
        return str(self.file or fingerprint(self.public))


def signing_key(signers: AllowedSigners, *, file: Path | None, folder: Path) -> SigningKey:
    """Choose the key to sign with; verification says whether it is allowed.

    Args:
        signers: Picks among the agent's keys.
        file: The key the person named; it comes first.
        folder: Where git is asked for `user.signingKey`.

    Raises:
        ConfigError: The named key cannot be read.
        NotAllowed: No key was named, and the agent has none that is allowed.
    """
    if file is not None:
        return _from_file(file.expanduser())
    if configured := _configured(folder):
        return configured
    for public in _output_of("ssh-add", "-L").splitlines():
        if signers.principal_of(public):
            return SigningKey(public)
    raise NotAllowed(
        "no key to sign with was found: git's user.signingKey is no SSH key, and no key of the agent is allowed",
        remedy="Name your key with --key FILE, or sign on another machine: see --print and --signature.",
    )


def _configured(folder: Path) -> SigningKey | None:
    value = _output_of("git", "config", "--get", "user.signingKey", folder=folder if folder.is_dir() else None).strip()
    literal = value.removeprefix("key::")
    if key_blob(literal):
        return SigningKey(literal)
    path = Path(value).expanduser()
    return _from_file(path) if value and path.is_file() else None


def _from_file(path: Path) -> SigningKey:
    """The key in a file; its public half is the file itself, the file's `.pub`, or what ssh-keygen derives."""
    for candidate in (path, path.with_name(f"{path.name}.pub")):
        try:
            first = candidate.read_text(errors="replace").partition("\n")[0]
        except OSError:
            continue
        if key_blob(first):
            return SigningKey(first, path)
    public_key = _output_of("ssh-keygen", "-y", "-f", str(path)).strip()
    if not key_blob(public_key):
        raise ConfigError(f"{path} is no SSH key that can be read", remedy="Name your key's file with --key FILE.")
    return SigningKey(public_key, path)


def _output_of(*command: str, folder: Path | None = None) -> str:
    """Standard output of a program, or an empty string if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""

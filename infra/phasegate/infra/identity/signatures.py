"""SSH signatures, made and verified by ssh-keygen, which alone decides whether a signature holds.

Format: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig. Must not know what is signed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from phasegate.infra.errors import ConfigError, NotAllowed
from phasegate.infra.identity.allowed_signers import AllowedSigners, is_one_person
from phasegate.infra.identity.keys import SigningKey

DECISION_NAMESPACE = "phasegate-decision"
"""Namespace that decisions are signed under; a signature of a commit or an e-mail has another."""
COMMAND_NAMESPACE = "phasegate-command"
"""Namespace that commands to a run are signed under."""
REQUEST_NAMESPACE = "phasegate-request"
"""Namespace that the request of a run is signed under, where policy must know who asked."""

_VERIFY_SECONDS = 30
_BEGIN = "-----BEGIN SSH SIGNATURE-----"


def sign(content: bytes, key: SigningKey, *, namespace: str) -> str:
    """Sign some bytes; ssh-keygen asks at the terminal for a passphrase, or for a touch, if the key needs one.

    Raises:
        ConfigError: ssh-keygen is missing, or the key cannot be used.
    """
    with _folder() as folder:
        where = ["-f", str(key.file)]
        if key.file is None:
            public = folder / "key.pub"
            public.write_text(key.public + "\n")
            where = ["-U", "-f", str(public)]
        done = _ssh_keygen("sign", "-n", namespace, *where, content=content)
    if done.returncode != 0:
        raise ConfigError(
            f"ssh-keygen could not sign with {key.name}: {_error_message(done)}",
            remedy="Name a key that can sign with --key FILE, or add it to your agent with `ssh-add`.",
        )
    return done.stdout.decode()


def signer_of(content: bytes, signature: str, signers: AllowedSigners, *, namespace: str, at: datetime) -> str:
    """Verify the signature of exactly these bytes.

    Args:
        content: The signed bytes.
        signature: In ssh-keygen's armour.
        signers: People whose keys count. A key on a line of several principals belongs to the first.
        namespace: What it must have been signed for.
        at: When the key must have been valid.

    Returns:
        The principal whose key signed.

    Raises:
        NotAllowed: It is no signature, not by an allowed key, or of other bytes.
        ConfigError: ssh-keygen is missing.
    """
    principal = owner_of(signature, signers, at=at)
    with _files(signature, signers, at) as files:
        arguments = ("-n", namespace, "-I", principal, *files)
        checked = _ssh_keygen("verify", *arguments, content=content, timeout=_VERIFY_SECONDS)
    if checked.returncode != 0:
        if allowed := signers.lacking_namespace(principal, namespace):
            raise NotAllowed(
                f"the allowed signers let {principal} sign for {allowed} alone, and this is signed for {namespace}",
                remedy=f'Add it to that line, and commit the file: namespaces="{allowed},{namespace}".',
            )
        raise NotAllowed(
            f"the signature by {principal} is invalid: it is of other bytes, or for another purpose",
            remedy=f"Print them anew with --print, sign with `-n {namespace}`, and give the same arguments.",
        )
    return principal


def owner_of(signature: str, signers: AllowedSigners, *, at: datetime) -> str:
    """Principal whose key made a signature, as the allowed-signers file names it, whatever was signed.

    Raises:
        NotAllowed: It is no signature, or not by an allowed key.
        ConfigError: ssh-keygen is missing.
    """
    if not signature.lstrip().startswith(_BEGIN):
        raise NotAllowed("that is no SSH signature", remedy="Give the .sig file that `ssh-keygen -Y sign` wrote.")
    with _files(signature, signers, at) as files:
        completed = _ssh_keygen("find-principals", *files, timeout=_VERIFY_SECONDS)
    principal = completed.stdout.decode(errors="replace").partition("\n")[0]
    if completed.returncode != 0 or not is_one_person(principal):
        raise NotAllowed(
            f"the signature is by no key that is allowed to sign here: {_error_message(completed)}",
            remedy="Sign with a key that the allowed-signers file named at the run's base commit.",
        )
    return principal


@contextmanager
def _files(signature: str, signers: AllowedSigners, at: datetime) -> Generator[tuple[str, ...]]:
    """Arguments of every check: the signature, the allowed signers, and the time at which keys must be valid."""
    with _folder() as folder:
        allowed, signed = folder / "allowed_signers", folder / "signature"
        allowed.write_text(signers.text)
        signed.write_text(signature)
        when = f"-Overify-time={at.astimezone(UTC):%Y%m%d%H%M%S}"
        yield (when, "-s", str(signed), "-f", str(allowed))


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="phasegate-signature-") as folder:
        yield Path(folder)


def _ssh_keygen(
    verb: str, *arguments: str, content: bytes = b"", timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", verb, *arguments]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}  # verify-time is read as local time
    try:
        return subprocess.run(
            command, input=content, capture_output=True, check=False, timeout=timeout, env=environment
        )
    except FileNotFoundError as error:
        raise ConfigError(
            "ssh-keygen is not installed, and this repository's decisions and commands are SSH signatures",
            remedy="Install OpenSSH's client (Debian: apt-get install openssh-client), 8.9 or newer.",
        ) from error


def _error_message(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no principal matched"

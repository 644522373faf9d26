"""Signatures of a manifest by ``ssh-keygen -Y``, which is part of OpenSSH.

A key signs in the namespace :data:`NAMESPACE`, so that a signature that the same key made of
something else does not pass. Who may sign is in a file of the format ALLOWED SIGNERS in
``man ssh-keygen``: on each line a name and a public key.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from interplay.audit.checks import Check, Entry, checked, unchecked
from interplay.cli.manifest import SIGNATURE, Manifest
from interplay.cli.trust import UNTRUSTED, Trust

NAMESPACE = "interplay-run"
_LARGEST = 1 << 16
_SECONDS = 60.0


def signature_of(manifest: Manifest, key: Path) -> bytes:
    """Sign a manifest.

    Args:
        manifest: the manifest.
        key: the file of the private key, or of a public key whose private one the agent holds.

    Raises:
        ValueError: ssh-keygen did not sign.
        FileNotFoundError: there is no ssh-keygen.
    """
    done = _ssh_keygen("sign", "-f", str(key), content=manifest.content, seconds=None)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise ValueError(f"ssh-keygen could not sign with {key}: {_said(done)}")
    return done.stdout


def check_signature(
    folder: Path,
    manifest: Manifest | None,
    signers: Path,
    identity: str | None = None,
    trust: Trust = UNTRUSTED,
) -> Check:
    """Check that one of the allowed signers signed a manifest.

    Args:
        folder: of the run.
        manifest: of that folder.
        signers: the file of the allowed signers.
        identity: the name of the one who must have signed; ``None``: any of them.
        trust: which files may be read.

    Raises:
        ValueError: the signature may not be read.
        FileNotFoundError: there is no ssh-keygen, or no such file of signers.
    """
    name = "signature"
    if not signers.is_file():
        raise FileNotFoundError(f"there is no file of allowed signers {signers}")
    path = folder / SIGNATURE
    if manifest is None or not (path.exists() or path.is_symlink()):
        return unchecked(name, f"there is no {SIGNATURE}: nobody signed this run")
    path = trust.file(Path(SIGNATURE), folder)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is not a file of at most {_LARGEST:,} bytes, as signatures are")
    with tempfile.TemporaryDirectory() as private:
        copy = Path(private) / SIGNATURE
        copy.write_bytes(path.read_bytes())
        files = ("-f", str(signers), "-s", str(copy))
        if identity is None:
            known = _ssh_keygen("find-principals", *files)
            names = known.stdout.decode("utf-8", "replace").splitlines()
        else:
            names = [identity]
        reason = "none of the allowed signers has this key"
        for signer in names:
            done = _ssh_keygen("verify", "-I", signer, *files, content=manifest.content)
            if done.returncode == 0:
                detail = f"{signer!r} of {signers} signed the manifest"
                return checked(name, detail, [Entry("signer", signer, signer, True)])
            reason = _said(done)
    wanted = "one of the allowed signers" if identity is None else identity
    return checked(
        name, f"it does not hold: {reason}", [Entry("signer", "somebody else", wanted, False)]
    )


def _ssh_keygen(
    action: str, *arguments: str, content: bytes = b"", seconds: float | None = _SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """Run ``ssh-keygen -Y``.

    Raises:
        FileNotFoundError: there is no ssh-keygen.
        ValueError: it takes too long.
    """
    program = shutil.which("ssh-keygen")
    if program is None:
        raise FileNotFoundError(
            "signatures need the program ssh-keygen, which is not on this machine; it is part of "
            "OpenSSH (apt-get install openssh-client)"
        )
    space = () if action == "find-principals" else ("-n", NAMESPACE)
    try:
        return subprocess.run(
            [program, "-Y", action, *space, *arguments],
            input=content,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"ssh-keygen took more than {seconds:g} seconds; it was ended") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with status {done.returncode} and said nothing"

"""Where a run comes from: versions, code, machine and command, for `run.json`.

Everything here is read without importing the packages it speaks of, and holds no secret: the
command is masked before it is kept.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

PACKAGES = (
    "qtui",
    "torch",
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
)

MASK = "***"

# What tokens look like: Hugging Face, OpenAI and Anthropic, GitHub, Slack, AWS, Google, JWT;
# wandb's are 40 hexadecimal digits, as a git commit is, which is then masked too.
_TOKEN = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}|\bapi_org_[A-Za-z0-9]{8,}|\bsk-[A-Za-z0-9_-]{8,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bxox[abprs]-[A-Za-z0-9-]{8,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bAIza[\w-]{20,}|\bwandb_v1_\w{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\b[0-9a-f]{40}\b"
)
_URL_LOGIN = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_SENSITIVE = r"(?:token|secret|passw(?:or)?d|passphrase|credential|api[-_.]?key|access[-_.]?key)"
_SECRET_NAME = re.compile(rf"^[\w.-]*{_SENSITIVE}s?$", re.IGNORECASE)
_SETTING = re.compile(rf"^([\w.-]*{_SENSITIVE}s?[\w.-]*)=.*", re.IGNORECASE | re.DOTALL)
_COUNT = re.compile(r"^-?\d{1,9}$")  # max_new_tokens=128 is no secret


def mask(command: Sequence[str]) -> list[str]:
    """`command` with everything that looks like a secret replaced by `***`.

    Masked are values that look like a token, logins in URLs, `name=value` and `--name value`
    where the name speaks of a token, key, secret or password (numbers are left).
    """
    masked: list[str] = []
    secret_follows = False
    for word in command:
        setting = _SETTING.match(word)
        if secret_follows and not word.startswith("-") and not _COUNT.match(word):
            masked.append(MASK)
        elif setting and not _COUNT.match(word.partition("=")[2]):
            masked.append(f"{setting[1]}={MASK}")
        else:
            masked.append(_URL_LOGIN.sub(MASK, _TOKEN.sub(MASK, word)))
        secret_follows = word.startswith("-") and bool(_SECRET_NAME.match(word))
    return masked


def versions() -> dict[str, str]:
    """Installed versions of the packages that a result depends on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git(folder: Path) -> dict[str, str | bool | None] | None:
    """Commit and whether tracked files differ from it, of the repository around `folder`.

    None outside a repository, without git, or when git takes longer than two seconds.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    # The repository may be somebody else's: none of the programs that its config names is run.
    safe = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        result = subprocess.run(
            ["git", "--no-optional-locks", *safe, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def host() -> dict[str, str | int | None]:
    """The machine: what helps to tell two runs' surroundings apart."""
    memory: int | None
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = None
    return {
        "hostname": socket.gethostname(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
        "memory": memory,
    }

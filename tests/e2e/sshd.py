"""A real sshd on loopback, with a host key and a user key of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.tools import need


@dataclass(frozen=True)
class Pod:
    """A machine to log in to with `key` at `port` of loopback."""

    port: int
    key: Path
    server: int
    """Process id of the sshd that listens."""

    @property
    def login(self) -> list[str]:
        """The command that logs in."""
        return self.login_through(self.port)

    def login_through(self, port: int) -> list[str]:
        """The same by way of another port, behind which something carries the bytes on."""
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
        return [
            "ssh", f"{user.stdout.strip()}@127.0.0.1", "-p", str(port), "-i", str(self.key),
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
        ]  # fmt: skip

    def cut_connections(self) -> None:
        """Kill the server's end of every connection, as a network or a provider does."""
        for process in psutil.Process(self.server).children(recursive=True):
            if process.name().startswith("sshd"):
                process.kill()


@contextmanager
def serve(folder: Path, environment: Mapping[str, str]) -> Iterator[Pod]:
    """An sshd whose files lie in `folder` and whose sessions have `environment`."""
    sshd, keygen = need("sshd"), need("ssh-keygen")
    need("ssh")
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = " ".join(f'"{name}={value}"' for name, value in environment.items())
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nUsePAM no\nStrictModes no\n"
        f"PasswordAuthentication no\nPermitRootLogin yes\nSetEnv {given}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation wants it
    server = subprocess.Popen(
        [sshd, "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            assert server.poll() is None, server.stderr.read() if server.stderr else ""
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.05)
        yield Pod(port, folder / "user", server.pid)
    finally:
        server.terminate()
        server.wait(timeout=20)

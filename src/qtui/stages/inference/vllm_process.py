"""`vllm serve` as a child: how it is called, waited for, listened to and ended.

It listens on a Unix socket in a folder that only this user can enter, and asks for a key that
nobody else knows; what it prints goes into worker.log, and its last lines into the error if it
dies. Options and environment are those of vLLM 0.27 (`vllm/entrypoints/openai/cli_args.py`,
`vllm/config/lora.py`, `docs/features/lora.md`, read in November 2026); `--uds` is in
every version since 0.10.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, InputError
from qtui.stages.inference.vllm_watch import GRACE
from qtui.terminal import clean_line

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM allows as its largest rank."""
_LEAST_RANK = 64
"""Room for adapters that are asked for later."""
_LINES = 12
_SAY_SECONDS = 20.0


@dataclass(frozen=True)
class Lora:
    """An adapter that vLLM is to serve."""

    name: str
    folder: Path
    rank: int


def executable() -> str:
    """The path of `vllm`, beside this Python or on the PATH.

    Raises ImpossibleError when it is not installed.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("vllm", path=beside) or shutil.which("vllm")
    if found is None:
        raise ImpossibleError(
            "vllm is not installed",
            remedy="pip install vllm (in an environment of its own, if its torch is another one, "
            "with vllm on the PATH), or set engine: transformers",
        )
    return found


def largest_rank(adapters: Sequence[Lora]) -> int:
    """The `--max-lora-rank` with which `adapters` can be served.

    Raises InputError when vLLM has none so large.
    """
    wanted = max([_LEAST_RANK, *(adapter.rank for adapter in adapters)])
    if wanted > RANKS[-1]:
        raise InputError(
            f"an adapter has the rank {wanted}; vLLM serves at most {RANKS[-1]}",
            remedy="set engine: transformers",
        )
    return next(rank for rank in RANKS if rank >= wanted)


def command(
    program: str,
    config: ServeConfig,
    model: Path,
    adapters: Sequence[Lora],
    socket: Path,
    *,
    memory_share: float | None = None,
) -> list[str]:
    """The command line that serves `model` as `config` says.

    Raises ImpossibleError for what vLLM cannot do.
    """
    served = config.model
    if served.quantization == "int8":
        raise ImpossibleError(
            "vllm cannot hold a base in 8 bits by bitsandbytes",
            remedy="set quantization: nf4 or none, or engine: transformers",
        )
    line = [program, "serve", str(model), "--served-model-name", served.model_name]
    line += ["--uds", str(socket), "--dtype", served.dtype, "--disable-uvicorn-access-log"]
    line += ["--max-num-seqs", str(config.max_concurrent)]
    if config.max_context is not None:
        line += ["--max-model-len", str(config.max_context)]
    if served.quantization == "nf4":
        line += ["--quantization", "bitsandbytes"]
    if served.trust_remote_code:
        line.append("--trust-remote-code")
    if memory_share is not None:
        line += ["--gpu-memory-utilization", f"{memory_share:.2f}"]
    together = min(config.max_adapters, max(2, len(adapters)))
    line += ["--enable-lora", "--max-lora-rank", str(largest_rank(adapters))]
    line += ["--max-loras", str(together), "--max-cpu-loras", str(config.max_adapters)]
    if adapters:
        line.append("--lora-modules")
        line += [
            json.dumps(
                {"name": one.name, "path": str(one.folder), "base_model_name": served.model_name}
            )
            for one in adapters
        ]
    return line


class VllmProcess:
    """A running `vllm serve`, with the watcher that ends it."""

    def __init__(self, line: Callable[[Path], list[str]]) -> None:
        """Start the command that `line` makes of the socket's path."""
        self._folder = Path(tempfile.mkdtemp(prefix="qtui-vllm-"))  # mode 0700
        self.socket = self._folder / "vllm.sock"
        self.key = secrets.token_urlsafe(32)
        self._lines: deque[str] = deque(maxlen=_LINES)
        watcher = [sys.executable, "-P", "-m", "qtui.stages.inference.vllm_watch"]
        try:
            self._watcher = subprocess.Popen(
                [*watcher, *line(self.socket)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._reader = threading.Thread(target=self._listen, name="vllm log", daemon=True)
        self._reader.start()

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        # The worker's own, set for training, and a key that is for its own door.
        for name in ("PYTORCH_CUDA_ALLOC_CONF", "QTUI_API_KEY"):
            environment.pop(name, None)
        return environment | {
            "VLLM_API_KEY": self.key,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_NO_USAGE_STATS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def _listen(self) -> None:
        assert self._watcher.stdout is not None
        for raw in self._watcher.stdout:
            text = raw.decode("utf-8", "replace")
            sys.stderr.write(text)
            sys.stderr.flush()
            if text.strip():
                self._lines.append(clean_line(text.strip(), 300))

    def wait_ready(self, healthy: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Until `healthy`; `say` is told now and then what it does.

        Raises ImpossibleError when it dies instead.
        """
        began = said = time.monotonic()
        while not healthy():
            if self.dead:
                words = self.last_words()
                raise ImpossibleError(f"vllm has ended: {words}", remedy=_remedy(words))
            now = time.monotonic()
            if now - said >= _SAY_SECONDS:
                said = now
                last = self._lines[-1] if self._lines else "nothing said yet"
                say(f"vllm is starting, {now - began:.0f} s so far: {last}")
            time.sleep(0.1)

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self._watcher.poll() is not None

    def last_words(self) -> str:
        """The last lines that it printed, those that look like an error first."""
        self._reader.join(timeout=2.0)
        lines = list(self._lines)
        telling = [line for line in lines if "error" in line.lower()]
        return " / ".join((telling or lines)[-3:]) or "it printed nothing"

    def close(self) -> None:
        """End it and all of its processes, and wait for that."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        try:
            self._watcher.wait(timeout=GRACE + 5)
        except subprocess.TimeoutExpired:
            os.killpg(self._watcher.pid, signal.SIGKILL)
            self._watcher.wait()
        self._reader.join(timeout=2.0)
        shutil.rmtree(self._folder, ignore_errors=True)


def _remedy(words: str) -> str:
    """The way out of what vLLM said last."""
    said = words.lower()
    if "unrecognized arguments" in said:
        return "this vLLM is too old or too new; 0.27 is what qtui was written for"
    if "bitsandbytes" in said or "bnb" in said:
        return (
            "pip install bitsandbytes into vLLM's environment (newer versions of vLLM want "
            "vllm-bnb-plugin too), or set quantization: none"
        )
    if "memory" in said:
        return "set a smaller max_context, stop what uses the GPU, or take a smaller model"
    if "lora" in said:
        return "vLLM may not know adapters of this model: set engine: transformers"
    return "worker.log in the run's folder has all that it said"

"""A .gguf model in memory, through llama.cpp's own interface: steps, and what they take.

The class `llama_cpp.Llama` decodes one sequence at a time and redirects the whole process's stdout
while it loads. The functions below it that are bound as they are in C do neither, so they are what
is used. What llama.cpp prints goes nowhere but into the reason of an error.

Several sequences are held at once, each with room for a whole context of its own; how many, and how
long, is what fits into memory, counted before anything is loaded.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, InputError
from qtui.stages.inference.engine import GoneError
from qtui.stages.inference.gguf_header import Header, read
from qtui.system import host
from qtui.system.sizes import gigabytes, size
from qtui.terminal import clean_line

SEQUENCES = 4
"""Answers that are computed together, memory permitting."""
_WORKING = 300_000_000
"""Bytes for activations and for the library itself."""
_LEAST_CONTEXT = 2048
_CPU_STEP, _GPU_STEP = 128, 512
"""Prompt tokens in one step: how long a cancelled or a second answer may have to wait."""


@dataclass(frozen=True)
class Room:
    """How much is held: `sequences` of up to `context` tokens each."""

    context: int
    sequences: int


def plan(header: Header, wanted: int | None, sequences: int, free: int | None) -> Room:
    """What fits into `free` bytes; as asked where that is unknown.

    `wanted` is the context that was asked for; without one it is the model's, or what fits.

    Raises:
        ImpossibleError: the model, or one sequence of the context asked for, does not fit.
    """
    longest = min(wanted or header.max_context, header.max_context)
    if free is None:
        return Room(longest, sequences)
    left = free - header.file_bytes - _WORKING
    fitting = left // header.cache_bytes if header.cache_bytes else longest
    least = longest if wanted else min(longest, _LEAST_CONTEXT)
    if left < 0 or fitting < least:
        needed = header.file_bytes + _WORKING + least * header.cache_bytes
        shorter = f"a shorter max_context than {least:,}, " if wanted else ""
        raise ImpossibleError(
            f"{clean_line(header.path.name)} needs {gigabytes(needed)}, {gigabytes(free)} free: "
            f"{size(header.file_bytes)} of weights, the rest for a context of {least:,} tokens",
            remedy=f"take {shorter}a smaller quantisation, or free memory",
        )
    context = min(longest, fitting)
    return Room(context, max(1, min(sequences, fitting // context)))


def load(config: ServeConfig, say: Callable[[str], None]) -> GgufModel:
    """Load the .gguf file that `config` names; `say` is told what is waited for.

    Raises:
        InputError: the file cannot be used.
        ImpossibleError: llama-cpp-python is not installed, or it does not fit this machine.
    """
    header = read(Path(config.model.model_name).expanduser())
    try:
        import llama_cpp
    except ImportError as error:
        raise ImpossibleError(
            "llama-cpp-python, which reads .gguf files, is not installed",
            remedy="pip install 'llama-cpp-python>=0.3.36,<0.4' (it is built from source: minutes)",
        ) from error
    on_gpu = _on_gpu(llama_cpp, config.device)
    free = _free_on_gpu() if on_gpu else host.memory().available
    wanted = min(SEQUENCES, config.max_concurrent)
    room = plan(header, config.max_context, wanted, free)
    asked = config.max_context or header.max_context
    if room.context < asked:
        say(f"the context is {room.context:,} tokens instead of {asked:,}")
    say(f"loading {clean_line(header.path.name)} ({size(header.file_bytes)})")
    return GgufModel(llama_cpp, header, room, on_gpu=on_gpu)


def _on_gpu(llama_cpp: Any, device: str) -> bool:
    if device == "cpu":
        return False
    able = bool(llama_cpp.llama_supports_gpu_offload())
    if not able and device != "auto":
        raise ImpossibleError(
            f"device is {device}, but this llama-cpp-python was built without GPU support",
            remedy="CMAKE_ARGS=-DGGML_CUDA=on pip install --force-reinstall --no-cache-dir "
            "--no-deps llama-cpp-python builds it with, or set device: cpu",
        )
    return able


def _free_on_gpu() -> int | None:
    """Bytes free on the GPU that the worker has chosen; none where nothing can be read."""
    from qtui.system.gpu import read_once

    cards = read_once().gpus
    known = [card.memory_free.value for card in cards]
    known += [part.memory_free.value for card in cards for part in card.mig_instances]
    return max((free for free in known if free is not None), default=None)


_said: deque[str] = deque(maxlen=8)
_ERROR_LEVEL = 4  # ggml_log_level


def _listen(llama_cpp: Any) -> None:
    """Keep llama.cpp's errors and drop the rest; the callback lives as long as the process."""
    # Where it ends the process after all, it would start a debugger first.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    if hasattr(_listen, "callback"):
        return

    def note(level: int, text: bytes, _: Any) -> None:
        if level == _ERROR_LEVEL:
            _said.append(text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(note)
    _listen.callback = callback  # type: ignore[attr-defined]
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))


def _reason() -> str:
    """The first error of those last said: what follows it is its consequence."""
    first = next(iter(_said), "llama.cpp gave no reason")
    return clean_line(first.split(": ", 1)[-1], 300)


class GgufModel:
    """A loaded model. `tokenizer` may be used from any thread, the rest from one."""

    def __init__(self, llama_cpp: Any, header: Header, room: Room, *, on_gpu: bool) -> None:
        self.header, self.room = header, room
        self.step = min(_GPU_STEP if on_gpu else _CPU_STEP, room.context)
        self._api = llama_cpp
        _listen(llama_cpp)
        _said.clear()
        llama_cpp.llama_backend_init()
        shown = clean_line(str(header.path))
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = -1 if on_gpu else 0
        self._model = llama_cpp.llama_model_load_from_file(str(header.path).encode(), options)
        if not self._model:
            raise InputError(
                f"llama.cpp cannot load {shown}: {_reason()}",
                remedy="copy or download it again; a new architecture needs a newer "
                "llama-cpp-python",
            )
        self._context: Any = None
        try:
            self._begin(on_gpu, shown)
        except Exception:
            self.close()
            raise

    def _begin(self, on_gpu: bool, shown: str) -> None:
        api = self._api
        if api.llama_model_has_encoder(self._model) or not api.llama_model_has_decoder(self._model):
            raise InputError(
                f"{shown} is no decoder-only language model, and no other is served",
                remedy="take a model that writes text by itself, such as Qwen or Llama",
            )
        from qtui.stages.inference.gguf_tokenizer import GgufTokenizer

        self.tokenizer = GgufTokenizer(api.llama_model_get_vocab(self._model), self.header)
        self.vocabulary_size = len(self.tokenizer)
        options = api.llama_context_default_params()
        options.n_ctx = self.room.context * self.room.sequences
        options.n_seq_max = self.room.sequences
        options.n_batch = options.n_ubatch = max(self.step, self.room.sequences)
        options.n_threads = options.n_threads_batch = max(1, int(host.cpus()))
        options.offload_kqv = on_gpu
        options.no_perf = True
        self._context = api.llama_init_from_model(self._model, options)
        if not self._context:
            raise ImpossibleError(
                f"llama.cpp cannot make room for {shown}: {_reason()}",
                remedy="set a smaller max_context, or free memory",
            )
        self._memory = api.llama_get_memory(self._context)
        self._batch = api.llama_batch_init(int(options.n_batch), 0, 1)

    def close(self) -> None:
        """Give everything back; nothing else may be called any more."""
        if self._context:
            self._api.llama_batch_free(self._batch)
            self._api.llama_free(self._context)
            self._context = None
        if self._model:
            self._api.llama_model_free(self._model)
            self._model = None

    # ---- steps ----

    def compute(self, entries: Sequence[tuple[int, int, int, bool]]) -> None:
        """Compute one step: (token, position, sequence, whether its logits are wanted).

        Raises GoneError when llama.cpp cannot.
        """
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, sequence, wanted) in enumerate(entries):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = wanted
        _said.clear()
        code = self._api.llama_decode(self._context, batch)
        if code:
            raise GoneError(f"llama.cpp could not compute a step (code {code}): {_reason()}")

    def logits(self, index: int) -> Any:
        """The logits behind entry `index` of the last step: float32, written through."""
        import numpy as np

        pointer = self._api.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,))

    def sample(self, sampler: Any, index: int) -> int:
        """The token that `sampler` draws behind entry `index`; it notes the token."""
        return int(self._api.llama_sampler_sample(sampler, self._context, index))

    def cut(self, sequence: int, length: int) -> int:
        """Forget what `sequence` holds from `length` on; returns how much is left.

        That is none at all for models that cannot forget a part, such as recurrent ones.
        """
        if length and self._api.llama_memory_seq_rm(self._memory, sequence, length, -1):
            return length
        self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return 0

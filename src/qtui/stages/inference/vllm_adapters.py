"""Which adapters vLLM serves: those named at its start, and others of the workspace's runs.

vLLM opens any folder that it is told of. So a folder is checked here first, as the transformers
engine checks it (weights as safetensors only, trained on this base), and only runs of the workspace
are looked up by name. vLLM itself keeps them in memory and puts out the one unused for longest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from qtui.errors import InputError, NotFoundError, QtuiError
from qtui.stages.inference import adapter_files
from qtui.stages.inference.adapter_files import AdapterFiles, Base
from qtui.stages.inference.engine import GoneError, RefusedError, unknown_model
from qtui.stages.inference.model_ids import Names
from qtui.stages.inference.vllm_process import Lora, largest_rank
from qtui.terminal import clean_line

Load = Callable[[str, Path, bool], None]
"""Tells vLLM of an adapter: its name, its folder, and whether it has an older one of that name."""


def check(folder: Path, base: Base) -> AdapterFiles:
    """The adapter in `folder`, if vLLM can serve it with `base`.

    Raises InputError or NotFoundError when it cannot, with the reason.
    """
    files = adapter_files.check(folder, base)
    for name in ("use_dora", "modules_to_save", "lora_bias"):
        if files.settings[name]:
            raise InputError(
                f"{clean_line(str(folder))} has {name}, which vllm cannot serve",
                remedy="set engine: transformers",
            )
    return files


def rank(files: AdapterFiles) -> int:
    """The largest rank in an adapter."""
    return max(files.modules.values())


class VllmAdapters:
    """The adapters of one vLLM; from any thread."""

    def __init__(self, names: Names, base: Base, named: Mapping[str, AdapterFiles]) -> None:
        self.base = base
        self._names = names
        self._loaded = dict(named)
        loras = [Lora(name, files.folder, rank(files)) for name, files in named.items()]
        self._most_rank = largest_rank(loras)
        self._lock = threading.Lock()

    def loaded(self) -> dict[str, AdapterFiles]:
        """By name, in the order in which they came."""
        with self._lock:
            return dict(self._loaded)

    def take(self, name: str, load: Load) -> tuple[str, AdapterFiles | None]:
        """What vLLM calls the model `name`, and its files; none for the base.

        One that vLLM does not have yet, or whose files were replaced, is checked and loaded.

        Raises RefusedError when it is neither the base nor a run of the workspace that was trained
        on it, or cannot be served.
        """
        try:
            with self._lock:
                return self._take(name, load)
        except (RefusedError, GoneError):
            raise
        except NotFoundError as error:
            known = [self.base.name, *self.loaded()]
            raise unknown_model(name, known, clean_line(error.message, 300)) from error
        except QtuiError as error:
            raise RefusedError(
                error.message, code="model_refused", param="model", remedy=error.remedy
            ) from error

    def _take(self, name: str, load: Load) -> tuple[str, AdapterFiles | None]:
        if "@" in name and name in self._loaded:
            return name, self._loaded[name]
        found = self._names.find(name)
        if found is None:
            return self.base.name, None
        known = self._loaded.get(found.id)
        if known is not None and _unchanged(known):
            return found.id, known
        files = check(found.folder, self.base)
        if rank(files) > self._most_rank:
            raise InputError(
                f"{clean_line(found.id)} has the rank {rank(files)}; vllm was started for "
                f"{self._most_rank}",
                remedy="start a server with this adapter named",
            )
        load(found.id, files.folder, known is not None)
        self._loaded[found.id] = files
        return found.id, files


def _unchanged(files: AdapterFiles) -> bool:
    """Whether the weights on disk are those that vLLM has; also when they are gone."""
    try:
        stat = files.weights.stat()
    except OSError:
        return True
    return files.stamp == (stat.st_size, stat.st_mtime_ns)

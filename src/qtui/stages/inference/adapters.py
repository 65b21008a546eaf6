"""Any number of adapters on one base: loaded when they are asked for, put behind the right rows.

PEFT holds them all in the one model. A batch in which every row has the same adapter (or none)
runs with it switched on, which touches flags of the adapted layers and no weight; for a mixed
batch see `mixing`.

Those named for the server are loaded at its start. Others of the workspace's runs (`RUN`,
`RUN@STEP`) are loaded when first asked for; at most `max_adapters` are held, and the one that was
unused for longest makes room. One in use never does.
"""

from __future__ import annotations

import itertools
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from safetensors.torch import load_file

from qtui.errors import InputError, NotFoundError
from qtui.stages.inference import adapter_files
from qtui.stages.inference.adapter_files import AdapterFiles, Base
from qtui.stages.inference.engine import RefusedError
from qtui.stages.inference.mixing import can_mix, mix
from qtui.stages.training.recovery import is_out_of_memory
from qtui.terminal import clean_line


class Attached:
    """The adapters inside the model. Of the decoder's thread alone."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._peft: PeftModel | None = None
        self._layers: list[Any] = []
        self._composed: tuple[str | None, ...] | str | None = None
        self._hooks: list[Any] = []
        self._apart: set[str] = set()

    def add(self, name: str, files: AdapterFiles, state: dict[str, torch.Tensor]) -> None:
        """Put an adapter into the model under `name`; nothing of it is left when that fails.

        Raises InputError when its weights do not fit the base.
        """
        self._compose_none()
        self._fits(files)
        ranks = list(files.modules.values())
        common = max(set(ranks), key=ranks.count)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=common,
            rank_pattern={
                re.escape(module): rank for module, rank in files.modules.items() if rank != common
            },
            target_modules=sorted(files.modules),
            init_lora_weights=False,
            inference_mode=True,
            **files.settings,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._insert(name, config)
                found = set_peft_model_state_dict(
                    self._peft, state, adapter_name=name, low_cpu_mem_usage=True
                )
            missing = [key for key in found.missing_keys if f".{name}." in f"{key}."]
            if missing or found.unexpected_keys:
                wrong = clean_line((missing or found.unexpected_keys)[0], 120)
                raise InputError(f"{'lacks' if missing else 'has a strange'} {wrong}")
            self._ready()
            self._try(name)
        except Exception as error:
            self.remove(name)
            if is_out_of_memory(error):
                raise RefusedError(
                    f"there is no memory for the adapter {clean_line(str(files.folder))}",
                    code="out_of_memory",
                    param="model",
                    status=503,
                    remedy="start the server with a lower max_adapters, or ask when less is "
                    "going on",
                ) from error
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"{clean_line(str(files.folder))} does not fit the base model: "
                f"{clean_line(reason, 300)}",
                remedy="it was trained on another model, or is damaged",
            ) from error
        if not (files.mixes and self._mixes(name)):
            self._apart.add(name)
        self._compose_none()

    def _insert(self, name: str, config: LoraConfig) -> None:
        if self._peft is None:
            self._peft = PeftModel(
                self._model,
                config,
                adapter_name=name,
                autocast_adapter_dtype=False,
                low_cpu_mem_usage=True,
            )
        else:
            self._peft.add_adapter(
                name, config, autocast_adapter_dtype=False, low_cpu_mem_usage=True
            )

    def _fits(self, files: AdapterFiles) -> None:
        """Compare modules and shapes with the base, before anything is changed."""
        shown = clean_line(str(files.folder))
        for module, rank in files.modules.items():
            try:
                target = self._model.get_submodule(module)
            except AttributeError:
                raise InputError(
                    f"{shown} adapts {clean_line(module, 120)}, which the base model does not have",
                    remedy="it was trained on another model",
                ) from None
            while isinstance(target, BaseTunerLayer):
                target = target.get_base_layer()
            inside = getattr(target, "in_features", None)
            outside = getattr(target, "out_features", None)
            if inside is None or outside is None:
                continue  # PEFT compares what is no linear layer
            for part, wanted in (("A", (rank, inside)), ("B", (outside, rank))):
                key = f"base_model.model.{module}.lora_{part}.weight"
                found = files.shapes.get(key)
                if found != wanted:
                    raise InputError(
                        f"{shown} has {clean_line(key, 120)} with the shape {found}; the base "
                        f"model wants {wanted}",
                        remedy="it was trained on another model, or is damaged",
                    )

    def _ready(self) -> None:
        """After the model has changed: nothing is trained in it, and its layers are known."""
        self._model.eval()
        self._model.requires_grad_(False)
        self._layers = [
            module
            for module in self._model.modules()
            if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)
        ]
        self._composed = ""

    def _try(self, name: str) -> None:
        """One token through the new adapter: what cannot be computed is to fail here."""
        self._compute([name])

    def _mixes(self, name: str) -> bool:
        """Whether the adapter can be in a batch with others; tried where nothing speaks against."""
        if not all(can_mix(layer, name) for layer in self._layers):
            return False
        try:
            self._compute([name, None])
        except ValueError:
            return False
        return True

    def _compute(self, names: Sequence[str | None]) -> None:
        self.compose(names)
        with torch.inference_mode():
            ids = torch.zeros((len(names), 1), dtype=torch.long, device=self._model.device)
            self._model(input_ids=ids, use_cache=False)

    def remove(self, name: str) -> None:
        """Take an adapter out of the model."""
        if self._peft is None:
            return
        self._compose_none()
        with suppress(ValueError, KeyError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._peft.delete_adapter(name)
        self._apart.discard(name)
        self._ready()
        self._compose_none()

    def go_together(self, names: Sequence[str | None]) -> bool:
        """Whether rows with these adapters can be in one batch."""
        different = set(names)
        return len(different) == 1 or not (different & self._apart)

    def compose(self, names: Sequence[str | None]) -> None:
        """Put the adapter of `names` behind each row; cheap where it is as before."""
        first = names[0]
        wanted = (first,) if all(name == first for name in names) else tuple(names)
        if wanted == self._composed or not self._layers:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for layer in self._layers:
            _switch(layer, first if len(wanted) == 1 else None)
        if len(wanted) > 1:
            self._hooks = mix(self._layers, names)
        self._composed = wanted

    def _compose_none(self) -> None:
        self.compose([None])


def _switch(layer: Any, name: str | None) -> None:
    """Let a layer have this adapter for all rows, or none."""
    if name is None or (
        isinstance(layer, AuxiliaryTrainingWrapper) and name not in layer._adapters
    ):
        layer.enable_adapters(False)
        return
    if layer.disable_adapters:
        layer.enable_adapters(True)
    layer.set_adapter([name], inference_mode=True)


@dataclass
class Held:
    """An adapter in memory."""

    files: AdapterFiles
    inside: str
    """Its name in the model."""
    uses: int = 0
    names: set[str] = field(default_factory=set)
    """Ids by which it was asked for."""


class Adapters:
    """Which adapters there are, for any thread. `between_steps` runs what changes the model."""

    def __init__(
        self,
        attached: Attached,
        base: Base,
        between_steps: Callable[[Callable[[], None]], None],
        *,
        most: int,
    ) -> None:
        self._attached = attached
        self._base = base
        self._between_steps = between_steps
        self._most = most
        self._held: dict[Path, Held] = {}
        """By folder, the one unused for longest first."""
        self._replaced: list[Held] = []
        """In use, though the files in their folder are others by now."""
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        # A load waits for the decoder's thread, which must never wait for a load.
        self._loading = threading.Lock()

    def take(self, name: str, folder: Path) -> Held:
        """The adapter in `folder`, loaded if need be; it stays until it is given back.

        Raises:
            NotFoundError: it is not there, or not whole.
            InputError: it is refused, or does not fit.
            RefusedError: there is no room, as all are in use.
        """
        folder = folder.resolve()
        held = self._used(folder, name)
        if held is None:
            with self._loading:
                held = self._used(folder, name) or self._load(folder, name)
        return held

    def held_as(self, name: str) -> Held | None:
        """The adapter that was asked for as `name`, in use from now on; none if it is not held."""
        with self._lock:
            found = [folder for folder, held in self._held.items() if name in held.names]
        return self._used(found[0], name) if found else None

    def give_back(self, held: Held) -> None:
        """It is no longer in use by one of its users."""
        with self._lock:
            held.uses -= 1

    def names(self) -> dict[str, Path]:
        """Ids of all that are held, and their folders."""
        with self._lock:
            return {name: held.files.folder for held in self._held.values() for name in held.names}

    def _used(self, folder: Path, name: str) -> Held | None:
        """The adapter of `folder` as it is there now, in use; none if it has to be loaded."""
        with self._lock:
            held = self._held.get(folder)
            if held is None or not _unchanged(held.files):
                return None
            self._held[folder] = self._held.pop(folder)
            held.uses += 1
            held.names.add(name)
            return held

    def _load(self, folder: Path, name: str) -> Held:
        try:
            files = adapter_files.check(folder, self._base)
            state = load_file(files.weights)
        except OSError as error:
            if isinstance(error, NotFoundError):
                raise
            raise NotFoundError(
                f"{clean_line(str(folder))} cannot be read: {error.strerror or error}",
                remedy="a run in training clears old checkpoints away: ask for a newer one",
            ) from error
        with self._lock:
            if folder in self._held:
                # Its files were replaced. Rows that use it go on with what they began with.
                self._replaced.append(self._held.pop(folder))
        for victim in self._victims():
            self._between_steps(partial(self._attached.remove, victim.inside))
        held = Held(files, f"adapter_{next(self._numbers)}", uses=1, names={name})
        self._between_steps(partial(self._attached.add, held.inside, files, state))
        with self._lock:
            self._held[folder] = held
        return held

    def _victims(self) -> list[Held]:
        """Those that make room for one more, taken out of the books."""
        with self._lock:
            gone = [held for held in self._replaced if held.uses == 0]
            self._replaced = [held for held in self._replaced if held.uses]
            idle = [folder for folder, held in self._held.items() if held.uses == 0]
            over = len(self._held) + len(self._replaced) + 1 - self._most
            if over > len(idle):
                raise RefusedError(
                    f"{self._most} adapters are in use, as many as are held at once",
                    code="too_many_adapters",
                    param="model",
                    status=503,
                    remedy="ask again when one of them is done, or start the server with a "
                    "higher max_adapters",
                )
            return gone + [self._held.pop(folder) for folder in idle[: max(over, 0)]]


def _unchanged(files: AdapterFiles) -> bool:
    """Whether the weights on disk are those in memory; also when they are gone."""
    try:
        stat = files.weights.stat()
    except OSError:
        return True
    return files.stamp == (stat.st_size, stat.st_mtime_ns)

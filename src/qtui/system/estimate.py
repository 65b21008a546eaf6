"""How much memory a run will need, itemised, before anything is loaded.

Every number is counted from the model's shape and the run file (see `activations`, `optimisers`,
`adapter_size`); the band says what the count cannot know: the padding of real batches, the
allocator's slack, the driver. It holds when at least one batch is filled up to
`max_seq_length`; rows that are all shorter need less.

Held against four published peaks (PEFT's method comparison: Llama-3.2-3B, bf16, batch 4 x 768, no
checkpointing, a plain loop without a fused head; the peak is what torch reserved, so without the
CUDA context). Likely value over peak: LoRA r 32 on q and v 0.98, the same with DoRA 0.98, LoRA r 10
on the MLP 1.00, full fine-tuning 0.95; all four peaks lie within the band, and
`tests/system/test_estimate.py` fails when one leaves it. Those runs quantise nothing, use no
checkpointing and no fused head: for these, what autograd keeps was counted on small models
(`tests/system/test_activations.py`), and the published figures for 8B QLoRA (torchtune 7.4 GiB,
Unsloth from 6 GB) lie within the band for settings like theirs.

On a CPU one step of QLoRA (NF4, hidden 1024, 8 blocks, 4 x 512 tokens) raised resident memory by
2.96 GB, with dropout 3.43, with checkpointing too 2.10; the activations are estimated at 1.01, 1.02
and 1.02 of that, after one constant (what the head holds on a CPU) was taken from these runs. No
peak of a QLoRA run on a GPU has been compared yet.

Sources: QLoRA (arXiv 2305.14314) for 4.127 bits a parameter: 4 + 8/64 + 32/(64*256).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from qtui.config.models import FineTuneConfig, ModelConfig
from qtui.system.activations import Step, backward_bytes, block_bytes, head_bytes
from qtui.system.adapter_size import Adapter, adapter_of
from qtui.system.model_shape import ModelShape
from qtui.system.optimisers import resolve, state_bytes, step_bytes
from qtui.system.sizes import GB

BITS_DOUBLE_QUANT = 4 + 8 / 64 + 32 / (64 * 256)
_BITS_SINGLE_QUANT = 4 + 32 / 64


class Item(msgspec.Struct, frozen=True):
    """One line of an estimate, in bytes; `detail` says in words what it is made of."""

    name: str
    low: int
    likely: int
    high: int
    detail: str = ""


class Trainer(msgspec.Struct, frozen=True):
    """How the training code differs in memory: qtui's (the default) or a plain loop."""

    fused_head: bool = True
    autocast: bool = True


QTUI_TRAINER = Trainer()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one run on `device`, in bytes; the totals are the sums of the items."""

    model: str
    device: str
    gradient_checkpointing: bool
    parameters: int
    trained_parameters: int
    items: tuple[Item, ...]
    low: int
    likely: int
    high: int
    notes: tuple[str, ...]
    config: dict[str, Any]
    """The run file's values, so that a verdict can re-estimate with one of them changed."""
    shape: ModelShape

    def item(self, name: str) -> Item:
        """The item called `name`."""
        return next(item for item in self.items if item.name == name)


def estimate(
    config: FineTuneConfig,
    shape: ModelShape,
    *,
    device: str,
    gradient_checkpointing: bool | None = None,
    trainer: Trainer = QTUI_TRAINER,
) -> Estimate:
    """The memory that training `config` on a model of `shape` needs on `device` (cuda or cpu).

    `gradient_checkpointing` overrides the run file; where both leave it open (`auto`) it is
    taken to be on, which is what `auto` does when memory is short (see `decide_checkpointing`).
    Raises InputError when target_modules names no layer of the model.
    """
    if gradient_checkpointing is None:
        wanted = config.training.gradient_checkpointing
        gradient_checkpointing = True if wanted == "auto" else wanted
    full = config.model.method == "full"
    on_gpu = device.startswith("cuda")
    element = weight_element(config.model)
    adapter = Adapter((), ()) if full else adapter_of(config.model, shape)
    trained_element = element if full else adapter_element(config)
    tensors = full_tensors(shape) if full else adapter.tensors
    trained = shape.parameters() if full else adapter.parameters
    optim = resolve(config.training.optim, device)
    step = _step(config, shape, trained_element, on_gpu, trainer)

    gradients = trained * trained_element
    dynamic = _dynamic(config, shape, adapter, step, gradient_checkpointing)
    if config.training.gradient_accumulation_steps == 1:
        # The first gradients appear as the last activations go: the two are never whole at once.
        dynamic = [max(value - gradients, 0) for value in dynamic]
    working = step_bytes(optim, trained, trained_element)
    low, likely, high = (max(value, working) for value in dynamic)

    items = [
        _weights_item(config, shape, element),
        _adapter_item(config, adapter, element, trained_element),
        _exact("gradients", gradients, f"{trained_element} bytes for each trained number"),
        _optimiser_item(optim, tensors, trained_element, on_gpu),
        Item("activations", low, likely, high, _activation_detail(step, gradient_checkpointing)),
        _context_item(on_gpu),
    ]
    items = [_widened(item, shape) for item in items]
    return Estimate(
        model=shape.name,
        device=device,
        gradient_checkpointing=gradient_checkpointing,
        parameters=shape.parameters(),
        trained_parameters=trained,
        items=tuple(items),
        low=sum(item.low for item in items),
        likely=sum(item.likely for item in items),
        high=sum(item.high for item in items),
        notes=_notes(config, shape),
        config=config.model_dump(mode="json"),
        shape=shape,
    )


def decide_checkpointing(
    config: FineTuneConfig, shape: ModelShape, device: str, free_bytes: int
) -> bool:
    """What `gradient_checkpointing: auto` means here: on unless all surely fits without it.

    Off when the high end of the estimate without it is within 85 % of `free_bytes`. An explicit
    setting is returned as it is.
    """
    wanted = config.training.gradient_checkpointing
    if wanted != "auto":
        return wanted
    without = estimate(config, shape, device=device, gradient_checkpointing=False)
    return without.high > 0.85 * free_bytes


def weight_element(model: ModelConfig) -> int:
    """Bytes of one weight that is not quantised.

    auto means float32 for full fine-tuning, whose small updates bfloat16 would swallow.
    """
    if model.dtype == "auto":
        return 4 if model.full_finetuning else 2
    return 4 if model.dtype == "float32" else 2


def quantised_bytes(shape: ModelShape, bits: float, element: int) -> int:
    """Bytes of a model whose linear layers take `bits` a weight, and all else `element` bytes."""
    linear = shape.linear_parameters()
    return int(linear * bits / 8) + (shape.parameters() - linear) * element


def adapter_element(config: FineTuneConfig) -> int:
    """Bytes of one number of the adapter: TRL makes it bf16 on 4-bit weights, PEFT fp32 else."""
    return 2 if config.model.method == "qlora" else 4


def full_tensors(shape: ModelShape) -> list[tuple[int, int]]:
    """Every trained tensor of a full fine-tuning, each (rows, columns)."""
    tensors = [(layer.out_features, layer.in_features) for _, layer in shape.layers()]
    tensors += [(shape.vocab_size, shape.hidden_size)] * (1 if shape.tied_embeddings else 2)
    rest = shape.parameters() - sum(rows * columns for rows, columns in tensors)
    return [*tensors, (rest, 1)] if rest else tensors


def _step(
    config: FineTuneConfig, shape: ModelShape, trained_element: int, on_gpu: bool, trainer: Trainer
) -> Step:
    model, training = config.model, config.training
    full = model.method == "full"
    kernel = model.attn_implementation
    eager = kernel == "eager" or (kernel is None and shape.attention_softcap)
    # Padded rows, should the model turn out to need them, keep less than rows laid end to end.
    by_rows = kernel is None and training.padding_free is not False
    fused: Literal["rows", "fused"] = "rows" if by_rows else "fused"
    element = weight_element(model)
    return Step(
        rows=training.batch_size,
        sequence=training.max_seq_length,
        element=element,
        adapter_element=0 if full else trained_element,
        rank=model.lora_rank,
        dropout=model.lora_dropout > 0 and not full,
        dora=model.use_dora and not full,
        attention="eager" if eager else fused,
        masked=not training.packing and not by_rows and kernel in (None, "sdpa", "eager"),
        autocast=trainer.autocast and element == 2,
        fused_head=trainer.fused_head,
        on_gpu=on_gpu,
        quantised=model.use_qlora,
    )


def _dynamic(
    config: FineTuneConfig, shape: ModelShape, adapter: Adapter, step: Step, checkpointing: bool
) -> list[int]:
    """Low, likely and high of all that lives only within a step."""
    full = config.model.method == "full"
    blocks = adapter.blocks or ((),) * shape.num_layers
    kept = [block_bytes(shape, block, step) * step.tokens for block in blocks]
    boundary = step.element * shape.hidden_size * step.tokens
    head = head_bytes(shape, step, training_head=full) + boundary
    backward = backward_bytes(shape, step)
    if checkpointing:
        peak = len(kept) * boundary + max(head, max(kept) + backward)
        steady = len(kept) * boundary + max(kept)
    else:
        peak = sum(kept) + max(head, backward)
        steady = sum(kept)
    rows = config.training.eval_batch_size or config.training.batch_size
    evaluation = msgspec.structs.replace(step, rows=rows)
    scored = head_bytes(shape, evaluation, training_head=False)
    peak = max(peak, backward_bytes(shape, evaluation) + scored)
    # The allocator's slack was 3 to 8 % on the measured runs.
    return [int(0.85 * steady), int(1.04 * peak), int(1.18 * peak)]


def _exact(name: str, size: int, detail: str) -> Item:
    return Item(name, size, size, size, detail)


def _weights_item(config: FineTuneConfig, shape: ModelShape, element: int) -> Item:
    total = shape.parameters()
    if not config.model.use_qlora:
        return _exact("weights", total * element, f"{total:,} numbers of {element} bytes")
    double = config.model.bnb_4bit_use_double_quant
    bits = BITS_DOUBLE_QUANT if double else _BITS_SINGLE_QUANT
    linear = shape.linear_parameters()
    size = quantised_bytes(shape, bits, element)
    detail = f"{linear:,} in {bits:.3f} bits, {total - linear:,} others in {8 * element}"
    return Item("weights", size, size, int(size * 1.02), detail)


def _adapter_item(config: FineTuneConfig, adapter: Adapter, element: int, own: int) -> Item:
    if config.model.method == "full":
        return _exact("adapter", 0, "none: every weight is trained")
    size = adapter.parameters * own
    # Autocast keeps a copy in the activations' type while a step lasts.
    copy = adapter.parameters * element if own != element else 0
    detail = f"{adapter.parameters:,} numbers of {own} bytes, rank {config.model.lora_rank}"
    return Item("adapter", size, size + copy, size + copy, detail)


def _optimiser_item(
    optim: str, tensors: tuple[tuple[int, int], ...] | list[tuple[int, int]], own: int, on_gpu: bool
) -> Item:
    size = state_bytes(optim, tensors, own)
    paged = on_gpu and optim.startswith("paged")
    detail = f"{optim}{'; can move to the host when memory is short' if paged else ''}"
    return Item("optimiser", 0 if paged else size, size, size, detail)


def _activation_detail(step: Step, checkpointing: bool) -> str:
    how = "recomputed block by block" if checkpointing else "all kept"
    kernel = "eager attention" if step.attention == "eager" else "fused attention"
    return f"{step.rows} rows x {step.sequence:,} tokens, {how}, {kernel}"


def _context_item(on_gpu: bool) -> Item:
    if on_gpu:
        return Item("context", int(0.4 * GB), int(0.8 * GB), int(1.5 * GB), "CUDA and its kernels")
    return Item("context", int(0.5 * GB), int(0.8 * GB), int(1.2 * GB), "Python and its libraries")


def _widened(item: Item, shape: ModelShape) -> Item:
    """`item` with a wider band where the architecture is only guessed at."""
    if shape.exact or item.name == "context":
        return item
    return Item(item.name, int(item.low * 0.75), item.likely, int(item.high * 1.3), item.detail)


def _notes(config: FineTuneConfig, shape: ModelShape) -> tuple[str, ...]:
    notes = []
    if not shape.exact:
        notes.append(f"Architecture {shape.family} is not one that qtui knows: the band is wider.")
    if shape.num_experts and config.model.use_qlora:
        notes.append(
            "The experts stay in 16 bits: bitsandbytes quantises linear layers, and transformers "
            "holds experts as stacked parameters."
        )
    longest = shape.max_position_embeddings
    if longest and config.training.max_seq_length > longest:
        notes.append(f"max_seq_length is above the {longest:,} tokens that the model was made for.")
    return tuple(notes)

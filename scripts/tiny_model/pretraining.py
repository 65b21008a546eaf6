"""Pre-training: an endless seeded stream of packed text, and a short loop over it.

Answers count fully in the loss and prompts a little: what is random in a prompt (an address, an
id) cannot be predicted, only copied later. Hidden matrices are trained with Muon (torch's own),
embeddings and norms with AdamW; the matrix work is bf16, the weights of record are fp32.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tiny_model import prose, tasks, vocabulary

PROMPT_WEIGHT = 0.1
STORY_SHARE = 0.04
MARKS = {"system": vocabulary.SYSTEM, "user": vocabulary.USER, "assistant": vocabulary.ASSISTANT}


@dataclass(frozen=True)
class Plan:
    """How long and how hard to train."""

    seed: int = 7
    tokens: int = 30_000_000
    minutes: float = 60.0
    sequence: int = 256
    batch: int = 32
    micro: int = 8
    learning_rate: float = 4e-3
    warmup: float = 0.02
    decay: float = 0.5


def document(rng: Random) -> list[tuple[str, float]]:
    """One text as pieces, each with its weight in the loss."""
    if rng.random() < STORY_SHARE:
        return [(vocabulary.BEGIN + prose.story(rng) + vocabulary.END, 1.0)]
    pieces = [(vocabulary.BEGIN, 0.0)]
    for message in tasks.conversation(rng):
        pieces.append((MARKS[message["role"]], 0.0))
        weight = 1.0 if message["role"] == "assistant" else PROMPT_WEIGHT
        pieces.append((message["content"] + vocabulary.END, weight))
    return pieces


def sample_texts(seed: int, count: int) -> Iterator[str]:
    """Texts for the tokenizer: the same documents without their markers."""
    rng = Random(seed)
    for _ in range(count):
        for text, _ in document(rng):
            for mark in vocabulary.SPECIAL:
                text = text.replace(mark, "")
            if text:
                yield text


def stream(
    tokenizer: PreTrainedTokenizerFast, seed: int, chunk: int = 8192
) -> Iterator[tuple[list[int], list[float]]]:
    """Endless chunks of token ids and of their weights, `chunk` documents at a time."""
    rng = Random(seed)
    while True:
        pieces = [piece for _ in range(chunk) for piece in document(rng)]
        encoded = tokenizer([text for text, _ in pieces], add_special_tokens=False)["input_ids"]
        ids: list[int] = []
        weights: list[float] = []
        for (_, weight), piece in zip(pieces, encoded, strict=True):
            ids += piece
            weights += [weight] * len(piece)
        yield ids, weights


def batches(
    tokenizer: PreTrainedTokenizerFast, plan: Plan
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Packed batches: ids (batch, sequence + 1) and weights of the predicted tokens."""
    need = plan.batch * plan.sequence
    ids, weights = torch.empty(0, dtype=torch.long), torch.empty(0)
    chunks = stream(tokenizer, plan.seed + 1)
    while True:
        while len(ids) <= need:
            more, heavy = next(chunks)
            ids = torch.cat((ids, torch.tensor(more)))
            weights = torch.cat((weights, torch.tensor(heavy)))
        x = ids[: need + 1].unfold(0, plan.sequence + 1, plan.sequence)
        w = weights[1 : need + 1].view(plan.batch, plan.sequence)
        yield x.contiguous(), w.contiguous()
        ids, weights = ids[need:], weights[need:]


def build(seed: int) -> LlamaForCausalLM:
    """The untrained model. Sizes are multiples of 64, the block of NF4 quantisation."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary.SIZE,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=vocabulary.MAX_LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.03,
        pad_token_id=vocabulary.SPECIAL.index(vocabulary.PAD),
        bos_token_id=vocabulary.SPECIAL.index(vocabulary.BEGIN),
        eos_token_id=vocabulary.SPECIAL.index(vocabulary.END),
    )
    # Written-out attention: at these sizes faster on a CPU than the fused kernel's backward.
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def save(model: LlamaForCausalLM, master: dict[str, torch.Tensor], folder: Path) -> None:
    """Write the weights as bf16 safetensors, with both configs."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(master, strict=False)
    copy.tie_weights()
    copy.bfloat16()
    copy.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        do_sample=False,
        max_new_tokens=160,
    )
    copy.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def factor(done: float, plan: Plan) -> float:
    """The learning rate's factor: warm up, stay, then fall linearly to 2 %."""
    if done < plan.warmup:
        return done / plan.warmup + 0.01
    if done < 1 - plan.decay:
        return 1.0
    return max(0.02, (1 - done) / plan.decay)


def pretrain(
    tokenizer: PreTrainedTokenizerFast, plan: Plan, folder: Path, start: Path | None = None
) -> int:
    """Train until the tokens or the minutes are used up; returns the tokens seen.

    The weights so far are written to `folder` every five minutes. `start` is a folder with
    weights to go on from, after a run that was cut off; give the plan another seed then, so that
    the text is new.
    """
    model = build(plan.seed)
    if start is not None:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(start).state_dict())
    model.bfloat16()
    names = dict(model.named_parameters())
    master = {n: p.detach().float() for n, p in names.items()}
    matrices = [n for n, p in names.items() if p.ndim == 2 and "embed" not in n]
    others = [n for n in names if n not in matrices]
    muon = torch.optim.Muon(
        [master[n] for n in matrices],
        lr=plan.learning_rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    adamw = torch.optim.AdamW(
        [master[n] for n in others], lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )

    def loss_of(x: torch.Tensor, w: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        hidden = model.model(input_ids=x[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden).flatten(0, 1).float()
        each = torch.nn.functional.cross_entropy(logits, x[:, 1:].flatten(), reduction="none")
        return (each * w.flatten()).sum() / total

    compiled = torch.compile(loss_of, dynamic=False)
    began = saved = time.monotonic()
    step, seen, recent = 0, 0, 0.0
    for x, w in batches(tokenizer, plan):
        elapsed = (time.monotonic() - began) / 60
        done = max(seen / plan.tokens, elapsed / plan.minutes)
        if done >= 1:
            break
        for optimiser in (muon, adamw):
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate * factor(done, plan)
        total, now = w.sum(), 0.0
        for part, heavy in zip(x.split(plan.micro), w.split(plan.micro), strict=True):
            loss = compiled(part, heavy, total)
            loss.backward()
            now += loss.item()
        for n, p in names.items():
            assert p.grad is not None
            master[n].grad = p.grad.float()
            p.grad = None
        torch.nn.utils.clip_grad_norm_([master[n] for n in names], 1.0)
        muon.step()
        adamw.step()
        with torch.no_grad():
            for n, p in names.items():
                p.copy_(master[n])
        step, seen = step + 1, seen + w.numel()
        recent = now if step == 1 else 0.95 * recent + 0.05 * now
        if step % 25 == 0:
            rate = seen / (time.monotonic() - began)
            line = f"step {step} tokens {seen:,} loss {recent:.4f} {rate:.0f}/s {done:.3f}"
            print(line, flush=True)
        if time.monotonic() - saved > 300:
            save(model, master, folder)
            saved = time.monotonic()
    save(model, master, folder)
    return seen

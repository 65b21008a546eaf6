"""What serving costs over the bare model, both sides on the same model in this run, in turn.

    python benchmarks/inference.py [--model tiny|random|both] [--tokens N] [--rounds N]

Prints one JSON line a model:

- `one_stream`: tokens a second of one answer over those of `model.generate` called directly, and
  how much later the first token comes (medians over the rounds, pair by pair).
  `undisturbed_ratio` compares the fast fifth of the times between tokens: where other programs run
  beside, single answers vary by half and more.
- `sixteen`: tokens a second of 16 requests at once over those of the same 16 one after another.
- `switching`: milliseconds by which the first token is later when the request before it was for
  another adapter (or the base) than when it was for the same one.

`tiny` is the built-in model in NF4; `random` has the shape of SmolLM-135M (576 wide, 30 layers, a
vocabulary of 49,152) with random weights, as it was saved. Both have two adapters of rank 16.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig
from transformers.generation.streamers import BaseStreamer

from qtui import builtin
from qtui.config.serve import ServeConfig
from qtui.stages.inference import transformers_engine
from qtui.stages.inference.engine import Ended, Failed, Job, Piece, Report, Sampling

PROMPT = "Create a session for the device 10.0.0.{0} and say when it ends. " * 3


class Clock:
    """A sink that notes when tokens come."""

    def __init__(self) -> None:
        import threading

        self.began = time.perf_counter()
        self.times: list[float] = []
        self._done = threading.Event()

    def __call__(self, report: Report) -> None:
        if isinstance(report, Piece):
            self.times.append(time.perf_counter())
        elif isinstance(report, Failed):
            raise report.error
        elif isinstance(report, Ended):
            self._done.set()

    def wait(self) -> Clock:
        if not self._done.wait(600):
            raise TimeoutError
        return self

    @property
    def first(self) -> float:
        return self.times[0] - self.began

    @property
    def rate(self) -> float:
        """Tokens a second, from asking to the last."""
        return len(self.times) / (self.times[-1] - self.began)


class Stamps(BaseStreamer):
    """When `generate` gives a token; the first call brings the prompt."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.times: list[float] = []

    def put(self, value: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def ask(engine: Any, prompt: str, tokens: int, model: str | None = None) -> Clock:
    sampling = Sampling(max_tokens=tokens, temperature=0, ignore_eos=True)
    clock = Clock()
    engine.submit(Job(model or engine.models()[0].id, prompt, sampling), clock)
    return clock


def generate(engine: Any, prompt: str, tokens: int) -> tuple[float, float, list[float]]:
    """Of `model.generate` itself: seconds to the first token, tokens a second, and between."""
    loaded = engine._loaded
    stamps = Stamps()
    ids = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"].to(loaded.model.device)
    loaded.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        streamer=stamps,
    )
    times = stamps.times[1:]
    return times[0] - stamps.began, len(times) / (times[-1] - stamps.began), between(times)


def between(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def undisturbed(seconds: list[float]) -> float:
    """The fast fifth: what a token takes where nothing else uses the processor."""
    return statistics.quantiles(seconds, n=5)[0]


def one_stream(engine: Any, tokens: int, rounds: int) -> dict[str, Any]:
    ratios, later, ours, theirs = [], [], [], []
    our_gaps: list[float] = []
    their_gaps: list[float] = []
    for number in range(rounds):
        prompt = PROMPT.format(number)
        first, rate, gaps = generate(engine, prompt, tokens)
        clock = ask(engine, prompt, tokens).wait()
        our_gaps += between(clock.times)
        their_gaps += gaps
        ratios.append(clock.rate / rate)
        later.append(1000 * (clock.first - first))
        ours.append(clock.rate)
        theirs.append(rate)
    return {
        "tokens_per_second": round(statistics.median(ours), 1),
        "generate_tokens_per_second": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "undisturbed_ratio": round(undisturbed(their_gaps) / undisturbed(our_gaps), 3),
        "goal": 0.98,
        "first_token_later_ms": round(statistics.median(later), 1),
        "first_token_goal_ms": 20,
    }


def sixteen(engine: Any, tokens: int, rounds: int) -> dict[str, Any]:
    ratios, rates = [], []
    for number in range(rounds):
        prompts = [PROMPT.format(16 * number + at) for at in range(16)]
        began = time.perf_counter()
        for prompt in prompts:
            ask(engine, prompt, tokens).wait()
        one_by_one = time.perf_counter() - began
        began = time.perf_counter()
        for clock in [ask(engine, prompt, tokens) for prompt in prompts]:
            clock.wait()
        together = time.perf_counter() - began
        ratios.append(one_by_one / together)
        rates.append(16 * tokens / together)
    return {
        "tokens_per_second": round(statistics.median(rates), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "goal": 4,
    }


def switching(engine: Any, rounds: int) -> dict[str, Any]:
    """First tokens after a change of adapter, and without one."""
    base, one, two = (model.id for model in engine.models())
    changed, same = [], []
    for number in range(6 * rounds):
        prompt = PROMPT.format(number)
        first, second = [(base, one), (one, two), (two, base)][number % 3]
        ask(engine, prompt, 2, first).wait()
        changed.append(1000 * ask(engine, prompt, 2, second).wait().first)
        same.append(1000 * ask(engine, prompt, 2, second).wait().first)
    mixed = [ask(engine, PROMPT.format(at), 48, (base, one, two)[at % 3]) for at in range(15)]
    began = time.perf_counter()
    for clock in mixed:
        clock.wait()
    return {
        "first_token_ms": round(statistics.median(same), 1),
        "first_token_after_a_switch_ms": round(statistics.median(changed), 1),
        "later_ms": round(statistics.median(changed) - statistics.median(same), 1),
        "goal_ms": 50,
        "mixed_tokens_per_second": round(15 * 48 / (time.perf_counter() - began), 1),
    }


def random_adapter(base: Path, folder: Path, seed: int) -> str:
    """A random LoRA of rank 16 on every linear layer of `base`, in PEFT's files."""
    torch.manual_seed(seed)
    state, config = {}, LoraConfig(r=16, lora_alpha=16, task_type="CAUSAL_LM")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    for name, module in model.named_modules():
        if name.endswith("_proj") and hasattr(module, "in_features"):
            key = f"base_model.model.{name}"
            state[f"{key}.lora_A.weight"] = torch.randn(16, module.in_features).bfloat16()
            state[f"{key}.lora_B.weight"] = torch.randn(module.out_features, 16).bfloat16() / 100
    folder.mkdir()
    save_file(state, folder / "adapter_model.safetensors")
    config.save_pretrained(folder)
    return str(folder)


def random_model(folder: Path) -> Path:
    """SmolLM-135M's shape, the built-in tokenizer, random weights."""
    tokenizer = AutoTokenizer.from_pretrained(builtin.model_path("tiny"))
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measure(name: str, tokens: int, rounds: int) -> dict[str, Any]:
    workspace = Path(tempfile.mkdtemp())
    try:
        tiny = name == "tiny"
        path = builtin.model_path("tiny") if tiny else random_model(workspace / "model")
        adapters = [
            {"name": name, "path": random_adapter(path, workspace / name, seed)}
            for seed, name in enumerate(("one", "two"))
        ]
        section = {
            "model_name": "builtin:tiny" if tiny else str(path),
            "quantization": "nf4" if tiny else "none",
        }
        config = ServeConfig.model_validate({"model": section, "adapters": adapters})
        engine = transformers_engine.load(workspace, config, say=lambda sentence: None)
        engine._loaded.model.generation_config.eos_token_id = None  # generate is to go on, too
        generate(engine, PROMPT, 8)
        ask(engine, PROMPT, 8).wait()
        figures = {
            "benchmark": "inference",
            "model": name,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": str(engine._loaded.model.device),
            "one_stream": one_stream(engine, tokens, rounds),
            "sixteen": sixteen(engine, tokens, max(rounds // 2, 1)),
        }
        figures["switching"] = switching(engine, rounds)
        engine.close()
        return figures
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("tiny", "random", "both"), default="both")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    for name in ("tiny", "random") if options.model == "both" else (options.model,):
        print(json.dumps(measure(name, options.tokens, options.rounds)), flush=True)


if __name__ == "__main__":
    main()

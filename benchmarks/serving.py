"""Speed of `qtui serve` against `model.generate` and `transformers serve`, in this run, in turn.

    python benchmarks/serving.py [--tokens N] [--rounds N] [--requests N] [--alone]

The model is a Llama of 48 million random weights (hidden 576, 12 blocks) with the built-in
tokenizer, in float32, greedy; speed does not depend on what weights say. Prints one JSON document:

- `one_stream`: tokens/s over HTTP, streamed, over those of `model.generate` called directly, and
  how many milliseconds later the first token comes. The rate is that between the first token and
  the last; `model.generate` is timed by a streamer that notes when each token is there.
- `at_once`: tokens/s of N requests sent together over those of the same requests one after
  another, and over those of `transformers serve` (with and without continuous batching: the faster
  of the two) on the same requests.
- `switch`: milliseconds by which the first token comes later when each request is to another model
  (base, adapter, base, …) than when all are to one.

Ratios are medians over the rounds, each of which measures every side once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from qtui import builtin
from qtui.config.serve import ServeConfig, ServedAdapter, ServedModel
from qtui.runs import launch, serving

SENTENCE = "the quick brown fox asks for a slice with low latency at ten in the morning"
PROMPT_WORDS = 60


def make_model(folder: Path) -> Path:
    """A model of random weights that never ends by itself, and an adapter for it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(builtin.model_path())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=12,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=None,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = None
    # Only tokens that are text by themselves are ever the likeliest: each is streamed at once.
    texts = [tokenizer.decode([number]) for number in range(len(tokenizer))]
    unfit = [n for n, text in enumerate(texts) if not text.isascii() or not text.isprintable()]
    with torch.no_grad():
        model.model.embed_tokens.weight[[*unfit, *tokenizer.all_special_ids]] = 0
    base = folder / "base"
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    adapter = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    adapter.peft_config["default"].base_model_name_or_path = str(base)
    adapter.save_pretrained(folder / "adapter")
    return base


def prompts(count: int) -> list[list[dict[str, str]]]:
    """Different prompts of one length."""
    found = []
    known = SENTENCE.split()
    for number in range(count):
        places = range(number * 7, number * 7 + PROMPT_WORDS * (number + 1), number + 1)
        words = [known[place % len(known)] for place in places]
        found.append([{"role": "user", "content": " ".join(words)}])
    return found


class Direct:
    """`model.generate` in this process."""

    def __init__(self, base: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()

    def stream(self, messages: list[dict[str, str]], tokens: int) -> tuple[float, float]:
        """Seconds to the first token, and tokens/s after it."""
        times: list[float] = []

        class Noting:
            def put(self, value: Any) -> None:
                times.append(time.perf_counter())

            def end(self) -> None:
                pass

        began = time.perf_counter()
        encoded = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            self.model.generate(
                **encoded,
                max_new_tokens=tokens,
                do_sample=False,
                streamer=Noting(),
                pad_token_id=0,
            )
        answer = times[1:]  # the prompt is handed over first
        return answer[0] - began, (len(answer) - 1) / (answer[-1] - answer[0])


class Served:
    """A server that speaks OpenAI's API."""

    def __init__(self, url: str, model: str, extra: dict[str, Any]) -> None:
        self.url = url
        self.model = model
        self.extra = extra

    def body(self, messages: list[dict[str, str]], tokens: int, **more: Any) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": messages,
            "max_tokens": tokens,
            "temperature": 0,
            **self.extra,
            **more,
        }

    def stream(
        self, messages: list[dict[str, str]], tokens: int, **more: Any
    ) -> tuple[float, float]:
        """Seconds to the first token, and tokens/s after it."""
        # A client that costs next to nothing: it shares the two cores with the server.
        body = json.dumps(self.body(messages, tokens, stream=True, **more))
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=600)
        connection.connect()
        began = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{self.url} answered {answer.read()!r}")
        times = [
            time.perf_counter()
            for line in answer
            if line.startswith(b"data: {") and b'"content":"' in line and b'""' not in line
        ]
        connection.close()
        if len(times) < 2:
            raise SystemExit(f"{self.url} streamed no answer")
        # Counted in tokens, for a chunk need not be one: the length was asked for and is reached.
        return times[0] - began, (tokens - 1) / (times[-1] - times[0])

    def one_after_another(self, work: list[list[dict[str, str]]], tokens: int) -> float:
        """Tokens/s of all requests, each sent when the one before is answered."""

        async def go(client: httpx.AsyncClient) -> None:
            for messages in work:
                await self._whole(client, messages, tokens)

        return self._timed(go, len(work) * tokens)

    def at_once(self, work: list[list[dict[str, str]]], tokens: int) -> float:
        """Tokens/s of all requests sent together."""

        async def go(client: httpx.AsyncClient) -> None:
            await asyncio.gather(*(self._whole(client, each, tokens) for each in work))

        return self._timed(go, len(work) * tokens)

    def _timed(self, go: Any, tokens: int) -> float:
        async def run() -> float:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(timeout=1200, limits=limits) as client:
                began = time.perf_counter()
                await go(client)
                return time.perf_counter() - began

        return tokens / asyncio.run(run())

    async def _whole(
        self, client: httpx.AsyncClient, messages: list[dict[str, str]], tokens: int
    ) -> None:
        answer = await client.post(
            f"{self.url}/v1/chat/completions", json=self.body(messages, tokens)
        )
        answer.raise_for_status()
        made = answer.json()["usage"]["completion_tokens"]
        if made != tokens:
            raise SystemExit(f"{self.url} made {made} tokens of {tokens}: nothing is comparable")


@contextlib.contextmanager
def ours(workspace: Path, base: Path, requests: int) -> Iterator[Served]:
    """`qtui serve` on the model and its adapter."""
    config = ServeConfig(
        model=ServedModel(model_name=str(base), quantization="none", dtype="float32"),
        adapters=[ServedAdapter(name="adapter", path=str(base.parent / "adapter"))],
        device="cpu",
        port=0,
        max_concurrent=requests,
    )
    run = serving.create(workspace, config, ["benchmarks/serving.py"])
    launch.launch(run)
    try:
        while (address := serving.address(run)) is None:
            if launch.state.settled(run) in launch.FINAL:
                raise SystemExit(run.worker_log.read_text()[-2000:])
            time.sleep(0.1)
        with httpx.Client() as client:
            name = client.get(f"{address.url}/v1/models").json()["data"][0]["id"]
        yield Served(address.url, name, {"ignore_eos": True})
    finally:
        launch.request_stop(run, save=False)
        launch.wait(run, timeout=30)


@contextlib.contextmanager
def theirs(base: Path, *, continuous: bool) -> Iterator[Served]:
    """`transformers serve` on the same model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    how = "--continuous-batching" if continuous else "--no-continuous-batching"
    process = subprocess.Popen(
        [
            *(program, "serve", str(base), "--host", "127.0.0.1", "--port", str(port)),
            *("--device", "cpu", "--dtype", "float32", how, "--log-level", "error"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            if process.poll() is not None:
                raise SystemExit(f"transformers serve ended with {process.returncode}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            time.sleep(0.2)
        yield Served(url, str(base), {})
    finally:
        process.terminate()
        process.wait(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--alone", action="store_true", help="leave transformers serve out")
    asked = parser.parse_args()
    work = prompts(asked.requests)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)
        print(f"{name} {value:.4g}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as place:
        base = make_model(Path(place) / "model")
        direct = Direct(base)
        with ours(Path(place), base, asked.requests) as qtui:
            direct.stream(work[0], 16)
            qtui.stream(work[0], 16)
            qtui.at_once(work, 16)
            for number in range(asked.rounds):
                messages = work[number % len(work)]
                one_stream(direct, qtui, messages, asked.tokens, note)
                together = qtui.at_once(work, asked.tokens)
                note("at once tokens/s", together)
                note(
                    "at once over one after another",
                    together / qtui.one_after_another(work, asked.tokens),
                )
                # One at a time: the continuous one keeps a core busy while it has nothing to do.
                rates = []
                for continuous in () if asked.alone else (True, False):
                    with theirs(base, continuous=continuous) as other:
                        other.at_once(work[:2], 16)
                        rates.append(other.at_once(work, asked.tokens))
                    name = "continuous" if continuous else "plain"
                    note(f"transformers serve, {name}, tokens/s", rates[-1])
                if rates:
                    note("at once over transformers serve", together / max(rates))
                note("switch, ms", switching(qtui, messages))
    print(json.dumps({name: statistics.median(values) for name, values in found.items()}))


def one_stream(
    direct: Direct,
    qtui: Served,
    messages: list[dict[str, str]],
    tokens: int,
    note: Callable[[str, float], None],
) -> None:
    """Several answers of each side in turn; their medians are compared."""
    pairs = [(direct.stream(messages, tokens), qtui.stream(messages, tokens)) for _ in range(5)]
    rate = statistics.median(theirs[1] for theirs, _ in pairs)
    our_rate = statistics.median(own[1] for _, own in pairs)
    note("generate tokens/s", rate)
    note("qtui tokens/s", our_rate)
    note("rate over generate", our_rate / rate)
    later = statistics.median(own[0] - theirs[0] for theirs, own in pairs)
    note("first token later, ms", later * 1000)


def switching(qtui: Served, messages: list[dict[str, str]]) -> float:
    """Milliseconds by which the first token comes later when the model changes each time."""

    def median(names: list[str]) -> float:
        return statistics.median(qtui.stream(messages, 4, model=name)[0] for name in names)

    alone = (median([qtui.model] * 12) + median(["adapter"] * 12)) / 2
    return (median([qtui.model, "adapter"] * 6) - alone) * 1000


if __name__ == "__main__":
    main()

"""What an answer costs that streams into the Chat screen, in the real dashboard on a pty of 80x24.

A server of its own process (the real one, in front of an engine without a model) streams Markdown
to both sides at a given rate; a token is four characters, as in English. Prints one JSON line per
figure:

- `bytes`: bytes a second on the wire while both sides stream and nobody types. Goal: under 4,000.
- `keys`: milliseconds from a key until its letter is on the terminal, while both sides stream.
  Goal: under 30 at the 95th percentile. `idle` is the same before anything streams.
- `first`: seconds from enter until the first token is on the terminal.

Each beside `baseline`: two of Textual's own Markdown widgets, side by side, fed by its stream at
the same rate (`Markdown.get_stream`), with an Input below them.

    python -m benchmarks.chat_screen [--rate 100] [--seconds 20] [--keys 100]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.dashboard import Tty

_PARAGRAPH = """To return a **lamp**, open `Orders` and choose *Return*. Print the label, put it on
the box and leave that at any shop of the courier; the money is back within {n} days.

- the lamp must be unused, and in the box that it came in
- without a receipt, write to support with the number of the order

"""
_CODE = """```python
for order in orders.of(customer, last={n}):
    print(order.number, order.state)
```

"""


def answer(tokens: int) -> str:
    """Markdown of so many tokens."""
    parts = []
    while sum(map(len, parts)) < tokens * 4:
        n = len(parts) + 2
        parts.append((_CODE if n % 4 == 0 else _PARAGRAPH).format(n=n))
        if n % 5 == 0:
            parts.append(f"## Part {n}\n\n")
    return "".join(parts)[: tokens * 4]


def tokens_of(text: str) -> list[str]:
    """`text` in pieces of four characters."""
    return re.findall(r"[\s\S]{1,4}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="tokens a second and side")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--textual", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tokens = round(arguments.rate * (arguments.seconds + arguments.keys * 0.25 + 10))
    if arguments.serve is not None:
        serve(arguments.serve, arguments.rate, tokens)
        return
    if arguments.textual:
        textual(arguments.rate, tokens)
        return
    place = {
        "benchmark": "chat_screen",
        "tokens_a_second_and_side": arguments.rate,
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
    }
    again = [sys.executable, "-m", "benchmarks.chat_screen", "--rate", str(arguments.rate),
             "--seconds", str(arguments.seconds), "--keys", str(arguments.keys)]  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        root = str(Path(__file__).resolve().parents[1])
        os.environ["PYTHONPATH"] = root
        server = subprocess.Popen([*again, "--serve", temporary], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            socket = server.stdout.readline().strip()
            command = [sys.executable, "-m", "qtui", "chat", "--url", f"unix:{socket}"]
            own = measure(Tty(command, workspace), arguments, "to r")
        finally:
            server.terminate()
            server.wait(10)
        base = measure(Tty([*again, "--textual"], workspace), arguments, "to r")
    goals = {"bytes": 4000, "keys": 30.0}
    for name in ("bytes", "keys", "first"):
        figure: dict[str, object] = {"figure": name, **own[name]}
        if name in goals:
            figure["goal"] = goals[name]
        print(json.dumps(place | figure | {"baseline": base[name]}), flush=True)


def measure(tty: Tty, arguments: argparse.Namespace, begun: str) -> dict[str, dict[str, float]]:
    """The figures of one program, which has a line to type in at the bottom."""
    try:
        tty.until(lambda: "quiet-otter vs base" in tty.text)
        tty.quiet(1)
        idle = keys(tty, 20)
        tty.press("tell me")
        tty.quiet(0.3)
        sent = time.perf_counter()
        tty.press("\r")
        first = tty.until(lambda: begun in tty.text.casefold()) - sent
        until = time.perf_counter() + 2  # past the beginning
        while time.perf_counter() < until:
            tty.read(0.05)
        cpu, wrote, began = tty.cpu(), tty.bytes, time.perf_counter()
        while time.perf_counter() < began + arguments.seconds:
            tty.read(0.05)
        took = time.perf_counter() - began
        used, sent_bytes = tty.cpu() - cpu, tty.bytes - wrote
        speeds = [float(found) for found in re.findall(r"(\d+) tok/s", tty.text)]
        pressed = spread(keys(tty, arguments.keys))
        if speeds and "esc stop" not in tty.text:
            raise SystemExit("the answers ended before the measuring did")
        return {
            "bytes": {
                "bytes_a_second": round(sent_bytes / took),
                "core_share": round(used / took, 3),
                **({"tokens_a_second": min(speeds)} if speeds else {}),
            },
            "keys": pressed | {"idle_p95_ms": spread(idle)["p95_ms"]},
            "first": {"seconds": round(first, 3)},
        }
    finally:
        tty.close()


def keys(tty: Tty, count: int) -> list[float]:
    """Milliseconds from each of `count` keys until its letter is on the screen; then none is."""
    dice = random.Random(5)
    times, typed = [], ""
    for _ in range(count):
        rest = time.perf_counter() + dice.uniform(0.05, 0.3)
        while (left := rest - time.perf_counter()) > 0:
            tty.read(left)
        if len(typed) == 20:
            tty.press("\x15")
            gone = typed
            tty.until(lambda gone=gone: gone not in tty.text)
            typed = ""
        typed += dice.choice("qxzjkvw")
        wanted = typed if len(typed) > 3 else f"> {typed}"
        pressed = time.perf_counter()
        tty.press(typed[-1])
        times.append((tty.until(lambda wanted=wanted: wanted in tty.text) - pressed) * 1000)
    tty.press("\x15")
    tty.until(lambda: typed not in tty.text)
    return times


def spread(values: list[float]) -> dict[str, float]:
    """The middle and the slow end."""
    ordered = sorted(values)
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[math.ceil(len(ordered) * 0.95) - 1], 1),
        "count": len(ordered),
    }


# ---- the other processes -------------------------------------------------------------------------


def serve(folder: Path, rate: float, tokens: int) -> None:
    """The server, until it is ended; its socket's path goes to standard output."""
    from tests.stages.inference.fake_engine import FakeEngine
    from tests.stages.inference.fake_server import serving

    class Paced(FakeEngine):
        def submit(self, job: Any, sink: Any) -> Any:
            # The answer is as long as the measuring takes, whatever the screen asks for.
            return super().submit(
                replace(job, sampling=replace(job.sampling, max_tokens=None)), sink
            )

        def _words(self, job: object) -> list[str]:
            return tokens_of(self.answer(job))  # type: ignore[arg-type]

    engine = Paced(
        answer=lambda job: answer(tokens), max_context=1 << 20, seconds_a_word=0.96 / rate
    )
    with serving(engine, folder, socket=True) as server:
        print(server.socket, flush=True)
        while True:
            time.sleep(60)


def textual(rate: float, tokens: int) -> None:
    """The baseline: Textual's own widgets, fed by a task in their own process."""
    import asyncio

    from textual.app import App, ComposeResult
    from textual.containers import Horizontal, VerticalScroll
    from textual.widgets import Input, Label, Markdown

    class Baseline(App[None]):
        CSS = """
        #sides { height: 1fr; } #line { height: 1; } #line Label { width: 2; }
        Input { height: 1; border: none; padding: 0; }
        """

        def compose(self) -> ComposeResult:
            yield Label("quiet-otter vs base")
            with Horizontal(id="sides"):
                for _ in range(2):
                    with VerticalScroll(can_focus=False) as scroll:
                        scroll.anchor()
                        yield Markdown()
            with Horizontal(id="line"):
                yield Label("> ")
                yield Input(compact=True)

        def on_mount(self) -> None:
            line = self.query_one(Input)
            line.cursor_blink = False
            line.focus()

        def on_input_submitted(self) -> None:
            self.query_one(Input).value = ""
            for each in self.query(Markdown):
                self.run_worker(self._feed(each))

        async def _feed(self, markdown: Markdown) -> None:
            stream = Markdown.get_stream(markdown)
            began = time.perf_counter()
            for number, token in enumerate(tokens_of(answer(tokens))):
                await stream.write(token)
                await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))

    Baseline().run()


if __name__ == "__main__":
    main()

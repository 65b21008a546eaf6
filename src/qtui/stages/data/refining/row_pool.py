"""Refines batches of rows on all cores, in order, with few of them in memory at a time.

The first batches are refined here, so that a small data set pays for no process; a larger one gets
processes of its own (see `child`), which import nothing heavy. `python -m` this module is such a
process: its first frame holds the settings, each further one a batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import chain

import msgspec

from qtui.config.models import DataConfig
from qtui.errors import QtuiError
from qtui.stages.data.child import Child, serve, spread
from qtui.stages.data.refining.refine import Batch, Refined, Refiner
from qtui.stages.data.relating.sketches import Bands

ROWS_A_BATCH = 500
BYTES_A_BATCH = 2**20
_INLINE = 4
"""Batches that are refined here before processes are started."""
_AHEAD = 3
"""Batches in flight for each process."""
_MOST_PROCESSES = 8


def processes(config: DataConfig) -> int:
    """How many processes refine rows: `data.dataset_num_proc`, else one for each core, at most 8.

    A container's share of the machine counts, not the machine.
    """
    if config.dataset_num_proc is not None:
        return config.dataset_num_proc
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)


def refined(
    batches: Iterable[Batch], config: DataConfig, bands: Bands | None, count: int
) -> Iterator[tuple[Batch, Refined]]:
    """Refine batch after batch in `count` processes; the results come in the order given.

    Raises QtuiError when a process ends, which no row should bring about.
    """
    source = iter(batches)
    refine = Refiner(config, bands)
    for _, batch in zip(range(_INLINE), source, strict=False):
        yield batch, refine(batch)
    if count < 2:
        for batch in source:
            yield batch, refine(batch)
        return
    first = next(source, None)
    if first is None:
        return
    with ExitStack() as stack:
        settings = msgspec.msgpack.encode((config.model_dump_json(), bands))
        children = [
            stack.enter_context(Child("qtui.stages.data.refining.row_pool")) for _ in range(count)
        ]
        for child in children:
            child.submit(settings)
        yield from _spread(chain([first], source), children, refine)


def _spread(
    source: Iterable[Batch], children: list[Child], refine: Refiner
) -> Iterator[tuple[Batch, Refined]]:
    encode = msgspec.msgpack.Encoder(enc_hook=str).encode
    decode = msgspec.msgpack.Decoder(Refined).decode

    def submit(number: int, batch: Batch) -> Future[bytes]:
        try:
            frame = encode(batch)
        except OverflowError:  # a number with more than 64 bits cannot be sent
            done: Future[bytes] = Future()
            done.set_result(msgspec.msgpack.encode(refine(batch)))
            return done
        return children[number % len(children)].submit(frame)

    submitted = spread(source, submit, ahead=_AHEAD * len(children))
    for number, (batch, future) in enumerate(submitted):
        try:
            yield batch, decode(future.result())
        except (EOFError, BrokenPipeError):
            code = children[number % len(children)].process.wait()
            line = batch.lines[0][0] if batch.lines else batch.records[0][1]
            raise QtuiError(
                f"a process that prepares rows ended (exit code {code}) at {batch.source}:{line}",
                remedy="If the machine is short of memory, set data.dataset_num_proc: 1; "
                "worker.log in the run's folder may say more.",
            ) from None


# ---- in the process -----------------------------------------------------------------------------


class _Process:
    """Answers the first frame (settings) with nothing, every other one with a refined batch."""

    def __init__(self) -> None:
        self._refine: Refiner | None = None
        self._batches = msgspec.msgpack.Decoder(Batch)
        self._settings = msgspec.msgpack.Decoder(tuple[str, Bands | None])
        self._encode = msgspec.msgpack.Encoder().encode

    def answer(self, frame: bytes) -> bytes:
        if self._refine is None:
            text, bands = self._settings.decode(frame)
            self._refine = Refiner(DataConfig.model_validate_json(text), bands)
            return b""
        return self._encode(self._refine(self._batches.decode(frame)))


if __name__ == "__main__":
    serve(_Process().answer)

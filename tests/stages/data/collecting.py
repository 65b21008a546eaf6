"""Collects rows as a preparation does, for tests of the first stage alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtui.config.models import DataConfig
from qtui.runs.dataset import Part
from qtui.stages.data.collect import collect, inputs
from qtui.stages.data.collected import Collected, row_from
from qtui.stages.data.documents.document_cache import DocumentCache
from qtui.stages.data.rows import Findings, Row


@dataclass
class Loaded:
    """What was read: `read` counts usable and unusable rows, `bad` the unusable ones."""

    train: list[Row]
    validation: list[Row]
    test: list[Row]
    findings: Findings
    read: int
    bad: int
    collected: Collected


def load(
    config: DataConfig, *, seed: int = 1, stopped: Callable[[], bool] = lambda: False
) -> Loaded:
    """Collect the rows of `config` in a temporary folder, in this process."""
    if config.dataset_num_proc is None:
        config = config.model_copy(update={"dataset_num_proc": 1})
    findings = Findings()
    sources = inputs(config, findings)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "rows"
        folder.mkdir()
        collected = collect(
            config,
            sources,
            findings,
            folder,
            seed=seed,
            cache=DocumentCache(Path(place) / "documents", []),
            stopped=stopped,
        )

        def rows(part: Part) -> list[Row]:
            return [row_from(stored) for _, stored in collected.rows(part)]

        return Loaded(
            rows(Part.TRAIN),
            rows(Part.VALIDATION),
            rows(Part.TEST),
            collected.findings,
            collected.read,
            collected.bad,
            collected,
        )

"""The first batch that is shown is the one that the first training step receives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qtui.config.models import FineTuneConfig
from qtui.runs.dataset import BATCH

pytestmark = pytest.mark.train

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "packing": ("packed", {"packing": True, "max_seq_length": 64}),
    "packing, several": ("packed", {"packing": True, "max_seq_length": 64, "batch_size": 2}),
    "packing, grouped": (
        "packed",
        {"packing": True, "max_seq_length": 64, "train_sampling_strategy": "group_by_length"},
    ),
    "padding-free": ("padding_free", {}),
    "padding-free, in order": ("padding_free", {"train_sampling_strategy": "sequential"}),
    "padded by length": ("padded", {"padding_free": False, "gradient_accumulation_steps": 2}),
    "padded at random": (
        "padded",
        {"padding_free": False, "train_sampling_strategy": "random", "seed": 7},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_a_real_training_step_receives(
    case: str, micro_model: Path, tmp_path: Path
) -> None:
    from qtui.stages.training import batching, models
    from qtui.stages.training.first_batch import first_batch, write_first_batch
    from tests.stages.training import harness

    kind, changes = CASES[case]
    config = FineTuneConfig.model_validate(
        {
            "model": {"use_qlora": False, "lora_rank": 4},
            "training": {
                "max_steps": 1,
                "batch_size": 4,
                "eval_steps": 1,
                "device": "cpu",
                **changes,
            },
        }
    )
    tokenizer = models.load_tokenizer(micro_model, config.model)
    rows = harness.rows(tokenizer, 40)  # those that the harness trains on
    decided = batching.decide(config, micro_model)
    said = first_batch(rows, config.training, decided, tokenizer.pad_token_id)

    trainer = harness.build(micro_model, tmp_path / "run", config)
    received: list[dict[str, Any]] = []
    step = trainer.training_step

    def training_step(model: Any, inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        received.append(dict(inputs))
        return step(model, inputs, *arguments, **keywords)

    trainer.training_step = training_step
    trainer.train()
    first = received[0]
    assert said.kind == kind
    assert said.input_ids == first["input_ids"].tolist()
    assert said.labels == first["labels"].tolist()
    positions = first.get("position_ids")
    assert said.position_ids == (None if positions is None else positions.tolist())
    assert (said.position_ids is None) == (kind == "padded")
    assert {len(ids) for ids in said.input_ids} == {said.length}

    for ids, segments in zip(said.input_ids, said.rows, strict=True):
        for one, following in itertools.pairwise(segments):
            assert one.end == following.start
        for segment in segments:
            assert ids[segment.start : segment.end] == rows[segment.row]["input_ids"]
        assert set(ids[segments[-1].end :]) <= {tokenizer.pad_token_id}
    shown = [segment.row for segments in said.rows for segment in segments]
    assert len(shown) == len(set(shown))
    assert len(shown) > config.training.batch_size if kind == "packed" else len(shown) == 4

    write_first_batch(said, tmp_path)
    written = msgspec.json.decode((tmp_path / BATCH).read_bytes())
    assert written == msgspec.to_builtins(said)
    assert set(written["rows"][0][0]) == {"row", "start", "end"}

"""No setting is read by nothing: each one changes what reaches TRL, PEFT or bitsandbytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import (
    DataConfig,
    EvaluationConfig,
    FineTuneConfig,
    ModelConfig,
    TrainingConfig,
)

pytestmark = pytest.mark.train

# setting -> (another value, where it arrives, what arrives there)
ARRIVES: dict[str, tuple[Any, str, Any]] = {
    "model.trust_remote_code": (True, "load.trust_remote_code", True),
    "model.attn_implementation": ("eager", "load.attn_implementation", "eager"),
    "model.dtype": ("float32", "load.dtype", "torch.float32"),
    "model.use_qlora": (False, "quantization", None),
    "model.bnb_4bit_quant_type": ("fp4", "quantization.bnb_4bit_quant_type", "fp4"),
    "model.bnb_4bit_use_double_quant": (False, "quantization.bnb_4bit_use_double_quant", False),
    "model.bnb_4bit_compute_dtype": (
        "float32",
        "quantization.bnb_4bit_compute_dtype",
        "torch.float32",
    ),
    "model.lora_rank": (7, "lora.r", 7),
    "model.lora_alpha": (11, "lora.lora_alpha", 11),
    "model.lora_dropout": (0.2, "lora.lora_dropout", 0.2),
    "model.target_modules": (["q_proj"], "lora.target_modules", "{'q_proj'}"),
    "model.use_rslora": (True, "lora.use_rslora", True),
    "model.use_dora": (True, "lora.use_dora", True),
    "model.init_lora_weights": ("gaussian", "lora.init_lora_weights", "gaussian"),
    "training.num_epochs": (5.0, "sft.num_train_epochs", 5.0),
    "training.max_steps": (17, "sft.max_steps", 17),
    "training.batch_size": (3, "sft.per_device_train_batch_size", 3),
    "training.gradient_accumulation_steps": (9, "sft.gradient_accumulation_steps", 9),
    "training.learning_rate": (1e-3, "sft.learning_rate", 1e-3),
    "training.lr_scheduler_type": ("linear", "sft.lr_scheduler_type", "linear"),
    "training.warmup_steps": (12, "sft.warmup_steps", 12),
    "training.optim": ("sgd", "sft.optim", "sgd"),
    "training.weight_decay": (0.1, "sft.weight_decay", 0.1),
    "training.max_grad_norm": (0.3, "sft.max_grad_norm", 0.3),
    "training.max_seq_length": (333, "sft.max_length", 333),
    "training.packing": (True, "sft.packing", True),
    # How it arrives at the trainer: tests/stages/training/test_batching.py.
    "training.padding_free": (False, "batching.padding_free", False),
    "training.train_sampling_strategy": ("sequential", "sft.train_sampling_strategy", "sequential"),
    "training.loss_type": ("dft", "sft.loss_type", "dft"),
    "training.neftune_noise_alpha": (5.0, "sft.neftune_noise_alpha", 5.0),
    "training.seed": (7, "sft.seed", 7),
    "training.dataloader_num_workers": (2, "sft.dataloader_num_workers", 2),
    "training.logging_steps": (4, "sft.logging_steps", 4),
    "training.eval_steps": (13, "sft.eval_steps", 13),
    "training.eval_batch_size": (6, "sft.per_device_eval_batch_size", 6),
    "training.save_steps": (14, "sft.save_steps", 14),
    "training.report_to": (["tensorboard"], "sft.report_to", ["tensorboard"]),
}

# These end elsewhere; the test that proves it is named.
ELSEWHERE: dict[str, str] = {
    "model.model_name": "tests/e2e/test_worker.py: the base of every run",
    "model.revision": "tests/stages/training/test_hub.py",
    "model.full_finetuning": "test_full_finetuning_has_no_adapter",
    "training.gradient_checkpointing": "test_gradient_checkpointing_is_passed_on",
    "training.device": "test_device_decides_where_the_model_lies",
    "training.save_total_limit": "tests/stages/training/test_checkpoints.py",
    "training.load_best_model_at_end": "tests/e2e/test_worker_settings.py",
    "training.early_stopping_patience": "tests/e2e/test_worker_settings.py",
    "training.early_stopping_threshold": "test_early_stopping_is_passed_on",
    "training.assistant_only_loss": "tests/stages/data",
    "training.run_name": "tests/cli/test_train.py",
    "training.output_dir": "tests/e2e/test_worker_settings.py",
    **{f"data.{name}": "tests/stages/data" for name in DataConfig.model_fields},
    **{
        f"evaluation.{name}": "tests/e2e/test_worker_settings.py"
        for name in EvaluationConfig.model_fields
    },
}


def arrived(config: FineTuneConfig) -> dict[str, Any]:
    """Every argument that reaches a library, flat."""
    from qtui import builtin
    from qtui.stages.training import arguments, batching

    machine = arguments.Machine("cpu", bfloat16=True)
    flat: dict[str, Any] = {}

    def put(prefix: str, values: dict[str, Any]) -> None:
        for name, value in values.items():
            simple = isinstance(value, str | int | float | bool | list | None)
            flat[f"{prefix}.{name}"] = value if simple else str(value)

    batches = batching.decide(config, builtin.model_path("tiny"))
    put("batching", {"padding_free": batches.padding_free})
    load = arguments.load_arguments(config.model, machine, batches.attention)
    quantization = load.pop("quantization_config")
    put("load", load)
    if quantization is None:
        flat["quantization"] = None
    else:
        put("quantization", vars(quantization))
    lora = arguments.lora_config(config.model)
    put("lora", {} if lora is None else vars(lora))
    sft = arguments.sft_config(
        config,
        machine,
        output_dir=Path("out"),
        gradient_checkpointing=False,
        has_validation=True,
        run_name="run",
        batching=batches,
    )
    put("sft", vars(sft))
    return flat


def with_setting(key: str, value: Any) -> FineTuneConfig:
    section, name = key.split(".")
    return FineTuneConfig.model_validate({section: {name: value}})


@pytest.fixture(scope="module")
def unchanged() -> dict[str, Any]:
    return arrived(FineTuneConfig())


def test_every_setting_is_accounted_for() -> None:
    sections = {
        "model": ModelConfig,
        "data": DataConfig,
        "training": TrainingConfig,
        "evaluation": EvaluationConfig,
    }
    every = {f"{name}.{key}" for name, model in sections.items() for key in model.model_fields}
    assert set(FineTuneConfig.model_fields) == set(sections)
    assert every == set(ARRIVES) | set(ELSEWHERE)
    assert not set(ARRIVES) & set(ELSEWHERE)


@pytest.mark.parametrize("key", sorted(ARRIVES))
def test_setting_arrives(key: str, unchanged: dict[str, Any]) -> None:
    value, place, expected = ARRIVES[key]
    after = arrived(with_setting(key, value))
    assert unchanged.get(place, "absent") != expected
    assert after[place] == expected


def test_full_finetuning_has_no_adapter() -> None:
    from qtui.stages.training import arguments

    model = ModelConfig(use_qlora=False, full_finetuning=True)
    machine = arguments.Machine("cpu", bfloat16=True)
    assert arguments.lora_config(model) is None
    assert arguments.quantization_config(model, machine) is None
    assert str(arguments.weight_dtype(model, machine)) == "torch.float32"


def test_gradient_checkpointing_is_passed_on() -> None:
    from qtui.stages.training import arguments
    from qtui.stages.training.batching import Batching

    for wanted in (True, False):
        sft = arguments.sft_config(
            FineTuneConfig(),
            arguments.Machine("cpu", bfloat16=True),
            output_dir=Path("out"),
            gradient_checkpointing=wanted,
            has_validation=False,
            run_name="run",
            batching=Batching(padding_free=True, attention=None),
        )
        assert sft.activation_checkpointing is wanted
        assert sft.gradient_checkpointing is wanted


def test_device_decides_where_the_model_lies() -> None:
    from qtui.errors import ImpossibleError
    from qtui.stages.training import arguments, models

    machine = models.machine_for("cpu")
    assert machine.device == "cpu"
    assert arguments.load_arguments(ModelConfig(), machine)["device_map"] == {"": "cpu"}
    gpu = arguments.Machine("cuda:0", bfloat16=True)
    assert arguments.load_arguments(ModelConfig(), gpu)["device_map"] == {"": "cuda:0"}
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(ImpossibleError, match="sees no GPU"):
            models.machine_for("cuda:0")


def test_a_gpu_gets_the_paged_8_bit_optimiser() -> None:
    from qtui.stages.training.arguments import Machine, _optimizer

    assert _optimizer("auto", Machine("cuda:0", bfloat16=True)) == "paged_adamw_8bit"
    assert _optimizer("auto", Machine("cpu", bfloat16=True)) == "adamw_torch_fused"
    assert _optimizer("sgd", Machine("cuda:0", bfloat16=True)) == "sgd"


def test_a_device_without_bfloat16_computes_in_float32() -> None:
    from qtui.stages.training import arguments

    old = arguments.Machine("cpu", bfloat16=False)
    assert str(arguments.compute_dtype(ModelConfig(), old)) == "torch.float32"
    assert str(arguments.weight_dtype(ModelConfig(), old)) == "torch.float32"


def test_early_stopping_is_passed_on() -> None:
    from qtui.stages.training.arguments import early_stopping

    callback = early_stopping(
        TrainingConfig(early_stopping_patience=3, early_stopping_threshold=0.25)
    )
    assert callback.early_stopping_patience == 3
    assert callback.early_stopping_threshold == 0.25

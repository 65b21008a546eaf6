"""A Llama that fails on demand, as a model with code of its own.

Failures are asked for by the environment: `FAULT_BATCH=2` runs out of memory in training at more
rows than that, with the exception that CUDA's allocator raises; `FAULT_NAN_STEP=5` makes
the hidden states NaN in training from the fifth forward pass on. It needs `trust_remote_code`,
and so shows that this works, too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

CODE = """
import os

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel


class FaultyBackbone(LlamaModel):
    passes = 0

    def forward(self, input_ids=None, **kwargs):
        outputs = super().forward(input_ids=input_ids, **kwargs)
        if not self.training:
            return outputs
        limit = int(os.environ.get("FAULT_BATCH", "0"))
        if limit and input_ids.shape[0] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        type(self).passes += 1
        step = int(os.environ.get("FAULT_NAN_STEP", "0"))
        if step and self.passes >= step:
            outputs.last_hidden_state = outputs.last_hidden_state * float("nan")
        return outputs


class FaultyLlama(LlamaForCausalLM):
    config_class = LlamaConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = FaultyBackbone(config)
        self.post_init()
"""


def make_faulty(base: Path, folder: Path) -> Path:
    """Copy the model in `base` to `folder` and give it the code above."""
    shutil.copytree(base, folder)
    (folder / "modeling_faulty.py").write_text(CODE)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["architectures"] = ["FaultyLlama"]
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_faulty.FaultyLlama"}
    path.write_text(json.dumps(config))
    return folder

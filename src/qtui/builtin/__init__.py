"""The offline default: a tiny instruct model and sample data, so that the first run needs nothing.

Promises: `model_path()` is a folder that plain `AutoModelForCausalLM.from_pretrained` and
`AutoTokenizer.from_pretrained` load without a network; `data_path()` is a folder with
`train.jsonl`, `validation.jsonl`, `test.jsonl`, `preferences.jsonl` and `session.schema.json`.
Importing this costs milliseconds: nothing here loads torch.
"""

from __future__ import annotations

from pathlib import Path

from qtui.errors import NotFoundError
from qtui.terminal import clean_line

MODELS = ("tiny",)
DATA = ("camara",)

_HERE = Path(__file__).parent


def _known(kind: str, name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise NotFoundError(
            f"there is no built-in {kind} {clean_line(name, 60)}",
            remedy="built in: " + ", ".join(f"builtin:{known}" for known in names),
        )
    return name


def model_path(name: str = "tiny") -> Path:
    """The folder of the built-in model `name`. Raises `NotFoundError`."""
    return _HERE / _known("model", name, MODELS)


def data_path(name: str = "camara") -> Path:
    """The folder of the built-in sample data `name`. Raises `NotFoundError`."""
    return _HERE / "data" / _known("data set", name, DATA)

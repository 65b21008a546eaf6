"""What a folder with a base model must be like before anything in it is loaded.

Promises: weights come from whole safetensors files inside the folder and from nowhere else, a
pickle is refused by name, and no Python that came with the model runs unless the run file says
`trust_remote_code`. Only names, JSON and the headers of safetensors files are read here, so a
70 GB model is checked in milliseconds.

The layout of a safetensors file (eight bytes of length, a JSON header, the tensors without gaps)
is that of github.com/huggingface/safetensors. Code that comes with a model: see `remote_code`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from qtui.errors import InputError, NotFoundError
from qtui.stages.training import remote_code
from qtui.stages.training.remote_code import read_json
from qtui.terminal import clean_line

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
OTHER_FORMATS = {
    ".gguf": "GGUF (already quantised, for llama.cpp)",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".onnx": "ONNX",
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")

_LARGEST_HEADER = 100_000_000
_WHOLE = 64 * 1024**2
"""Bytes up to which `identity` hashes everything."""
_SAMPLES = 16
_SAMPLE = 64 * 1024


def check(path: Path, *, trust_remote_code: bool) -> None:
    """Refuse a model folder that is no model, is torn, or would run code.

    Raises:
        NotFoundError: there is no such folder, or a file that it names is missing.
        InputError: anything else; names the file, the reason and the way out.
    """
    if not path.is_dir():
        raise NotFoundError(f"{_shown(path)} is no folder", remedy="check model.model_name")
    names = {entry.name for entry in path.iterdir()}
    refuse_by_name(names, _shown(path))
    if "adapter_config.json" in names:
        raise InputError(
            f"{_shown(path)} holds a model and an adapter (adapter_config.json), which "
            "transformers would attach without a word",
            remedy="move the adapter's files to a folder of their own",
        )
    remote_code.refuse(path, trust_remote_code=trust_remote_code)
    headers = {name: header(_inside(path, name)) for name in shards(path)}
    if SINGLE not in names:
        for tensor, shard in _weight_map(path).items():
            if tensor not in headers[shard]:
                raise InputError(
                    f"{clean_line(shard)} has no tensor {clean_line(tensor)}, which {INDEX} "
                    f"says it holds ({_shown(path)})",
                    remedy="the index and the weights are of different models: download both again",
                )


def refuse_by_name(names: set[str], model: str) -> None:
    """Refuse a model of which the file names alone say that it cannot be trained from.

    `names` are those at the top of the folder or repository; `model` is what errors call it.
    """
    pickled = sorted(name for name in names if name.endswith(PICKLED))
    others = sorted(name for name in names if PurePosixPath(name).suffix in OTHER_FORMATS)
    if "config.json" not in names:
        if "adapter_config.json" in names:
            raise InputError(
                f"{model} is an adapter, not a base model"
                + (" (and adapter_model.bin is a pickle)" if "adapter_model.bin" in names else ""),
                remedy="model.model_name wants the model that adapter_config.json calls "
                "base_model_name_or_path",
            )
        if others:
            raise InputError(_only(model, others), remedy=_SAFETENSORS_WANTED)
        raise InputError(
            f"{model} is no model: it has no config.json",
            remedy="model.model_name wants a folder or repository in transformers' format",
        )
    if names & {SINGLE, INDEX}:
        return
    if pickled:
        raise InputError(
            f"{model} has its weights only as pickle ({_listed(pickled)}): loading a pickle can "
            "run any code, so qtui does not",
            remedy="choose a revision or a copy with model.safetensors, or convert a model that "
            "you trust: AutoModelForCausalLM.from_pretrained(...).save_pretrained(FOLDER)",
        )
    if others:
        raise InputError(_only(model, others), remedy=_SAFETENSORS_WANTED)
    tensors = sorted(name for name in names if name.endswith(".safetensors"))
    if tensors:
        raise InputError(
            f"{model} has {_listed(tensors)}, but neither {SINGLE} nor {INDEX}, which is where "
            "transformers looks",
            remedy="choose a repository in transformers' format",
        )
    raise InputError(
        f"{model} has a config.json but no weights ({SINGLE})", remedy=_SAFETENSORS_WANTED
    )


def shards(path: Path) -> list[str]:
    """Names of the safetensors files that make up the model, as transformers would choose them.

    Raises:
        NotFoundError: one of them is not there.
        InputError: the index is broken, or names a file outside the folder or a pickle.
    """
    if (path / SINGLE).is_file():
        return [SINGLE]
    names = sorted(set(_weight_map(path).values()))
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise NotFoundError(
            f"{INDEX} of {_shown(path)} names {_listed(missing)}, not there",
            remedy="download the model again: files already complete are kept",
        )
    return names


def shard_names(index: Any, where: str) -> list[str]:
    """Files that a parsed index names; refuses paths out of the folder and anything pickled."""
    return sorted(set(_checked_map(index, where).values()))


def identity(path: Path) -> dict[str, Any]:
    """What tells this model from every other: for run.json and for adapters trained on it.

    Returns `config_sha256`, `weights_sha256`, `method`, `bytes`, `files` and, for a folder in the
    hub's cache, `commit`. `method` is `full` up to 64 MiB of weights; above that it is `sampled`:
    each file's header, size and 16 blocks of 64 KiB, which differ as soon as a model was trained.
    """
    names = shards(path)
    sizes = [(path / name).stat().st_size for name in names]
    full = sum(sizes) <= _WHOLE
    digest = hashlib.sha256()
    for name, size in zip(names, sizes, strict=True):
        with _inside(path, name).open("rb") as file:
            digest.update(size.to_bytes(8, "little"))
            for block in _blocks(file, size, full=full):
                digest.update(block)
    found: dict[str, Any] = {
        "config_sha256": hashlib.sha256((path / "config.json").read_bytes()).hexdigest(),
        "weights_sha256": digest.hexdigest(),
        "method": "full" if full else "sampled",
        "bytes": sum(sizes),
        "files": len(names),
    }
    if path.parent.name == "snapshots":
        found["commit"] = path.name
    return found


_SAFETENSORS_WANTED = "choose a repository or folder that has model.safetensors"


def _only(model: str, others: list[str]) -> str:
    kinds = sorted({OTHER_FORMATS[PurePosixPath(name).suffix] for name in others})
    return f"{model} has no safetensors, only {', '.join(kinds)}: {_listed(others)}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(clean_line(name, 80) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shown(path: Path) -> str:
    return clean_line(str(path))


_AGAIN = "download or copy the model again"


def _weight_map(path: Path) -> dict[str, str]:
    return _checked_map(read_json(path / INDEX), f"{INDEX} of {_shown(path)}")


def _checked_map(index: Any, where: str) -> dict[str, str]:
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise InputError(f"{where} has no weight_map", remedy=_AGAIN)
    for name in found.values():
        if not isinstance(name, str):
            raise InputError(f"{where}: a weight_map value is no file name", remedy=_AGAIN)
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise InputError(
                f"{where} names {clean_line(name, 80)!r}, a path that leaves the folder",
                remedy="do not use this model: an honest index names files beside it",
            )
        if not name.endswith(".safetensors"):
            raise InputError(
                f"{where} names {clean_line(name, 80)!r}, which is no safetensors file",
                remedy=_SAFETENSORS_WANTED,
            )
    return found


def _inside(path: Path, name: str) -> Path:
    """The file `name`, its links followed, which must end in the folder or in the hub's cache."""
    target = (path / name).resolve()
    allowed = [path.resolve()]
    if path.parent.name == "snapshots":
        # The hub's cache: models--ORG--NAME/snapshots/COMMIT/file -> ../../blobs/HASH, which may
        # itself be a link into the blobs that all repositories share.
        allowed += [path.parents[1].resolve() / "blobs", path.parents[2].resolve() / "blobs"]
    if not any(target.is_relative_to(root) for root in allowed):
        raise InputError(
            f"{clean_line(name)} in {_shown(path)} is a link out of the folder, to "
            f"{_shown(target)}",
            remedy="copy the file itself into the folder, or name the folder it lies in",
        )
    return target


def header(path: Path) -> dict[str, Any]:
    """Tensors of one safetensors file; refuses a file that is torn or something else."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _LARGEST_HEADER:
            raise InputError(f"{_shown(path)} is no safetensors file", remedy=_AGAIN)
        raw = file.read(length)
    if len(raw) < length:
        raise InputError(
            f"{_shown(path)} is torn: {size:,} bytes, not even its header is whole", remedy=_AGAIN
        )
    try:
        header = json.loads(raw)
        spans = sorted(tuple(header[name]["data_offsets"]) for name in _tensors(header))
        end = 0
        for first, last in spans:
            if first != end or last < first:
                raise ValueError("tensors overlap or leave gaps")
            end = last
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{_shown(path)} has a broken header: {error}", remedy=_AGAIN) from error
    expected = 8 + length + end
    if size != expected:
        raise InputError(
            f"{_shown(path)} is torn: {size:,} bytes, but its header describes {expected:,}",
            remedy=_AGAIN,
        )
    return {name: header[name] for name in _tensors(header)}


def _tensors(header: Any) -> list[str]:
    return [name for name in header.keys() if name != "__metadata__"]  # noqa: SIM118


def _blocks(file: BinaryIO, size: int, *, full: bool) -> Iterator[bytes]:
    if full:
        while block := file.read(1024**2):
            yield block
        return
    yield file.read(8 + min(struct.unpack("<Q", file.read(8))[0], _LARGEST_HEADER))
    for index in range(_SAMPLES):
        file.seek(index * max(size - _SAMPLE, 0) // (_SAMPLES - 1))
        yield file.read(_SAMPLE)

"""Which files of a repository make up a model, and whether the cache has them all already."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import get_cached_repo_tree, snapshot_download
from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError
from huggingface_hub.hf_api import RepoFile

from qtui.errors import InputError, NotFoundError
from qtui.stages.training import remote_code, weights
from qtui.terminal import clean_line

_SETTINGS = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".spm")
_TEMPLATES = ("chat_templates/", "additional_chat_templates/")
_LARGEST_SETTING = 200 * 1024**2


def small_files(sizes: dict[str, int], *, trust_remote_code: bool) -> list[str]:
    """Everything but weights that loading needs: config, tokenizer, templates, weight index.

    `sizes` is name to bytes. An adapter beside the model is left out, or transformers would
    attach it without a word; Python files are in only with `trust_remote_code`.
    """
    return sorted(
        name
        for name, size in sizes.items()
        if size <= _LARGEST_SETTING
        and (
            (trust_remote_code and name.endswith(".py"))
            or (name.startswith(_TEMPLATES) and name.endswith(".jinja"))
            or (
                "/" not in name
                and name.endswith(_SETTINGS)
                and not name.startswith(("adapter_", "LICENSE", "README", "requirements"))
            )
        )
    )


def weight_files(folder: Path, sizes: dict[str, int]) -> list[str]:
    """The safetensors files that transformers will load; `folder` has the index already.

    Raises:
        NotFoundError: the index names a file that the repository does not have.
    """
    if weights.SINGLE in sizes:
        return [weights.SINGLE]
    names = weights.shard_names(remote_code.read_json(folder / weights.INDEX), weights.INDEX)
    missing = [name for name in names if name not in sizes]
    if missing:
        raise NotFoundError(
            f"{weights.INDEX} names {clean_line(missing[0], 80)}, which the repository does not "
            f"have ({len(missing)} of {len(names)} missing)",
            remedy="the upload is incomplete: try another revision of the model",
        )
    return names


def in_cache(model: str, revision: str | None, *, trust_remote_code: bool) -> Path:
    """The folder of a model that is whole in the cache; makes no request.

    Raises:
        NotFoundError: something is missing, damaged or not what could be loaded.
        InputError: it would run code that nobody agreed to.
    """
    try:
        folder = Path(
            snapshot_download(
                model, revision=revision, local_files_only=True, allow_patterns=["config.json"]
            )
        )
    except LocalEntryNotFoundError as error:
        raise NotFoundError(f"{model} is not in the hub's cache") from error
    try:
        tree = {file.path: file for file in get_cached_repo_tree(model, revision=revision)}
    except CachedRepoTreeNotFoundError:
        tree = {}  # put there by an older library: only what the files themselves say is known
    for name in small_files(_sizes(tree), trust_remote_code=trust_remote_code):
        _require(folder, name, tree[name].size, model)
    if not tree and not any((folder / name).is_file() for name in weights.TOKENIZER_FILES):
        raise NotFoundError(f"the hub's cache has no tokenizer of {model}")
    _require(folder, "config.json", None, model)
    remote_code.refuse(folder, trust_remote_code=trust_remote_code)
    try:
        weights.check(folder, trust_remote_code=True)
    except InputError as error:
        raise NotFoundError(
            f"the copy in the hub's cache is of no use ({error.message})"
        ) from error
    for name in weights.shards(folder):
        _require(folder, name, tree[name].size if name in tree else None, model)
    for name in remote_code.files(folder) if trust_remote_code else []:
        _require(folder, name, None, model)
    return folder


def _sizes(tree: dict[str, RepoFile]) -> dict[str, int]:
    return {name: file.size for name, file in tree.items()}


def _require(folder: Path, name: str, size: int | None, model: str) -> None:
    path = folder / name
    if not path.is_file():
        raise NotFoundError(f"the hub's cache has {model} without {clean_line(name)}")
    if size is not None and path.stat().st_size != size:
        raise NotFoundError(f"the hub's cache has {clean_line(name)} of {model} damaged")

"""Data sets that the `datasets` library reads: hub ids, and folders that `save_to_disk` wrote.

The library is loaded only when such a source is used. Its errors, which name its own insides, are
said again in terms of what the user can do: no network, no such data set, a token is missing, no
such split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtui.config.models import DataConfig
from qtui.errors import InputError, NotFoundError, QtuiError
from qtui.stages.data.reading.compressed import Place
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.rows import Record
from qtui.terminal import clean_line


def read(source: Source, config: DataConfig, place: Place | None = None) -> Iterator[Record]:
    """Yield the rows of one split; `line` is the row's number from 1, and `place` follows.

    Raises NotFoundError (no such data set, split or configuration), InputError (gated, unreadable)
    or QtuiError (no network).
    """
    place = place or Place()
    rows = _open(source, config)
    total = len(rows)
    for number, value in enumerate(rows, start=1):
        place.share(number, total)
        yield Record(value, number)


def _open(source: Source, config: DataConfig) -> Any:
    """A data set from the hub or from a folder that `save_to_disk` wrote."""
    from datasets import load_dataset, load_from_disk
    from datasets.exceptions import DatasetNotFoundError

    name = clean_line(source.name)
    try:
        if source.path is not None:
            return _split(load_from_disk(str(source.path)), source)
        return load_dataset(source.name, name=config.dataset_config, split=source.split)
    except QtuiError:
        raise
    except DatasetNotFoundError as error:
        raise _not_found(name, error) from error
    except ValueError as error:  # the library names the splits or configurations that there are
        raise NotFoundError(
            f"{name}: {clean_line(str(error), 400)}",
            remedy="Set data.split and data.dataset_config to one of those that it has.",
        ) from error
    except Exception as error:
        raise _translated(name, error) from error


def _not_found(name: str, error: Exception) -> InputError:
    if "gated" in str(error):
        return InputError(
            f"the data set {name} is gated: its owner wants to know who uses it",
            remedy="Accept its terms on its page, then log in with `hf auth login` "
            "or set HF_TOKEN.",
        )
    return NotFoundError(
        f"there is no data set {name}, or it is private",
        remedy="Check data.input_path; for a private one log in with `hf auth login` "
        "or set HF_TOKEN.",
    )


def _translated(name: str, error: Exception) -> QtuiError:
    """Errors that reach us from below the library, by what they mean."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 8:
        chain.append(current)
        current = current.__cause__ or current.__context__
    answers = [getattr(getattr(link, "response", None), "status_code", None) for link in chain]
    status = next((code for code in answers if code is not None), None)
    if status == 429:
        return QtuiError(
            f"the data set {name} could not be fetched: the hub limits how often it is asked (429)",
            remedy="Wait a few minutes and start again; logged in (`hf auth login`) one may ask "
            "more often.",
        )
    if status is not None and status >= 500:
        return QtuiError(
            f"the data set {name} could not be fetched: the hub has trouble of its own ({status})",
            remedy="Try again later.",
        )
    if any(isinstance(link, ConnectionError) or _is_offline(link) for link in chain):
        return QtuiError(
            f"the data set {name} could not be fetched: no connection to the hub",
            remedy="Check the network (and HF_HUB_OFFLINE), or save the data set to a folder on a "
            "machine that has one and name the folder.",
        )
    detail = clean_line(f"{type(error).__name__}: {error}", 400)
    return InputError(
        f"{name} could not be read as a data set: {detail}",
        remedy="If it holds JSON rows, set data.input_type: json or jsonl.",
    )


def _is_offline(error: BaseException) -> bool:
    names = ("ConnectError", "ConnectTimeout", "OfflineModeIsEnabled", "LocalEntryNotFoundError")
    return type(error).__name__ in names


def _split(data: Any, source: Source) -> Any:
    """A saved folder holds one split, or several by name."""
    from datasets import DatasetDict

    if not isinstance(data, DatasetDict):
        return data
    if source.split in data:
        return data[source.split]
    have = ", ".join(clean_line(str(name)) for name in data)
    raise NotFoundError(
        f"{clean_line(source.name)} has no split {source.split!r}",
        remedy=f"Set data.split to one of: {have}.",
    )

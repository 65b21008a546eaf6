"""One large file from the hub into its cache: resumable, checked by its SHA-256, one at a time.

The part that is here lies beside the blobs as `SHA.resume.incomplete` and is continued by
whoever comes next, in this process or a later one. The library's own lock keeps two processes,
ours or others, from fetching one file twice.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import filelock
import httpx2
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status

from qtui.errors import QtuiError
from qtui.stages.training.hub.report import Report
from qtui.stages.training.hub.retries import Patience, in_words
from qtui.terminal import clean_line

_CHUNK = 1024**2


@dataclass(frozen=True)
class Blob:
    """A file that the hub keeps in large-file storage, at one commit of a repository."""

    model: str
    commit: str
    name: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """Where the library's cache keeps its content."""
        return _repository(self.model) / "blobs" / self.sha256

    @property
    def partial(self) -> Path:
        """What has arrived so far."""
        return self.path.with_name(f"{self.sha256}.resume.incomplete")

    @property
    def pointer(self) -> Path:
        """Its name in the snapshot: a link to `path`, or the file itself where links cannot be."""
        return _repository(self.model) / "snapshots" / self.commit / self.name

    def is_here(self) -> bool:
        """Whether the cache holds it with its right size."""
        return any(
            path.is_file() and path.stat().st_size == self.size
            for path in (self.path, self.pointer)
        )

    def missing(self) -> int:
        """Bytes still to come."""
        if self.is_here():
            return 0
        have = self.partial.stat().st_size if self.partial.is_file() else 0
        return self.size - have if have <= self.size else self.size


def download(blob: Blob, patience: Patience, report: Report) -> None:
    """Bring `blob` into the cache; counts bytes in `report` as they arrive.

    Raises:
        QtuiError: it arrived damaged twice.
        HubUnavailableError: the line did not hold for long enough.
    """
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / _repository(blob.model).name
    lock.mkdir(parents=True, exist_ok=True)
    blob.path.parent.mkdir(parents=True, exist_ok=True)
    lock /= f"{blob.sha256}.lock"
    try:
        with WeakFileLock(lock, timeout=0.1):
            _fill(blob, patience, report)
    except filelock.Timeout:
        report.say(f"another process is downloading {blob.name}; waiting for it")
        before = blob.missing()
        with WeakFileLock(lock):
            report.count(before - blob.missing())
            _fill(blob, patience, report)


def _fill(blob: Blob, patience: Patience, report: Report) -> None:
    if blob.is_here():
        return
    for torn in (blob.path, blob.pointer):  # the library would take them as they are
        torn.unlink(missing_ok=True)
    for last in (False, True):
        if _receive(blob, patience, report) == blob.sha256:
            _into_cache(blob)
            return
        blob.partial.unlink()
        report.count(-blob.size)
        if not last:
            report.say(f"{blob.name} arrived damaged (not the hub's SHA-256); downloading it again")
    raise QtuiError(
        f"{clean_line(blob.name)} of {blob.model} arrived damaged twice: its SHA-256 is not the "
        f"one that the hub names ({blob.sha256[:12]}…)",
        remedy="a proxy or mirror on the way alters it: try another network or HF_ENDPOINT",
    )


class _Partial:
    """What has arrived of a blob, and the SHA-256 of just that."""

    def __init__(self, path: Path, limit: int) -> None:
        self._file = path.open("ab+")
        self._file.seek(0)
        self._digest = hashlib.file_digest(self._file, "sha256")
        if self.length > limit:
            self.begin_anew()

    def __enter__(self) -> _Partial:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def length(self) -> int:
        return self._file.tell()

    def append(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)

    def begin_anew(self) -> None:
        self._file.truncate(0)
        self._file.seek(0)
        self._digest = hashlib.sha256()

    def finish(self) -> str:
        """All of it on the disk; returns its hash."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._digest.hexdigest()


def _receive(blob: Blob, patience: Patience, report: Report) -> str:
    """Append to the partial file until it is as long as the hub says; returns its SHA-256."""
    url = hf_hub_url(blob.model, blob.name, revision=blob.commit)
    failures = itertools.count(1)
    with _Partial(blob.partial, blob.size) as partial:
        while (have := partial.length) < blob.size:
            try:
                _stream(url, partial, report)
                cause = "the hub ended the file too early"
            except httpx2.TransportError as error:
                cause = in_words(error, httpx2.URL(url).host)
            if partial.length > have:
                failures = itertools.count(1)
            if partial.length < blob.size:
                where = f"at {partial.length:,} of {blob.size:,} bytes of {clean_line(blob.name)}"
                patience.wait(f"{cause} {where}", next(failures))
        return partial.finish()


def _stream(url: str, partial: _Partial, report: Report) -> None:
    """Ask for the rest of the file and append it; from the start when the hub knows no ranges."""
    have = partial.length
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", url, headers=headers) as response:
        if have and response.status_code in (200, 416):
            partial.begin_anew()
            report.count(-have)
        if response.status_code == 416:
            return
        hf_raise_for_status(response)
        for chunk in response.iter_raw(_CHUNK):
            partial.append(chunk)
            report.count(len(chunk))


def _into_cache(blob: Blob) -> None:
    umask = os.umask(0)
    os.umask(umask)
    blob.partial.chmod(0o666 & ~umask)
    blob.partial.replace(blob.path)


def _repository(model: str) -> Path:
    name: str = repo_folder_name(repo_id=model, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / name

"""`python -m qtui.stages.training.hub.download`: fetches one model, in a process of its own.

Of its own because its end is then certain: a stop kills it within a moment, whatever a library
is waiting for, and what the hub's library reads from the environment when it is imported touches
nothing else. It takes a `Request` as a line on stdin and answers with messages on stdout; when
stdin closes, its parent is gone and it ends as well.

Promises: the cache is the library's own, so that every other tool finds the files; a model that
is whole in the cache is used without any request; what is downloaded is exactly what transformers
will load; large files go on where they broke off, also in a later process (the library, 2.4,
throws the part away and begins anew); no file is used whose hash is not the hub's. All of it is
plain HTTP with ranges, which can be resumed; Xet cannot.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx2
import msgspec
from huggingface_hub import HfApi, ResolvedRevision, constants, set_client_factory
from huggingface_hub import snapshot_download as library_download
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import logging as library_logging

from qtui.errors import ImpossibleError, InputError, NotFoundError, QtuiError
from qtui.stages.training import remote_code, weights
from qtui.stages.training.hub import blobs, snapshot
from qtui.stages.training.hub.errors import explain
from qtui.stages.training.hub.messages import Fetched, Refused, Request
from qtui.stages.training.hub.report import Report
from qtui.stages.training.hub.retries import Patience, PatientClient, in_words
from qtui.terminal import clean_line

_AT_ONCE = 4
_SPARE = 64 * 1024**2
"""Bytes of disk that are left free beside the model."""


def main() -> int:
    """Serve one request; returns the process's exit code."""
    report = Report(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints is no message
    library_logging.set_verbosity_error()
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        report.send(Fetched(str(_fetch(request, report))))
    except Exception as error:
        found = explain(error, request.model, request.revision)
        kind = next(k for k in type(found).__mro__ if k.__module__ == QtuiError.__module__)
        report.send(Refused(kind.__name__, found.message, found.remedy))
        sys.stderr.flush()
        os._exit(1)  # other downloads still run in threads: what they have is kept on disk
    return 0


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _fetch(request: Request, report: Report) -> Path:
    trusted = request.trust_remote_code
    try:
        folder = snapshot.in_cache(request.model, request.revision, trust_remote_code=trusted)
    except NotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            raise NotFoundError(
                f"{error.message}, and HF_HUB_OFFLINE forbids to ask the hub",
                remedy="unset HF_HUB_OFFLINE (and TRANSFORMERS_OFFLINE), or name a local folder "
                "in model.model_name",
            ) from error
        report.say(f"{error.message}: asking {constants.ENDPOINT}")
    else:
        report.say(
            f"{request.model} is in the hub's cache ({request.revision or 'main'} at commit "
            f"{folder.name[:12]}): used without asking the hub for a newer one"
        )
        return folder
    patience = Patience(request.waits, report.say)
    set_client_factory(lambda: PatientClient(patience))
    return _Repository(request, patience, report).download()


class _Repository:
    """One model at one commit."""

    def __init__(self, request: Request, patience: Patience, report: Report) -> None:
        self.model = request.model
        self.trusted = request.trust_remote_code
        self.patience = patience
        self.report = report
        api = HfApi()
        self.revision: ResolvedRevision = api.resolve_revision(
            self.model, revision=request.revision
        )
        self.commit: str = self.revision.resolved
        listing = api.list_repo_tree(self.model, revision=self.commit, recursive=True)
        self.tree: dict[str, RepoFile] = {
            entry.path: entry for entry in listing if isinstance(entry, RepoFile)
        }

    def download(self) -> Path:
        """Settings first, for they say whether the model is wanted at all; then the weights."""
        sizes = {name: entry.size for name, entry in self.tree.items()}
        weights.refuse_by_name({name for name in sizes if "/" not in name}, self.model)
        small = snapshot.small_files(sizes, trust_remote_code=self.trusted)
        self._disk(small)
        folder = self._bring(small)
        remote_code.refuse(folder, trust_remote_code=self.trusted)
        large = snapshot.weight_files(folder, sizes)
        total = sum(sizes[name] for name in small + large)
        self._disk(large)
        self.report.say(
            f"downloading {self.model} at commit {self.commit[:12]}: {len(small + large)} files, "
            f"{total / 1e6:,.1f} MB, into {constants.HF_HUB_CACHE}"
        )
        self.report.expect(total - self._missing(large), total)
        folder = self._bring(large)
        weights.check(folder, trust_remote_code=self.trusted)
        self.report.finish()
        return folder

    def _bring(self, names: list[str]) -> Path:
        """Files into the cache: large ones by us, the rest and the links by the library."""
        pool = ThreadPoolExecutor(_AT_ONCE)
        tasks = [
            pool.submit(blobs.download, blob, self.patience, self.report)
            for name in names
            if (blob := self._blob(name)) is not None
        ]
        for task in as_completed(tasks):
            task.result()  # the first error ends the process; what other threads have is on disk
        pool.shutdown()
        for last in (False, True):
            folder = self._through_library(names)
            damaged = [name for name in names if not self._is_whole(folder / name, name)]
            if not damaged:
                self._without_copies(names)
                return folder
            for name in damaged:
                (folder / name).resolve().unlink(missing_ok=True)
                (folder / name).unlink(missing_ok=True)
            shown = ", ".join(clean_line(name, 80) for name in damaged)
            if not last:
                self.report.say(f"{shown} is damaged (not the hub's hash): downloading again")
        raise QtuiError(
            f"{shown} of {self.model} arrived damaged twice: the content is not what the hub lists",
            remedy="a proxy or mirror on the way alters it: try another network or HF_ENDPOINT",
        )

    def _without_copies(self, names: list[str]) -> None:
        """Where the cache cannot hold links, the library copied our blobs: keep one of the two."""
        for name in names:
            blob = self._blob(name)
            if blob is not None and blob.path.is_file() and not blob.pointer.is_symlink():
                blob.path.unlink()

    def _through_library(self, names: list[str]) -> Path:
        for attempt in itertools.count(1):
            try:
                return Path(
                    library_download(
                        self.model,
                        revision=self.revision,
                        allow_patterns=[glob.escape(name) for name in names],
                        max_workers=_AT_ONCE,
                    )
                )
            except httpx2.TransportError as error:
                self.patience.wait(in_words(error, httpx2.URL(constants.ENDPOINT).host), attempt)
            except OSError as error:
                if "Consistency check failed" not in str(error):
                    raise
                self.patience.wait("a file arrived with another size than announced", attempt)
        raise AssertionError("unreachable")

    def _is_whole(self, path: Path, name: str) -> bool:
        """Size, and for files kept in git its hash; blobs were checked when they arrived."""
        entry = self.tree[name]
        if path.stat().st_size != entry.size:
            return False
        if entry.lfs is not None:
            return True
        digest = hashlib.sha1(f"blob {entry.size}\0".encode(), usedforsecurity=False)
        digest.update(path.read_bytes())
        return digest.hexdigest() == str(entry.blob_id)

    def _blob(self, name: str) -> blobs.Blob | None:
        entry = self.tree[name]
        if entry.lfs is None:
            return None
        return blobs.Blob(self.model, self.commit, name, entry.lfs.sha256, entry.lfs.size)

    def _missing(self, names: list[str]) -> int:
        """Bytes of `names` that are not in the cache."""
        found = [(self._blob(name), self.tree[name].size) for name in names]
        return sum(blob.missing() if blob else size for blob, size in found)

    def _disk(self, names: list[str]) -> None:
        """Refuse to begin what cannot end: compares what is missing with the free disk."""
        large = max(names, key=lambda name: self.tree[name].size, default=None)
        if large and self.tree[large].size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise InputError(
                f"{clean_line(large)} of {self.model} has {self.tree[large].size / 1e9:,.0f} GB: "
                "the hub serves files above 50 GB only through its own tool",
                remedy=f"run `hf download {self.model}`, which fills the same cache, and resume",
            )
        cache = Path(constants.HF_HUB_CACHE)
        cache.mkdir(parents=True, exist_ok=True)
        needed = self._missing(names) + _SPARE
        free = shutil.disk_usage(cache).free
        if needed > free:
            raise ImpossibleError(
                f"{self.model} needs {needed / 1e9:,.1f} GB more disk, but {cache} has "
                f"{free / 1e9:,.1f} GB free",
                remedy="free space, or point HF_HOME to a larger disk",
            )


if __name__ == "__main__":
    sys.exit(main())

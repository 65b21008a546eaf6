"""Reads sources one after another into batches of rows, whatever kind each is.

A new kind of source is one more `Source.kind` and one line in `_records`. What a reader finds out
about a file is kept until `left` is asked; what it could not read becomes a row of its own, so that
everything that was there can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qtui.config.models import DataConfig
from qtui.runs.dataset import Finding
from qtui.stages.data.collected import Progress
from qtui.stages.data.documents.documents import Documents
from qtui.stages.data.reading import hub, json_records, tables
from qtui.stages.data.reading.compressed import Place
from qtui.stages.data.reading.sources import DOCUMENTS, Source
from qtui.stages.data.refining.refine import Batch, FindingList
from qtui.stages.data.refining.row_pool import BYTES_A_BATCH, ROWS_A_BATCH
from qtui.stages.data.rows import Record

LOST = frozenset(("broken-json", "invalid-utf8", "long-line", "ragged-row"))
"""Findings of a reader that each stand for a row that is lost."""


class Reading:
    """The rows of `sources`, in order. `progress(what, done, total, unit)` counts bytes.

    Those are the files' own (packed, where they are), and only ever grow. Where more is read than
    `sources`, `before` are the bytes of what was read already and `total` those of everything.
    """

    def __init__(
        self,
        sources: list[Source],
        config: DataConfig,
        documents: Documents,
        progress: Progress,
        *,
        before: int = 0,
        total: int = 0,
    ) -> None:
        self._sources = sources
        self._config = config
        self._documents = documents
        self._progress = progress
        self._found = FindingList()
        self._entries = {source.name: source.entry for source in sources}
        self._sizes = [size_of(source) for source in sources]
        self._total = max(total, before + sum(self._sizes))
        self._done = before  # and bytes of the sources that are read to their end
        self._told = before

    def entry_of(self, name: str) -> int:
        """Which entry of input_path a source came from."""
        return self._entries[name]

    def left(self) -> list[Finding]:
        """What was found about files since it was last asked."""
        found, self._found.found = self._found.found, []
        return found

    def batches(self, room: Callable[[], int]) -> Iterator[Batch]:
        """Read until the end, or until there is no `room()` for more rows."""
        for source, size in zip(self._sources, self._sizes, strict=True):
            if room() <= 0:
                return
            place = Place(size)
            batch = Batch(source.name)
            held = 0
            for item in _items(source, self._config, self._documents, self._found, place):
                if isinstance(item, Record):
                    batch.records.append(
                        (item.value, item.line, item.page, item.chunk, item.headings)
                    )
                    held += 256
                else:
                    batch.lines.append(item)
                    held += len(item[1])
                if len(batch) >= min(ROWS_A_BATCH, room()) or held >= BYTES_A_BATCH:
                    yield self._complete(batch)
                    self._tell(self._done + min(place.tell(), size))
                    batch, held = Batch(source.name), 0
                    if room() <= 0:
                        return
            batch = self._complete(batch)
            if len(batch) or batch.lost:
                yield batch
            self._done += size
            self._tell(self._done)

    def _tell(self, done: int) -> None:
        """Say how far it is, where it is further than before."""
        if done > self._told:
            self._told = done
            self._progress("read", done, self._total, "bytes")

    def _complete(self, batch: Batch) -> Batch:
        """The batch with what was lost among its rows."""
        lost = [finding for finding in self._found.found if finding.kind in LOST]
        if lost:
            self._found.found = [f for f in self._found.found if f.kind not in LOST]
            batch.lost = lost
        return batch


def size_of(source: Source) -> int:
    """Bytes of a file, or of the files of a saved data set; 0 where that is not known."""
    if source.path is None:
        return 0
    try:
        if source.path.is_dir():
            return sum(file.stat().st_size for file in source.path.rglob("*.arrow"))
        return source.path.stat().st_size
    except OSError:
        return 0


def _items(
    source: Source, config: DataConfig, documents: Documents, found: FindingList, place: Place
) -> Iterator[Record | tuple[int, bytes]]:
    if source.kind == "dataset":
        return hub.read(source, config, place)
    if source.kind in DOCUMENTS:
        return documents.read(source, found)  # a document is read as a whole
    if source.kind in ("csv", "tsv", "parquet"):
        return tables.read(source, found, place)
    return json_records.items(source, found, place)

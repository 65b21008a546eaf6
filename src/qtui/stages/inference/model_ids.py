"""Which weights a request means by the model it names.

The base, an adapter that was named for the server, or a run of the workspace: `RUN`, or `RUN@STEP`
for a checkpoint of it, also while it is still being trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtui.config.serve import ServeConfig
from qtui.errors import InputError, NotFoundError
from qtui.runs import folder, serving
from qtui.terminal import clean_line


@dataclass(frozen=True)
class Named:
    """An adapter: what it is listed as, and where it lies."""

    id: str
    folder: Path


@dataclass(frozen=True)
class Names:
    """The ids of one server."""

    workspace: Path
    config: ServeConfig
    base: Path
    """Folder of the base."""

    @property
    def base_id(self) -> str:
        return self.config.model.model_name

    def named(self) -> tuple[Named, ...]:
        """The adapters that were named for the server."""
        return tuple(Named(each.name, self._folder(each.path)) for each in self.config.adapters)

    def find(self, name: str) -> Named | None:
        """The adapter that `name` means; none for the base.

        Raises:
            NotFoundError: there is nothing of that name.
            InputError: it is a run that has nothing to answer with, or not on this base.
        """
        if name == self.base_id:
            return None
        for named in self.named():
            if named.id == name:
                return named
        ref, _, step = name.partition("@")
        if "/" in ref or "\\" in ref or not ref:
            raise NotFoundError("it is no run's name")
        try:
            run = folder.find(self.workspace, ref)
        except NotFoundError as error:  # it says where the workspace lies, which is our business
            raise NotFoundError("there is no run of that name") from error
        if run.spec.kind == folder.SERVE:
            raise NotFoundError(
                f"{clean_line(run.name)} is a server, and has no weights of its own"
            )
        subject = serving.of_run(self.workspace, run, step or None)
        if subject.adapters:
            (adapter,) = subject.adapters
            return Named(adapter.name, self._folder(adapter.path))
        if Path(subject.model.model_name).resolve() == self.base.resolve():
            return None
        raise InputError(
            f"{clean_line(run.name)} trained the whole model, so it cannot be served beside "
            f"{clean_line(self.base_id)}",
            remedy=f"qtui serve {clean_line(run.name)} starts a server for it",
        )

    def _folder(self, path: str) -> Path:
        given = Path(path).expanduser()
        return given if given.is_absolute() else self.workspace / given

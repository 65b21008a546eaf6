"""The chat screen beside the real server, in front of an engine without a model.

What a server's start takes is played: a test says when it is ready, or why it never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from textual.pilot import Pilot

from qtui.chat import server
from qtui.chat.conversation import Answer
from qtui.errors import QtuiError
from qtui.runs.folder import Run
from qtui.runs.serving import Address, Subject
from qtui.screens.chat.screen import ChatScreen
from tests.dashboard import run_folders
from tests.dashboard.harness import drive, until
from tests.stages.inference.fake_engine import FakeEngine
from tests.stages.inference.fake_server import serving

LAMP = """To return a **lamp**, open `Orders`:

1. choose *Return*
2. print the label

```sh
qtui runs list
```
"""


def answers(job: Any) -> str:
    """The adapter knows; the base does not."""
    return LAMP if job.model != "builtin:tiny" else "To return a lamp, ask the store."


def took(answer: Answer) -> str:
    """What an answer took, the same on every machine."""
    ended = f" · {answer.finish_reason}" if answer.finish_reason not in ("stop", "") else ""
    return f"38 tok/s · first 0.21 s{ended}"


@contextmanager
def room(tmp_path: Path, **settings: Any) -> Iterator[tuple[FakeEngine, Address]]:
    """An engine, and the address of the server in front of it."""
    engine = FakeEngine(**({"answer": answers, "max_context": 4096} | settings))
    folder = tmp_path / ".served"
    folder.mkdir(parents=True)
    with serving(engine, folder, socket=True) as served:
        yield engine, Address(served.url, served.socket)


@asynccontextmanager
async def talking(
    tmp_path: Path, address: Address, size: tuple[int, int] = (80, 24), **more: Any
) -> AsyncIterator[Pilot[None]]:
    """The dashboard on Chat, talking to what listens at `address`."""
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    with patch("qtui.screens.chat.views.took", took):
        async with drive(workspace, size, **more) as pilot:
            pilot.app.chat(address=address)  # type: ignore[attr-defined]
            await until(pilot, lambda: _ready(pilot))
            yield pilot


def _ready(pilot: Pilot[Any]) -> bool:
    screen = pilot.app.screen
    return isinstance(screen, ChatScreen) and ready(screen)


def ready(screen: ChatScreen) -> bool:
    return screen.session is not None and screen.session.link.state == "ready"


def chat(pilot: Pilot[Any]) -> ChatScreen:
    """The chat screen, also when something lies on it."""
    return next(each for each in pilot.app.screen_stack if isinstance(each, ChatScreen))


_NAMES = {
    " ": "space", "?": "question_mark", ".": "full_stop", "_": "underscore", "/": "slash",
    ",": "comma", "-": "minus",
}  # fmt: skip


async def typed(pilot: Pilot[Any], text: str, *then: str) -> None:
    """Type `text`, then press `then`."""
    await pilot.press(*(_NAMES.get(each, each) for each in text), *then)


async def asked(pilot: Pilot[Any], prompt: str) -> None:
    """Ask `prompt`, and wait for all answers."""
    screen = chat(pilot)
    before = len(screen.session.conversation.exchanges) if screen.session else 0
    await typed(pilot, prompt, "enter")

    def answered() -> bool:
        session = screen.session
        return (
            session is not None
            and len(session.conversation.exchanges) > before
            and not session.busy
        )

    await until(pilot, answered)
    await until(pilot, lambda: prompt in screen.transcript.text)


# ---- a server that is started --------------------------------------------------------------------


@dataclass
class Starting:
    """Plays `qtui.chat.server`. `starts` has what each start was asked for."""

    run: Run
    address: Address
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    error: QtuiError | None = None
    found: bool = False
    """Whether a server lives already."""
    starts: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def find(self, workspace: Path, subject: Subject, **wanted: Any) -> Run | None:
        return self.run if self.found else None

    def begin(
        self, workspace: Path, subject: Subject, command: Sequence[str], **wanted: Any
    ) -> tuple[Run, bool]:
        if not self.found:
            self.starts.append({"command": list(command), **wanted})
        return self.run, not self.found

    async def ready(self, run: Run, say: Callable[[str], None]) -> Address:
        say("loading the model, 3 s")
        await self.listens.wait()
        if self.error is not None:
            raise self.error
        return self.address

    def stop(self, run: Run, *, wait: bool = True) -> None:
        self.stopped.append(run.name)


@contextmanager
def starting(workspace: Path, address: Address) -> Iterator[Starting]:
    """Servers are started as the yielded `Starting` says."""
    with run_folders.serving(workspace, "warm-finch") as run:
        played = Starting(run, address)
        with (
            patch.object(server, "find", played.find),
            patch.object(server, "begin", played.begin),
            patch.object(server, "ready", played.ready),
            patch.object(server, "stop", played.stop),
            patch("qtui.screens.chat.views.took", took),
        ):
            yield played


def trained(workspace: Path, name: str = "quiet-otter") -> Run:
    """A run on the built-in model that is over, with its adapter."""
    run = run_folders.finished(workspace, name)
    text = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(text.replace(run_folders.LLAMA, "builtin:tiny"))
    return run

"""The texts below the Monitor's charts: log, samples, checkpoints, the frozen config, worker.log.

Pure, but for the end of `worker.log` and the list of checkpoint folders, which are read here and
so belong on a thread. Everything foreign is cleaned here, once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textual.content import Content

from qtui import wording
from qtui.narration import Narrator, Sentence
from qtui.runs.events import AnyEvent, SampleEvent
from qtui.runs.folder import Run
from qtui.runs.series import History
from qtui.terminal import clean, clean_line, columns, cut

PANES = ("log", "samples", "checkpoints", "info", "worker")
LONGEST = 1000
"""Paragraphs of a pane; of more, the last ones are shown."""

_TAIL = 64 * 1024
_TONES = {"plain": "", "good": "$success", "warning": "$warning", "error": "$error"}
_TONES["alert"] = "$warning"


class LogText:
    """Turns events into the log's paragraphs, in order, as wide as it is told."""

    def __init__(self, width: int, *, unicode: bool = True) -> None:
        self._narrator = Narrator()
        self._width = max(width, 30)
        self._unicode = unicode

    def lines(self, events: Iterable[AnyEvent]) -> list[Content]:
        """The paragraphs for the next events; most kinds of event have one, a few none."""
        found = []
        for event in events:
            if isinstance(event, SampleEvent):
                found.append(self._sample(event))
            elif (sentence := self._narrator.tell(event)) is not None:
                found.append(_told(sentence))
        return found

    def pass_over(self, events: Iterable[AnyEvent]) -> None:
        """Know of events that are not shown, so that later ones are held against them."""
        for event in events:
            self._narrator.tell(event)

    def _sample(self, event: SampleEvent) -> Content:
        room = self._width - 27
        prompt = clean_line(event.prompt)
        prompt = cut(prompt, max(room // 2, 8)) if columns(prompt) > room // 2 else prompt
        output = clean_line(event.output, max(room - columns(prompt), 8))
        arrow = "→" if self._unicode else "->"
        return _clock(event.time) + Content(f'sample  "{prompt}" {arrow} "{output}"')


def _clock(at: float) -> Content:
    return Content.styled(f"{wording.clock(at):<8}  ", "$text-muted")


def _told(sentence: Sentence) -> Content:
    style = _TONES[sentence.tone]
    text = f"{sentence.prefix}{clean_line(sentence.text)}"
    return _clock(sentence.time) + (Content.styled(text, style) if style else Content(text))


def said(at: float, message: str) -> Content:
    """A line of the log for an alert that the dashboard raised itself."""
    return _clock(at) + Content.styled(f"! {clean_line(message)}", "$warning")


def log_start(run: Run, left_out: int) -> list[Content]:
    """What stands above a log that is longer than a pane."""
    if not left_out:
        return []
    text = f"{left_out} earlier lines: qtui runs logs {clean_line(run.name)}"
    return [Content.styled(text, "$text-muted")]


def samples(history: History) -> list[Content]:
    """All samples, the newest step first; prompt, answer and reference in full."""
    if not history.samples:
        text = "No sample yet: evaluation.num_samples prompts are answered at each evaluation."
        return [Content.styled(text, "$text-muted")]
    by_step: dict[int, list[SampleEvent]] = {}
    for sample in history.samples[-LONGEST // 4 :]:
        by_step.setdefault(sample.step, []).append(sample)
    found: list[Content] = []
    for step in sorted(by_step, reverse=True):
        found.append(Content.styled(f"after step {step}", "bold"))
        for sample in by_step[step]:
            found += [_labelled("prompt", sample.prompt), _labelled("answer", sample.output)]
            if sample.reference:
                found.append(_labelled("wanted", sample.reference))
            found.append(Content(""))
    return found


def _labelled(label: str, text: str) -> Content:
    return Content.styled(f"{label:<9}", "$text-muted") + Content(clean(text))


def checkpoint_paths(run: Run) -> frozenset[str]:
    """Names of the checkpoint folders that are on disk and complete. Reads the disk."""
    try:
        with os.scandir(run.checkpoints) as entries:
            return frozenset(
                entry.name
                for entry in entries
                if (run.checkpoints / entry.name / "manifest.json").is_file()
            )
    except OSError:
        return frozenset()


def checkpoints(history: History, kept: frozenset[str] | None) -> list[Content]:
    """A line a checkpoint, the newest first; `kept` are those on disk (none: not known yet)."""
    if not history.checkpoints:
        text = "No checkpoint yet. One is written every training.save_steps steps; c saves now."
        return [Content.styled(text, "$text-muted")]
    losses = [c.metrics.get("eval_loss") for c in history.checkpoints]
    best = min((loss for loss in losses if loss is not None), default=None)
    head = f"{'CHECKPOINT':<18}{'STEP':>8}{'SIZE':>10}{'EVAL LOSS':>12}"
    found = [Content.styled(head, "$text-muted")]
    for checkpoint in reversed(history.checkpoints):
        name = checkpoint.path.rpartition("/")[2]
        loss = checkpoint.metrics.get("eval_loss")
        text = (
            f"{clean_line(name, 18):<18}{checkpoint.step:>8}{wording.size(checkpoint.size):>10}"
            f"{wording.number(loss):>12}"
        )
        gone = kept is not None and name not in kept
        words = ["best"] if loss is not None and loss == best else []
        words += ["deleted since"] if gone else []
        line = Content.styled(text, "$text-muted") if gone else Content(text)
        found.append(line + Content.styled(f"  {', '.join(words)}", "$text-muted"))
    return found


def info(run: Run, history: History) -> list[Content]:
    """The run's frozen config with what was changed since, versions, host, command. Reads disk."""
    spec = run.spec
    created = wording.clock(spec.created, "%Y-%m-%d %H:%M:%S")
    found = [
        _fact("run", run.id),
        _fact("folder", str(run.path)),
        _fact("kind", spec.kind),
        _fact("created", created),
        _fact("command", " ".join(spec.command)),
        *(_fact(name, wording.setting(value)) for name, value in spec.host.items()),
    ]
    if history.overrides:
        found += [Content(""), Content.styled("changed since it was made", "bold $warning")]
        for key, override in sorted(history.overrides.items(), key=lambda item: item[1].since):
            value = wording.setting(override.value)
            found.append(_fact(key, f"{value}  since step {override.since}", 36))
    for section, settings in spec.config.items():
        found += [Content(""), Content.styled(clean_line(section), "bold")]
        if isinstance(settings, Mapping):
            found += _settings(section, settings, history)
        else:
            found.append(Content(clean_line(wording.setting(settings))))
    found += [Content(""), Content.styled("versions", "bold")]
    found += [_fact(f"  {name}", version, 36) for name, version in spec.versions.items()]
    return found


def _settings(section: str, settings: Mapping[str, Any], history: History) -> list[Content]:
    found = []
    for name, value in settings.items():
        line = _fact(f"  {name}", wording.setting(value), 36)
        override = history.overrides.get(f"{section}.{name}")
        if override is not None:
            now = f"  now {clean_line(wording.setting(override.value))}"
            line += Content.styled(now, "$warning")
        found.append(line)
    return found


def _fact(label: str, value: str, width: int = 12) -> Content:
    text = f"{clean_line(label):<{width - 1}} "
    return Content.styled(text, "$text-muted") + Content(clean_line(value))


def worker_log(run: Run) -> list[Content]:
    """The end of what the worker printed. Reads the disk."""
    try:
        with open(run.worker_log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL, 0))
            lines = clean(file.read().decode("utf-8", "replace")).split("\n")
    except FileNotFoundError:
        return [Content.styled("The worker has printed nothing.", "$text-muted")]
    except OSError as error:
        text = f"worker.log cannot be read: {error.strerror}"
        return [Content.styled(text, "$error")]
    if size > _TAIL:
        lines = lines[1:]
    text = f"the end of worker.log; all of it: qtui runs logs {clean_line(run.name)} --worker"
    return [Content.styled(text, "$text-muted"), *map(Content, _last(lines))]


def _last(lines: Sequence[str]) -> Sequence[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines[-LONGEST:]

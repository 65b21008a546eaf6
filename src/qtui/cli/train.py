"""`qtui train` and `qtui quickstart`: check, make the run, start its worker, follow it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qtui.cli.config import load
from qtui.cli.output import Output, Styled
from qtui.cli.session import start_and_follow
from qtui.errors import EXIT_DONE, ImpossibleError
from qtui.runs import folder, launch, series
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.config.models import FineTuneConfig
    from qtui.runs.events import SampleEvent
    from qtui.runs.folder import Run


def train(arguments: Namespace, out: Output) -> int:
    """`train`: a run from a run file or preset, followed unless --detach is given."""
    config = load(arguments)
    run = _create(config, arguments, out, force=arguments.force)
    return start_and_follow(run, lambda: launch.launch(run), out, detached=arguments.detach)


def quickstart(arguments: Namespace, out: Output) -> int:
    """`quickstart`: the whole job on what is built in, then what it changed."""
    arguments.path, arguments.preset, arguments.name = None, "quickstart", None
    config = load(arguments)
    model, data = config.model.model_name, config.data.input_path
    out.note(f"Training {clean_line(model)} on {clean_line(str(data))}.")
    run = _create(config, arguments, out, force=True)
    code = start_and_follow(run, lambda: launch.launch(run), out, detached=False, quiet=True)
    if code != EXIT_DONE or out.json:
        return code
    history = series.load(run)
    _curve(history, out)
    _before_and_after(history.samples, out)
    out.line("")
    out.line(Styled("adapter  ", "dim"), clean_line(str(run.adapter)))
    out.line("")
    out.line("What to type next:")
    out.line(f"  qtui runs show {run.id}")
    out.line("  qtui init run.yaml --preset qlora-24gb    write a run file for your own data")
    out.line("  qtui train run.yaml")
    return code


def _create(config: FineTuneConfig, arguments: Namespace, out: Output, *, force: bool) -> Run:
    """Make the run's folder, if the run fits here or `force` says so."""
    from qtui.config.load import resolve_dict
    from qtui.system.fit import examine

    found = examine(config, arguments.workspace)
    if found.too_small and not force:
        raise ImpossibleError(
            "; ".join(found.too_small),
            remedy="change the run file as said, or start it all the same with --force",
        )
    for sentence in found.too_small:
        out.note(Styled("warning: ", "yellow"), sentence)
    if found.unknown:
        out.note(Styled("note: ", "dim"), f"memory was not checked: {found.unknown}")
    if found.verdict is not None and found.verdict.result == "tight":
        out.note(Styled("warning: ", "yellow"), f"memory: {found.verdict.sentence}")
    if config.model.trust_remote_code:
        out.note(
            Styled("warning: ", "yellow"),
            "trust_remote_code is on: Python code that comes with "
            f"{clean_line(config.model.model_name)} will run as you",
        )
    return folder.create(
        arguments.workspace,
        kind="train",
        config=resolve_dict(config),
        command=["qtui", *sys.argv[1:]],
        name=arguments.name or config.training.run_name,
    )


def _curve(history: series.History, out: Output) -> None:
    from qtui.runs.plot import draw

    metrics = [name for name in ("loss", "eval_loss") if history.metric(name)[0]]
    if metrics:
        out.line("")
        width = min(out.width - 1, 100)
        out.line(draw(history, metrics, width, 14, ascii=not out.unicode))


def _before_and_after(samples: list[SampleEvent], out: Output) -> None:
    """The base model's answer beside the tuned one's, for the same held-out prompt."""
    if not samples:
        return
    last = samples[-1].step
    tuned = next(sample for sample in samples if sample.step == last)
    base = next(
        (s for s in samples if s.step == 0 and s.prompt == tuned.prompt and s.step != last), None
    )
    out.line("")
    out.line(Styled("held-out prompt", "bold"))
    _indented(tuned.prompt, out)
    if base is not None:
        out.line(Styled("base model", "bold"))
        _indented(base.output, out)
    out.line(Styled(f"tuned, step {last}", "bold"))
    _indented(tuned.output, out)
    if tuned.reference:
        out.line(Styled("wanted", "bold"))
        _indented(tuned.reference, out)


def _indented(text: str, out: Output) -> None:
    import textwrap

    width = min(out.width - 3, 100)
    for line in text.splitlines() or [""]:
        for piece in textwrap.wrap(clean_line(line), width) or [""]:
            out.line("  ", piece)

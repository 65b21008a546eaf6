"""The machine around the GPUs as lines: memory, disks, processors, versions. Pure."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content

from qtui import wording
from qtui.system.about import About
from qtui.system.disk import Disk
from qtui.system.host import Memory
from qtui.terminal import clean_line, columns, cut

_LABEL = 12
_BAR = 12


def machine_lines(
    memory: Memory | None,
    disk: Disk | None,
    found: About | None,
    workspace: Path,
    *,
    width: int,
    unicode: bool,
) -> list[Content]:
    """Five lines of `width` columns, whatever is known already."""
    waiting = "looking" + ("…" if unicode else "...")
    lines = [
        _line("memory", *_memory(memory, unicode=unicode)) if memory else _text("memory", waiting),
        _disk("workspace", disk, workspace, unicode=unicode)
        if disk
        else _text("workspace", waiting),
    ]
    if found is None:
        lines += [_text(label, waiting) for label in ("models", "processors", "versions")]
    else:
        room = width - _LABEL - 1
        lines += [
            _disk("models", found.cache_disk, found.cache, unicode=unicode),
            _text("processors", _whole(_processors(found), "  ", room)),
            _text("versions", _whole(_versions(found), " · " if unicode else " | ", room)),
        ]
    return [line.truncate(width, ellipsis=unicode) for line in lines]


def _line(label: str, bar: str, words: str) -> Content:
    return Content.assemble(
        (f" {label:<{_LABEL}}", "$text-muted"), (bar, "$accent"), f" {clean_line(words)}"
    )


def _text(label: str, words: str) -> Content:
    return Content.assemble((f" {label:<{_LABEL}}", "$text-muted"), clean_line(words))


def _memory(memory: Memory, *, unicode: bool) -> tuple[str, str]:
    used = memory.total - memory.available
    bar = wording.bar(used / memory.total if memory.total else 0.0, _BAR, unicode=unicode)
    limited = ", which is the container's limit" if memory.limited else ""
    free, total = wording.size(memory.available), wording.size(memory.total)
    return bar, f"{free} free of {total}{limited}"


def _disk(label: str, disk: Disk, path: Path, *, unicode: bool) -> Content:
    where = _path(path)
    if disk.free is None or not disk.total:
        sign = "!" if disk.why else ""
        return Content.assemble(
            (f" {label:<{_LABEL}}", "$text-muted"),
            (f"{sign} {clean_line(disk.why)}", "$warning"),
            f"  {where}",
        )
    bar = wording.bar(1 - disk.free / disk.total, _BAR, unicode=unicode)
    words = f"{wording.size(disk.free)} free of {wording.size(disk.total)}  {where}"
    if disk.why:
        return _line(label, bar, f"{disk.why}; was {words}")
    return _line(label, bar, words)


def _path(path: Path) -> str:
    text = str(path)
    home = str(Path.home())
    if text == home or text.startswith(home + "/"):
        text = "~" + text[len(home) :]
    return cut(clean_line(text), 60)


def _whole(parts: list[str], between: str, width: int) -> str:
    """As many of `parts` as fit whole, at least the first."""
    text = parts[0]
    for part in parts[1:]:
        if columns(text) + columns(between) + columns(part) > width:
            break
        text += between + part
    return text


def _processors(found: About) -> list[str]:
    host = found.host
    of = f" of the host's {host.cpus_host}" if host.cpus < host.cpus_host else ""
    parts = [f"{host.cpus:g}{of}"]
    if found.load is not None:
        parts.append(f"load {found.load:.1f}")
    parts.append(", ".join(filter(None, (host.pod, host.container))) or "no container")
    return [*map(clean_line, parts), host.hostname, host.platform]


def _versions(found: About) -> list[str]:
    torch = found.torch
    if torch is None:
        built = "no torch"
    else:
        kind = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "CPU"
        built = f"torch {torch.version.partition('+')[0]} ({kind})"
    rest = dict(found.versions)
    first = f"qtui {rest.pop('qtui', 'not installed')}"
    parts = [first, f"Python {found.host.python}", built]
    parts += [f"{name} {version}" for name, version in rest.items()]
    return [clean_line(part) for part in parts]

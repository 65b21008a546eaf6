"""`qtui init` and `qtui config`: write a run file, and look at settings, presets and schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtui.cli.output import Column, Output, Styled
from qtui.errors import EXIT_DONE, InputError
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.config.models import FineTuneConfig


def load(arguments: Namespace) -> FineTuneConfig:
    """The config that PATH, --preset, --set and the environment come to.

    Raises `ConfigError` with every problem, `InputError` when neither PATH nor --preset is given.
    """
    if arguments.path is None and arguments.preset is None:
        raise InputError(
            "no run file and no preset were given",
            remedy="qtui init run.yaml writes a run file; or use --preset quickstart",
        )
    from qtui.config.load import load as load_config

    path = Path(arguments.path) if arguments.path is not None else None
    return load_config(path, preset=arguments.preset, overrides=arguments.overrides)


def init(arguments: Namespace, out: Output) -> int:
    """`init`: write the commented run file of a preset."""
    from qtui.config.template import commented

    path = Path(arguments.path)
    shown = clean_line(str(path))
    text = commented(arguments.preset)
    try:
        with open(path, "w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(
            f"{shown} is there already", remedy="give another name, or --force to overwrite it"
        ) from error
    except IsADirectoryError as error:
        raise InputError(
            f"{shown} is a folder", remedy=f"give a file's name: {shown}/run.yaml"
        ) from error
    except FileNotFoundError as error:
        raise InputError(
            f"the folder of {shown} does not exist",
            remedy=f"mkdir -p {clean_line(str(path.parent))}",
        ) from error
    if out.json:
        out.document({"path": str(path), "preset": arguments.preset})
        return EXIT_DONE
    out.line(f"{shown} written from preset {arguments.preset}")
    out.note(f"  edit {shown}, at least model_name and input_path, then")
    out.note(f"  qtui validate {shown}    check it, its data and its fit")
    out.note(f"  qtui train {shown}       train")
    return EXIT_DONE


def schema(arguments: Namespace, out: Output) -> int:
    """`config schema`: the run file's JSON Schema, for editors and other programs."""
    import json

    from qtui.config.schema import schema as schema_of

    out.line(json.dumps(schema_of(), indent=None if out.json else 2, ensure_ascii=True))
    return EXIT_DONE


def show(arguments: Namespace, out: Output) -> int:
    """`config show`: what a run file and everything around it come to."""
    config = load(arguments)
    if out.json:
        from qtui.config.load import resolve_dict

        out.document(resolve_dict(config))
    else:
        from qtui.config.template import dump

        out.line(dump(config, only_changed=arguments.changed).rstrip("\n"))
    return EXIT_DONE


def fields(arguments: Namespace, out: Output) -> int:
    """`config fields`: every setting, what it may be, its default and what it does."""
    from qtui.config.fields import fields as all_fields

    word = arguments.word.lower()
    found = [field for field in all_fields() if word in field.key]
    if not found:
        raise InputError(
            f"no setting has {clean_line(arguments.word, 60)!r} in its key",
            remedy="qtui config fields lists them all",
        )
    if out.json:
        out.document(
            [
                {"key": f.key, "allowed": f.allowed, "default": f.default, "help": f.help}
                for f in found
            ]
        )
        return EXIT_DONE
    for field in found:
        default = "none" if field.default is None else str(field.default)
        if isinstance(field.default, bool):
            default = default.lower()
        out.line(Styled(field.key, "bold"), f" = {default or 'empty'}")
        out.line(f"    {field.help}")
        out.line(Styled(f"    {field.allowed}", "dim"))
    return EXIT_DONE


def presets(arguments: Namespace, out: Output) -> int:
    """`config presets`: the presets and whom each is for."""
    from qtui.config.presets import PRESETS

    if out.json:
        out.document([{"name": p.name, "sentence": p.sentence} for p in PRESETS.values()])
    else:
        header = [Column("PRESET"), Column("FOR", flexible=True)]
        out.table(header, [[Styled(p.name, "bold"), p.sentence] for p in PRESETS.values()])
    return EXIT_DONE

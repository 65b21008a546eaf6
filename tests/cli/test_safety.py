"""Under a real pseudo-terminal no command lets a control byte of foreign text out.

NO_COLOR is set, so that no escape sequence at all may appear but those of the live line; one
test has colour on and allows exactly our own colours.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import finished_run, hostile_run
from tests.cli.corpus import IN_ARGUMENTS, IN_FILES, IN_NAMES, control_characters
from tests.cli.programs import Shown, on_terminal, qtui

EVIL = IN_ARGUMENTS
RUN_FILE = f"""\
model:
  model_name: {json.dumps(IN_FILES)}
  {json.dumps(IN_FILES)}: 1
data:
  input_path: {json.dumps(IN_FILES)}
  input_type: {json.dumps(IN_FILES)}
{json.dumps("x" + IN_FILES)}:
  a: b
"""
VALID_FILE = f"""\
model:
  model_name: {json.dumps(IN_FILES)}
data:
  input_path: {json.dumps(IN_FILES)}
  system_prompt: {json.dumps(IN_FILES)}
training:
  output_dir: {json.dumps(IN_FILES)}
  device: cpu
"""


def assert_harmless(shown: Shown) -> None:
    assert control_characters(shown.stdout) == []
    assert "Traceback" not in shown.text
    assert "internal error" not in shown.text


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A workspace whose own name, runs, run files and data attack."""
    folder = tmp_path / IN_NAMES
    folder.mkdir()
    hostile_run(folder)
    other = finished_run(folder, "plain")
    # A run folder of another's making, with an attack for a name.
    shutil.copytree(other.path, other.path.with_name("20200101-000000-x" + IN_NAMES))
    (folder / (IN_NAMES + ".yaml")).write_text(RUN_FILE, encoding="utf-8")
    (folder / "valid.yaml").write_text(VALID_FILE, encoding="utf-8")
    (folder / os.fsdecode(b"raw\x9b31m\xff.yaml")).write_bytes(b"\x9b31m: \x1b[35m\n")
    return folder


COMMANDS: list[tuple[str, ...]] = [
    ("--headless",),
    ("runs", "list"),
    ("runs", "show", "evil"),
    ("runs", "show", "evil", "--csv"),
    ("runs", "logs", "evil"),
    ("runs", "logs", "evil", "--worker"),
    ("runs", "logs", "evil", "--follow"),
    ("runs", "attach", "evil"),
    ("runs", "stop", "evil"),
    ("runs", "save", "evil"),
    ("serve", "evil"),
    ("serve", EVIL, "--chat-template", EVIL),
    ("runs", "resume", "evil"),
    ("runs", "diff", "evil", "plain"),
    ("runs", "plot", "evil", "plain"),
    ("runs", "plot", "evil", "--metric", EVIL),
    ("runs", "plot", "plain", "--output", f"{EVIL}.svg"),
    ("runs", "plot", "plain", "--output", f"no/{EVIL}/x.svg"),
    ("runs", "delete", "evil", "--yes"),
    ("runs", "show", EVIL),
    ("runs", "show", "20200101"),
    ("runs", "show", "2"),
    ("runs", EVIL),
    (EVIL,),
    ("init", EVIL, "--preset", EVIL),
    ("init", f"{EVIL}.yaml"),
    ("init", f"no/{EVIL}"),
    ("validate", IN_NAMES + ".yaml"),
    ("validate", os.fsdecode(b"raw\x9b31m\xff.yaml")),
    ("validate", "valid.yaml", "--verbose"),
    ("config", "show", "valid.yaml"),
    ("config", "show", IN_NAMES + ".yaml"),
    ("config", "fields", EVIL),
    ("estimate", "valid.yaml"),
    ("prepare-data", "valid.yaml", "--name", EVIL),
    ("prepare-data", "valid.yaml", "--json"),
    ("prepare-data", EVIL),
    ("train", "valid.yaml", "--force", "--name", EVIL),
    ("train", "valid.yaml", "--set", EVIL, "--set", f"{EVIL}={EVIL}"),
    ("train", EVIL, "--preset", EVIL),
    ("quickstart", "--set", EVIL),
    ("chat", EVIL, "--prompt", EVIL),
    ("chat", "evil", "--prompt", EVIL),
    ("chat", "--url", f"http://{EVIL}/", "--prompt", EVIL),
    ("chat", "--url", "http://127.0.0.1:1", "--model", EVIL, "--prompt", EVIL),
    ("chat", "--url", "http://127.0.0.1:1", "--json-schema", EVIL, "--prompt", EVIL),
    ("generate", EVIL),
    ("generate", IN_NAMES + ".yaml", "--url", "http://127.0.0.1:1", "--model", EVIL),
    ("generate", "valid.yaml", EVIL, "--output", EVIL),
    ("monitor", "--once"),
    ("monitor", EVIL),
    ("web", "--host", EVIL, "--port", "0"),
    ("web", "--public-url", EVIL),
    ("doctor",),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=[repr(" ".join(c))[:40] for c in COMMANDS])
def test_no_command_lets_a_control_byte_out(arguments: tuple[str, ...], evil: Path) -> None:
    env = {"QTUI_MODEL__REVISION": EVIL}
    assert_harmless(on_terminal(*arguments, cwd=evil, fake=True, env=env))


def test_every_command_is_among_them() -> None:
    from qtui.cli.commands import COMMANDS as ALL

    tried = {words[: len(spec.path)] for words in COMMANDS for spec in ALL}
    untried = {spec.path for spec in ALL} - tried
    assert untried == {("config", "schema"), ("config", "presets")}  # show nothing foreign


@pytest.mark.parametrize(
    "arguments",
    [c for c in COMMANDS if c[:1] in (("runs",), ("--headless",))],
    ids=lambda c: "-".join(c)[:9],
)
def test_json_is_printable_ascii_that_parses(arguments: tuple[str, ...], evil: Path) -> None:
    shown = qtui(*arguments, "--json", cwd=evil, fake=True)
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in shown.stdout)
    for line in shown.stdout.splitlines():
        json.loads(line)
    assert control_characters(shown.stderr) == []


def test_json_says_exactly_what_the_run_holds(evil: Path) -> None:
    document = json.loads(qtui("runs", "show", "evil", "--json", cwd=evil).stdout)
    assert document["samples"][0]["output"] == IN_FILES
    assert document["run"]["config"]["model"]["model_name"] == IN_FILES


@pytest.mark.parametrize("verb", ["show", "logs", "attach"])
def test_what_is_readable_stays_readable(verb: str, evil: Path) -> None:
    shown = on_terminal("runs", verb, "evil", cwd=evil, size=(24, 4000))
    for words in ("[INST]", "<|im_start|>", "[bold]rich[/bold]", "naïve 日本 🙂"):
        assert words in shown.text


@pytest.mark.parametrize(
    "arguments", [("runs", "list"), ("runs", "show", "evil"), ("runs", "attach", "evil")]
)
def test_with_colour_only_our_own_codes_come_out(arguments: tuple[str, ...], evil: Path) -> None:
    shown = on_terminal(*arguments, cwd=evil, env={"NO_COLOR": ""})
    assert b"\x1b[2m" in shown.stdout
    assert control_characters(shown.stdout, colours=True) == []


def test_a_traceback_is_cleaned_as_well(evil: Path) -> None:
    shown = on_terminal("runs", "show", EVIL, "--debug", cwd=evil)
    assert "Traceback" in shown.text
    assert control_characters(shown.stdout) == []


def test_a_message_cannot_pass_for_a_line_of_ours(tmp_path: Path) -> None:
    shown = qtui("train", "x\nqtui: all is well", cwd=tmp_path)
    assert shown.code == 2
    assert not any(line.startswith("qtui: all") for line in shown.stderr.decode().splitlines())

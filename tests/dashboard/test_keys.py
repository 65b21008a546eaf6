"""Every key of the table is pressed on its screen, does what the table says, and is seen to do it.

One script a place. A bare key has to run the action that the table gives it there and to change
something that a person can see; a key in brackets, or a text after a slash, only leads to where the
next ones have an effect.
`test_the_scripts_press_every_key` fails when the table has a key that no script presses.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from textual.pilot import Pilot

from qtui import keymap
from qtui.app import QtuiApp
from qtui.dashboard.remapping import remap, spelled
from qtui.errors import ImpossibleError
from qtui.keymap import Key
from qtui.runs.folder import Run
from tests.dashboard import chat_room, prepared, run_folders
from tests.dashboard.harness import NO_GPU, described, drive, on_screen, screen_text, until
from tests.dashboard.machines import TWO_H100

SCRIPTS = {
    "app": """
        9 1 2 [1] 3 [1] 4 [1] 6 [escape] [1] question_mark [escape] f1 [escape] colon [escape]
        ctrl+p [escape] ctrl+g [escape] ctrl+t ctrl+c [9] q [9] escape ctrl+q
    """,
    "help": """
        [question_mark] j k space escape [question_mark] q
        [question_mark] question_mark [question_mark] f1
    """,
    "home": """
        down up j k pagedown pageup end home G g o space [space] enter [1] n [1] c [1]
        y [end] d [escape] [home] s [escape] r
        [slash] [escape] slash [t] [r] [a] [enter] escape
        [home] T [escape] [1]
        [home] [space] [down] [space] x
    """,
    "home_filter": "[slash] [t] [r] [a] escape",
    "compare": """
        [down] [down] [space] [down] [space] [x]
        m M left right plus shift+right shift+left right_square_bracket left_square_bracket
        equals_sign minus t tilde g 0 down up j k pagedown pageup y
    """,
    "monitor": """
        [down] [down] [enter]
        left [left] right plus shift+left shift+right left_square_bracket right_square_bracket
        equals_sign minus t tilde g x 0 f escape tab shift+tab
        v k i w l [i] end up home down pagedown pageup
        o [escape] m [escape] s [escape] c r y
        full_stop comma greater_than_sign less_than_sign
        [1] [home] [down] [down] [enter] T
    """,
    "monitor_filter": "[enter] [m] escape",
    "runs_picker": "[enter] [o] space enter [o] escape",
    "configure": """
        [2] down up j k pagedown pageup end home G g [down] [down] [down] right left l h
        slash /packing [enter] space u [space] r [space] delete [space] backspace
        enter [escape] c [c] e y ctrl+s [escape] ctrl+o [escape] a p
        [slash] /learning_rate [enter] [enter] /hot [enter] ctrl+l escape
        [2] q
    """,
    "data": """
        [3] right left end home pagedown pageup tab shift+tab i w
        shift+down shift+up right_square_bracket left_square_bracket f F enter
        g escape s [s] b [down] up down [escape]
        [home] [right] [right] [shift+tab] [shift+tab] c t [t] [t] [t] [t]
        [r] /4 [enter] [shift+tab] down up space backspace r [escape]
        d k o [escape] y q
    """,
    "chat": """
        /hello [enter] [escape] [home] ctrl+r i /more [enter]
        /draft ctrl+s ctrl+l [escape] [ctrl+u] ctrl+o [escape]
        [escape] 1 2 g b w w e [escape] right left
        left_square_bracket right_square_bracket c /x [enter] [escape]
        comma less_than_sign full_stop greater_than_sign
        [home] [left_square_bracket] a down up j k pagedown pageup end home x [x]
        m [escape] o [escape] h [escape] v y t i [escape] enter [escape] s ctrl+n
    """,
    "chat_input": "/a enter /b ctrl+j shift+enter escape",
    "chat_answers": "[escape] escape [6] q",
    "chat_settings": """
        [ctrl+o] down up [down] enter /1 [enter] r [enter] /1 [enter] delete [enter] /1 [enter]
        backspace escape [ctrl+o] q [ctrl+o] ctrl+o
    """,
    "chat_editor": "[ctrl+o] [enter] ctrl+s [enter] escape",
    "chat_list": "/one [ctrl+s] [ctrl+l] ctrl+d [escape] [ctrl+s] [ctrl+l] delete",
    "picker": "[2] [enter] down up pagedown pageup escape",
    "list": "[2] [slash] /target_modules [enter] [enter] down up ctrl+s [enter] escape",
    "system": "[9] down up j k pagedown pageup end home g r",
}
"""What is pressed in each place, beginning on Home over a run in every state."""

ELSEWHERE = {
    "app.draw_anew": "test_wire.py",
    "app.suspend": "test_exit.py",
    "chat.stop": "test_chat.py",
    "configure.row_before": "test_configure.py",
    "configure.row_after": "test_configure.py",
    "data.prepare": "test_data.py",
    "data.cancel": "test_data.py",
    "monitor.seen": "test_monitor.py",
    "system.copy": "test_system.py",
}
"""Keys whose effect needs more than one screen of one process, and the test that sees it."""


def keys_of(place: str) -> dict[str, Key]:
    return {name: key for key in keymap.TABLE if key.screen == place for name in spelled(key.keys)}


def test_the_scripts_press_every_key() -> None:
    missing = []
    for place in dict.fromkeys(key.screen for key in keymap.TABLE):
        pressed = set(SCRIPTS.get(place, "").split())
        missing += [
            f"{key.id}: {name}"
            for name, key in keys_of(place).items()
            if name not in pressed and key.id not in ELSEWHERE
        ]
    assert not missing


def test_what_is_tested_elsewhere_is() -> None:
    for id, file in ELSEWHERE.items():
        pressed = re.findall(r"press\((.*)\)", (Path(__file__).parent / file).read_text())
        for name in spelled(keymap.find(id).keys):
            assert any(f'"{name}"' in keys for keys in pressed), id


def test_every_id_stands_for_one_thing() -> None:
    ids = [key.id for key in keymap.TABLE]
    assert len(set(ids)) == len(ids)
    for key in keymap.TABLE:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", key.id)
        assert key.help.endswith("."), key.id
        assert spelled(key.keys), key.id


def test_no_key_does_two_things_on_one_screen() -> None:
    for place in dict.fromkeys(key.screen for key in keymap.TABLE):
        names = [n for key in keymap.TABLE if key.screen == place for n in spelled(key.keys)]
        assert len(set(names)) == len(names), place


def visible(app: QtuiApp) -> object:
    """Everything that a person could notice: the screen, messages, the theme, the end."""
    return (
        described(app),
        app.theme,
        app.current_mode,
        [type(screen).__name__ for screen in app.screen_stack],
        len(app._notifications),
        app._exit,
    )


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until what threads bring in has come: nothing has changed for a while."""
    same = 0
    before: object = None
    while same < 6:
        await pilot.pause(0.02)
        now = visible(pilot.app)  # type: ignore[arg-type]
        same = same + 1 if now == before else 0
        before = now


@pytest.mark.parametrize("place", SCRIPTS)
def test_keys_do_what_the_table_says(place: str, tmp_path: Path) -> None:
    @on_screen
    async def press() -> None:
        ran: list[str] = []
        real = QtuiApp.run_action

        async def run_action(self: QtuiApp, action: Any, *arguments: Any, **named: Any) -> bool:
            ran.append(str(action))
            return await real(self, action, *arguments, **named)

        with (
            run_folders.every_state(tmp_path) as runs,
            chat_room.room(tmp_path / ".engine", answer=lambda job: LONG) as (_, address),
            patch.object(QtuiApp, "run_action", run_action),
            patch("qtui.chat.server.begin", no_server),
        ):
            if place == "data":
                prepare_data(runs["loading_model"])  # the cursor stands on it
            size, gpus = SIZES.get(place, (80, 24)), TWO_H100 if place == "system" else NO_GPU
            async with drive(tmp_path, size, gpus=gpus) as pilot:
                await until(pilot, lambda: "quiet-otter" in screen_text(pilot.app))
                if place.startswith("chat"):
                    pilot.app.chat(address=address)  # type: ignore[attr-defined]
                    await until(pilot, lambda: "quiet-otter vs base" in screen_text(pilot.app))
                for item in SCRIPTS[place].split():
                    await settled(pilot)
                    await pressed(pilot, place, item, ran)

    press()


SIZES = {"compare": (80, 16)}
LONG = "\n\n".join(f"paragraph {number}" for number in range(30))
"""More than a screen shows."""


def no_server(*arguments: Any, **wanted: Any) -> Any:
    """No test of keys starts a worker."""
    raise ImpossibleError("no server here")


def prepare_data(run: Run) -> None:
    """Put prepared data and a first batch into the run's folder."""
    made = prepared.tickets()
    prepared.batch(prepared.write(run.data, made), made)


async def pressed(pilot: Pilot[Any], place: str, item: str, ran: list[str]) -> None:
    """Press the key of `item`; a bare one has to do what it is there for."""
    app = pilot.app
    before = visible(app)  # type: ignore[arg-type]
    ran.clear()
    if item.startswith("/"):
        await pilot.press(*("underscore" if c == "_" else c for c in item[1:]))
        return
    await pilot.press(item.strip("[]"))
    if item.startswith("["):
        return
    key = keys_of(place)[item]
    try:
        await until(pilot, lambda: key.action in ran)
        await until(pilot, lambda: visible(app) != before)  # type: ignore[arg-type]
    except AssertionError as failed:
        raise AssertionError(f"{key.id} ({item}) ran {ran}\n{failed}") from failed


# -- the user's own keys --------------------------------------------------------------------------

TABLE = (
    Key("app.back", "q,escape", "back", "back", "Back."),
    Key("app.help", "question_mark", "help", "help", "Help."),
    Key("home.resume", "r", "resume", "resume", "Go on."),
    Key("home.stop", "s", "stop", "stop", "Stop."),
    Key("picker.leave", "escape", "leave", "leave", "Leave."),
)


def test_keys_are_moved() -> None:
    wanted = {"home.resume": "R", "home.stop": "ctrl+s,f5"}
    assert remap(wanted, TABLE) == (wanted, ())


def test_two_keys_change_places() -> None:
    wanted = {"home.resume": "s", "home.stop": "r"}
    assert remap(wanted, TABLE) == (wanted, ())


def test_a_key_may_keep_what_it_shares_by_default() -> None:
    wanted = {"app.back": "b,escape"}
    assert remap(wanted, TABLE) == (wanted, ())


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"home.resum": "R"}, ["home.resum", "did you mean home.resume?"]),
        ({"zzz": "R"}, ["zzz", "? in the dashboard"]),
        ({"home.resume": "rr"}, ["home.resume", "'rr' is no key"]),
        ({"home.resume": "hyperctrl+r"}, ["'hyperctrl+r' is no key"]),
        ({"home.resume": "r,,s"}, ["is no key"]),
        ({"home.resume": "s"}, ["home.resume", "s is already home.stop (Stop)", "stays r"]),
        ({"home.resume": "?"}, ["? is already app.help"]),
        ({"app.help": "s"}, ["s is already home.stop"]),
        ({"home.resume": "x", "home.stop": "x"}, ["x is already"]),
    ],
)
def test_a_wish_that_cannot_be_granted_is_told(wanted: dict[str, str], said: list[str]) -> None:
    granted, problems = remap(wanted, TABLE)
    (sentence,) = problems
    assert all(part in sentence for part in said), sentence
    assert len(granted) == len(wanted) - 1


@on_screen
async def test_a_moved_key_works_and_the_old_one_does_not(tmp_path: Path) -> None:
    config = '[keys]\n"app.system" = "8"\n"app.configure" = "1"\n"app.home" = "2"\n'
    async with drive(tmp_path, config=config) as pilot:
        await pilot.press("9")
        await pilot.pause()
        assert pilot.app.current_mode == "home"
        await pilot.press("8")
        await until(pilot, lambda: pilot.app.current_mode == "system")
        await pilot.press("1")
        await until(pilot, lambda: pilot.app.current_mode == "configure")
        await pilot.press("2")
        await until(pilot, lambda: pilot.app.current_mode == "home")

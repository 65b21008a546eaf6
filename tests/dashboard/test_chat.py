"""The chat screen: typed to, streamed into, judged, and what it does when things go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual import events

from qtui.app import QtuiApp
from qtui.chat.asks import Settings
from qtui.errors import ImpossibleError
from qtui.runs.serving import Address
from qtui.screens.chat.opening import Talk
from qtui.screens.chat.sampling import Draft
from qtui.screens.chat.screen import ChatScreen
from qtui.stages.inference.engine import RefusedError
from tests.dashboard import run_folders
from tests.dashboard.chat_room import (
    asked,
    chat,
    ready,
    room,
    starting,
    talking,
    trained,
    typed,
)
from tests.dashboard.harness import (
    drive,
    on_screen,
    screen_text,
    seen,
    settled,
    shows,
    until,
)
from tests.stages.inference.fake_engine import FakeEngine
from tests.stages.inference.fake_server import serving

QUESTION = "How do I return a lamp?"


def messages(pilot: Any) -> str:
    return "\n".join(str(note.message) for note in pilot.app._notifications)


# -- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_two_sides_answer_one_prompt(size: tuple[int, int], tmp_path: Path) -> None:
    @on_screen
    async def run() -> None:
        with room(tmp_path) as (_, address):
            async with talking(tmp_path, address, size) as pilot:
                await asked(pilot, QUESTION)
                await shows(pilot, f"chat-two-{size[0]}x{size[1]}")

    run()


@on_screen
async def test_both_sides_stream_at_the_same_time(tmp_path: Path) -> None:
    with room(tmp_path) as (engine, address):
        engine.hold()
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, QUESTION, "enter")
            await until(pilot, lambda: engine.busy == 2)
            engine.let(6)
            await until(
                pilot,
                lambda: (
                    "To return a    " in screen_text(pilot.app)
                    and "│ To return a" in screen_text(pilot.app)
                ),
            )
            assert "ask the store" not in screen_text(pilot.app)
            engine.go()
            await seen(pilot, "ask the store")
            await seen(pilot, "2. print the label")
            assert [job.prompt[-1]["content"] for job in engine.jobs] == [QUESTION] * 2  # type: ignore[index]
            assert {job.model for job in engine.jobs} == {"builtin:tiny", "quiet-otter"}


@on_screen
async def test_one_side_has_the_whole_width(tmp_path: Path) -> None:
    with room(tmp_path) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await pilot.press("escape", "right", "s")
            await until(pilot, lambda: len(chat(pilot).session.conversation.sides) == 1)  # type: ignore[union-attr]
            await pilot.press("i")
            await asked(pilot, QUESTION)
            assert "│" not in screen_text(pilot.app)
            await shows(pilot, "chat-one-80x24")


@pytest.mark.parametrize("look", ["ascii", "mono"])
def test_it_can_do_without_unicode_and_colours(look: str, tmp_path: Path) -> None:
    more: dict[str, dict[str, Any]] = {
        "ascii": {"config": "ascii = true"},
        "mono": {"environment": {"NO_COLOR": "1"}},
    }

    @on_screen
    async def run() -> None:
        with room(tmp_path) as (_, address):
            async with talking(tmp_path, address, **more[look]) as pilot:
                await asked(pilot, QUESTION)
                await pilot.press("escape")
                if look == "ascii":
                    assert screen_text(pilot.app).isascii()
                await shows(pilot, f"chat-{look}-80x24")

    run()


@on_screen
async def test_lines_and_long_texts_are_typed_and_pasted(tmp_path: Path) -> None:
    with room(tmp_path) as (_engine, address):
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, "one", "ctrl+j")
            await typed(pilot, "two", "shift+enter")
            await typed(pilot, "three")
            assert chat(pilot).input.text == "one\ntwo\nthree"
            assert chat(pilot).input.size.height == 3
            long = "a long line \x1b]52;c;aGk=\x07 of text\n" * 4000
            chat(pilot).input.post_message(events.Paste(long))
            await until(pilot, lambda: len(chat(pilot).input.text) > 100_000)
            assert chat(pilot).input.size.height == 6
            assert "\x1b" not in chat(pilot).input.text
            assert chat(pilot).session is not None
            await pilot.press("enter")
            await until(pilot, lambda: "more lines" in chat(pilot).transcript.text)
            await until(pilot, lambda: not chat(pilot).session.busy)  # type: ignore[union-attr]
            assert "4,096" in chat(pilot).transcript.text  # the context is too short, and says so


@on_screen
async def test_a_prompt_while_an_answer_comes_waits_for_it(tmp_path: Path) -> None:
    with room(tmp_path) as (engine, address):
        engine.hold()
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, "first", "enter")
            await until(pilot, lambda: engine.busy == 2)
            await typed(pilot, "second", "enter")
            await seen(pilot, "1 queued behind this answer")
            engine.go()
            await until(pilot, lambda: len(engine.jobs) == 4 and not engine.busy)
            said = [message["content"] for message in engine.jobs[-1].prompt]  # type: ignore[index]
            assert said[0] == "first"
            assert said[-1] == "second"
            assert len(said) == 3


@on_screen
async def test_escape_stops_in_mid_answer_and_gives_back_what_was_queued(tmp_path: Path) -> None:
    with room(tmp_path) as (engine, address):
        engine.hold()
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, QUESTION, "enter")
            await until(pilot, lambda: engine.busy == 2)
            engine.let(4)
            await seen(pilot, "To return")
            await typed(pilot, "next", "enter")
            await seen(pilot, "esc stop")
            await pilot.press("escape")
            await until(pilot, lambda: len(engine.cancelled) == 2)
            await seen(pilot, "cancelled")
            assert chat(pilot).input.text == "next"
            (exchange,) = chat(pilot).session.path()  # type: ignore[union-attr]
            assert [a[-1].text for a in exchange.answers] == ["To return ", "To return "]
            assert chat(pilot).typing


@on_screen
async def test_it_goes_on_while_another_screen_is_shown_and_draws_nothing(tmp_path: Path) -> None:
    with room(tmp_path) as (engine, address):
        engine.hold()
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, QUESTION, "enter")
            await until(pilot, lambda: engine.busy == 2)
            screen, shown = chat(pilot), []
            await pilot.press("f1", "escape")
            pilot.app.action_screen("home")  # type: ignore[attr-defined]
            await until(pilot, lambda: pilot.app.current_mode == "home")
            real = screen.transcript.show
            screen.transcript.show = lambda *a, **b: (shown.append(1), real(*a, **b))[1]  # type: ignore[method-assign]
            engine.go()
            await until(pilot, lambda: not screen.session.busy)  # type: ignore[union-attr]
            assert not shown
            await pilot.press("6")
            await seen(pilot, "ask the store")
            assert shown


# -- again, and otherwise -------------------------------------------------------------------------


@on_screen
async def test_again_keeps_the_older_answers(tmp_path: Path) -> None:
    said = iter(["first", "second", "third"])
    with room(tmp_path, answer=lambda job: next(said), adapters=()) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, QUESTION)
            for text in ("second", "third"):
                await pilot.press("ctrl+r")
                await seen(pilot, text)
            await seen(pilot, "answer 3 of 3")
            await pilot.press("escape", "a")
            await seen(pilot, "answer 2 of 3")
            assert "second" in screen_text(pilot.app)
            await pilot.press("a")
            await seen(pilot, "first")
            await pilot.press("a")
            await seen(pilot, "third")


@on_screen
async def test_another_answer_from_a_seed_is_another_one(tmp_path: Path) -> None:
    with room(tmp_path, adapters=()) as (engine, address):
        async with talking(tmp_path, address) as pilot:
            await set_number(pilot, "seed", "7")
            await asked(pilot, QUESTION)
            await pilot.press("ctrl+r")
            await until(pilot, lambda: len(engine.jobs) == 2)
            assert [job.sampling.seed for job in engine.jobs] == [7, 8]


@on_screen
async def test_a_changed_prompt_makes_a_branch(tmp_path: Path) -> None:
    with room(tmp_path, adapters=(), answer=lambda job: f"heard {job.prompt[-1]['content']}") as (
        _,
        address,
    ):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "one")
            await asked(pilot, "two")
            await pilot.press("escape", "left_square_bracket", "c")
            await until(pilot, lambda: chat(pilot).input.text == "one")
            await seen(pilot, "changing the prompt")
            await typed(pilot, " b", "enter")
            await seen(pilot, "heard one b")
            await seen(pilot, "branch 2 of 2")
            assert "heard two" not in screen_text(pilot.app)
            await pilot.press("escape", "comma")
            await seen(pilot, "branch 1 of 2")
            await seen(pilot, "heard two")
            await pilot.press("full_stop")
            await seen(pilot, "heard one b")


@on_screen
async def test_leaving_a_change_leaves_the_prompt(tmp_path: Path) -> None:
    with room(tmp_path) as (engine, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "one")
            await pilot.press("escape", "c")
            await until(pilot, lambda: chat(pilot).input.text == "one")
            await pilot.press("escape")
            assert chat(pilot).input.text == ""
            assert len(engine.jobs) == 2


@on_screen
async def test_the_raw_view_shows_what_the_model_saw_and_said(tmp_path: Path) -> None:
    with room(tmp_path, adapters=()) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "one")
            await pilot.press("escape", "x")
            await seen(pilot, "without special tokens")
            await pilot.press("ctrl+r")
            await seen(pilot, "<|user|>one")
            await seen(pilot, "<|end|>")
            await pilot.press("x")
            await until(pilot, lambda: "<|" not in screen_text(pilot.app))
            (exchange,) = chat(pilot).session.path()  # type: ignore[union-attr]
            assert exchange.answers[0][-1].text == "To return a lamp, ask the store."


@on_screen
async def test_no_control_character_reaches_the_screen(tmp_path: Path) -> None:
    evil = (
        "a\x1b[31m b\x07 &#x202E;c\x9b2J ~~d~~\n\n    code \x1b]52;c;aGk=\x07\n\n\x1b| x |\n|-|\n"
    )
    with room(tmp_path, answer=lambda job: evil) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "one")
            for key in ("escape", "x", "x"):
                await pilot.press(key)
                await settled(pilot)
                text = screen_text(pilot.app).replace("\n", "")
                assert "[31m b" in text
                assert all(each.isprintable() for each in text), ascii(text)


# -- models ---------------------------------------------------------------------------------------


@on_screen
async def test_the_models_of_the_sides_are_chosen(tmp_path: Path) -> None:
    with room(tmp_path, adapters=("quiet-otter", "brisk-heron")) as (engine, address):
        async with talking(tmp_path, address) as pilot:
            await pilot.press("escape", "m")
            await seen(pilot, "Which model")
            await typed(pilot, "quiet", "enter")
            await seen(pilot, "quiet-otter vs brisk-heron")
            await pilot.press("i")
            await asked(pilot, "one")
            assert {job.model for job in engine.jobs} == {"quiet-otter", "brisk-heron"}


@on_screen
async def test_runs_and_checkpoints_of_the_same_base_are_offered(tmp_path: Path) -> None:
    with room(tmp_path) as (_, address):
        workspace = tmp_path / "workspace"
        run = trained(workspace)
        run_folders.finished(workspace, "pale-lynx")  # of another base
        with starting(workspace, address) as played:
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                await pilot.press("escape", "m")
                await seen(pilot, "quiet-otter step 700")
                assert "pale-lynx" not in screen_text(pilot.app)


# -- settings -------------------------------------------------------------------------------------


async def set_number(pilot: Any, name: str, value: str) -> None:
    from qtui.screens.chat.settings_panel import SettingsPanel
    from qtui.widgets.form_list import FormList

    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(pilot.app.screen, SettingsPanel))
    await until(pilot, lambda: pilot.app.screen.query_one(FormList).go_to(name))
    await pilot.press("enter")
    await until(pilot, lambda: not isinstance(pilot.app.screen, SettingsPanel))
    await pilot.press("ctrl+u", "ctrl+k")
    await typed(pilot, value, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, SettingsPanel))
    await pilot.press("escape")
    await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))


@on_screen
async def test_settings_reach_the_engine(tmp_path: Path) -> None:
    with room(tmp_path, adapters=()) as (engine, address):
        async with talking(tmp_path, address) as pilot:
            for name, value in (
                ("temperature", "0"), ("top_p", "0.5"), ("top_k", "9"), ("min_p", "0.1"),
                ("repetition_penalty", "1.5"), ("seed", "3"), ("max_tokens", "7"),
            ):  # fmt: skip
                await set_number(pilot, name, value)
            await asked(pilot, "one")
            drawn = engine.jobs[0].sampling
            assert (drawn.temperature, drawn.top_p, drawn.top_k) == (0, 0.5, 9)
            assert (drawn.min_p, drawn.repetition_penalty) == (0.1, 1.5)
            assert (drawn.seed, drawn.max_tokens) == (3, 7)
            await shows(pilot, "chat-settings-line-80x24")


@on_screen
async def test_a_value_out_of_range_is_refused_with_its_range(tmp_path: Path) -> None:
    with room(tmp_path) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await set_number(pilot, "temperature", "9")
            assert "temperature is 0 to 2, not 9" in messages(pilot)
            assert chat(pilot).draft.settings.temperature == 0.7


@on_screen
async def test_system_prompt_stop_and_schema(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"said": {"type": "string"}}}
    with room(tmp_path, adapters=()) as (engine, address):
        async with talking(tmp_path, address) as pilot:
            (tmp_path / "workspace" / "answer.json").write_text(json.dumps(schema))
            await pilot.press("ctrl+o")
            await seen(pilot, "system prompt")
            await pilot.press("enter")
            await seen(pilot, "ctrl+s: take it")
            await typed(pilot, "Be brief", "ctrl+s")
            await seen(pilot, "Be brief")
            await pilot.press("escape")
            await set_number(pilot, "json_schema", "answer.json")
            await asked(pilot, "one")
            job = engine.jobs[0]
            assert job.prompt[0] == {"role": "system", "content": "Be brief"}  # type: ignore[index]
            assert job.sampling.json_schema == schema
            await set_number(pilot, "json_schema", "absent.json")
            assert "there is no file" in messages(pilot)


@on_screen
async def test_plain_text_goes_on_from_what_was_said(tmp_path: Path) -> None:
    with room(tmp_path, adapters=(), answer=lambda job: " and on") as (engine, address):
        async with talking(tmp_path, address) as pilot:
            from qtui.widgets.form_list import FormList

            await pilot.press("ctrl+o")
            await until(pilot, lambda: pilot.app.screen.query_one(FormList).go_to("plain"))
            await pilot.press("enter")
            await seen(pilot, "yes")
            await pilot.press("escape")
            await asked(pilot, "Once")
            await asked(pilot, "upon")
            assert [job.prompt for job in engine.jobs] == ["Once", "Once and onupon"]


# -- judging --------------------------------------------------------------------------------------


def rows(place: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / name).read_text().splitlines()]


@on_screen
async def test_answers_are_judged_and_become_rows(tmp_path: Path) -> None:
    place = tmp_path / "workspace" / "chat"
    with room(tmp_path) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, QUESTION)
            await pilot.press("escape", "2")
            await seen(pilot, "better")
            (pair,) = rows(place, "preferences.jsonl")
            assert pair["chosen"][0]["content"].startswith("To return a **lamp**")
            assert pair["rejected"][0]["content"].endswith("ask the store.")
            await pilot.press("right", "g")
            await seen(pilot, "1 row, 1 pair in chat/sft.jsonl")
            (row,) = rows(place, "sft.jsonl")
            assert row["messages"][0] == {"role": "user", "content": QUESTION}
            assert row["provenance"]["model"] == "quiet-otter"
            await pilot.press("left", "b")
            await until(pilot, lambda: "bad" in chat(pilot).judged.words.values())
            await seen(pilot, "0.21 s         ")
            await pilot.press("w")
            await until(pilot, lambda: "bad" not in chat(pilot).judged.words.values())
            await shows(pilot, "chat-judged-80x24")


@on_screen
async def test_the_same_judgement_again_takes_it_back(tmp_path: Path) -> None:
    with room(tmp_path) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, QUESTION)
            await pilot.press("escape", "g")
            await seen(pilot, "1 row")
            await pilot.press("g")
            await until(pilot, lambda: "1 row" not in screen_text(pilot.app))


@on_screen
async def test_an_edited_answer_is_what_is_learnt_and_what_the_talk_goes_on_from(
    tmp_path: Path,
) -> None:
    place = tmp_path / "workspace" / "chat"
    with room(tmp_path, adapters=()) as (engine, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "one")
            await pilot.press("escape", "e")
            await seen(pilot, "What it should have said")
            await typed(pilot, " Or us.", "ctrl+s")
            await seen(pilot, "edited")
            better = "To return a lamp, ask the store. Or us."
            assert rows(place, "sft.jsonl")[0]["messages"][-1]["content"] == better
            assert (
                rows(place, "preferences.jsonl")[0]["rejected"][0]["content"] + " Or us." == better
            )
            await pilot.press("i")
            await asked(pilot, "two")
            assert engine.jobs[-1].prompt[1]["content"] == better  # type: ignore[index]


@on_screen
async def test_a_run_is_set_up_on_what_was_judged(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                await asked(pilot, "one")
                await pilot.press("escape", "right", "g")
                await seen(pilot, f"1 row in runs/{run.id}/chat/sft.jsonl")
                await pilot.press("t")
                await seen(pilot, "Train on 1 judged answer?")
                await pilot.press("y")
                await until(pilot, lambda: pilot.app.current_mode == "configure")
                form = pilot.app.screen.form  # type: ignore[attr-defined]
                await until(pilot, lambda: pilot.app.screen.form.config is not None)  # type: ignore[attr-defined]
                form = pilot.app.screen.form  # type: ignore[attr-defined]
                assert form.config.data.input_path == str(run.path / "chat" / "sft.jsonl")
                assert form.config.data.validation_split == 0
                assert form.config.model.model_name == "builtin:tiny"
                assert form.config.training.max_steps == 800


# -- what is kept ---------------------------------------------------------------------------------


@on_screen
async def test_conversations_are_kept_opened_and_deleted(tmp_path: Path) -> None:
    with room(tmp_path) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "about lamps")
            await pilot.press("ctrl+n")
            await until(pilot, lambda: "about lamps" not in screen_text(pilot.app))
            await asked(pilot, "about chairs")
        async with talking(tmp_path, address) as pilot:
            assert "about" not in screen_text(pilot.app)
            await pilot.press("escape", "h")
            await seen(pilot, "about chairs")
            await typed(pilot, "lamps", "enter")
            await seen(pilot, "ask the store")
            await pilot.press("escape", "h")
            await seen(pilot, "about chairs")
            await typed(pilot, "chairs", "ctrl+d")
            await until(
                pilot,
                lambda: len(list((tmp_path / "workspace/chat/conversations").glob("*.json"))) == 1,
            )


@on_screen
async def test_prompts_are_saved_picked_and_removed(tmp_path: Path) -> None:
    with room(tmp_path) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, "again and again", "ctrl+s")
            await until(pilot, lambda: "Saved" in messages(pilot))
            await pilot.press("ctrl+u", "ctrl+l")
            await seen(pilot, "Saved prompts")
            await seen(pilot, "again and again")
            await pilot.press("enter")
            await until(pilot, lambda: chat(pilot).input.text == "again and again")
            await pilot.press("ctrl+l")
            await seen(pilot, "ctrl+d: remove")
            await seen(pilot, "▸ again and again")
            await pilot.press("ctrl+d")
            await seen(pilot, "nothing of that name")


@on_screen
async def test_the_command_that_asks_the_same_is_copied(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.listens.set()
            cache = {"environment": {"XDG_CACHE_HOME": str(tmp_path / "cache")}}
            async with drive(workspace, **cache) as pilot:  # type: ignore[arg-type]
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                await set_number(pilot, "temperature", "0")
                await asked(pilot, QUESTION)
                await pilot.press("escape", "y")
                file = tmp_path / "cache/qtui/command.sh"
                await until(pilot, file.exists)
                assert file.read_text() == (
                    "qtui chat quiet-otter --base --prompt 'How do I return a lamp?' "
                    "--temperature 0\n"
                )


# -- the server -----------------------------------------------------------------------------------


@on_screen
async def test_typing_works_while_the_model_loads(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (engine, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await seen(pilot, "loading the model, 3 s")
                await typed(pilot, QUESTION, "enter")
                await seen(pilot, "waiting for the model")
                await shows(pilot, "chat-loading-80x24")
                assert not engine.jobs
                played.listens.set()
                await seen(pilot, "ask the store")
                (start,) = played.starts
                assert start["command"] == ["qtui", "serve", run.id]
                assert start["idle_minutes"] == 30


@on_screen
async def test_looking_in_starts_nothing_until_something_is_typed(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        trained(workspace)
        with starting(workspace, address) as played:
            async with drive(workspace) as pilot:
                await seen(pilot, "quiet-otter")
                await pilot.press("end", "6")
                await seen(pilot, "the model is loaded when you begin to type")
                await seen(pilot, "quiet-otter vs base")
                assert not played.starts
                await pilot.press("x")
                await until(pilot, lambda: len(played.starts) == 1)


@on_screen
async def test_a_failed_start_is_told_and_tried_again_on_the_cpu(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.error = ImpossibleError(
                "the model needs 5.1 GB, 2.3 GB are free", remedy="use the CPU, or stop the run"
            )
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await seen(pilot, "the model needs 5.1 GB, 2.3 GB are free")
                await typed(pilot, QUESTION, "enter")
                await shows(pilot, "chat-failed-80x24")
                played.error = None
                await pilot.press("ctrl+r")
                await seen(pilot, "on the CPU")
                await pilot.press("c")
                await seen(pilot, "ask the store")
                assert [start["device"] for start in played.starts] == [None, None, "cpu"]


@on_screen
async def test_leaving_asks_once_what_becomes_of_the_server(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                await pilot.press("escape", "q")
                await seen(pilot, "Leave the server running?")
                await pilot.press("escape")
                await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
                assert pilot.app.current_mode == "chat"
                await pilot.press("q")
                await seen(pilot, "Leave the server running?")
                await pilot.press("k")
                await until(pilot, lambda: pilot.app.current_mode == "home")
                assert not played.stopped
                await pilot.press("6", "q")
                await until(pilot, lambda: pilot.app.current_mode == "home")
                await pilot.press("6", "v")
                await seen(pilot, "stop it now")
                await pilot.press("s")
                await until(pilot, lambda: played.stopped == ["warm-finch"])
                await seen(pilot, "the model is loaded when you begin to type")


@on_screen
async def test_a_server_that_was_there_is_never_stopped(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.found = True
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                await pilot.press("escape", "v")
                await until(pilot, lambda: "not started here" in messages(pilot))
                await pilot.press("q")
                await until(pilot, lambda: pilot.app.current_mode == "home")
            assert not played.stopped
            assert not played.starts


@on_screen
async def test_what_the_user_chose_holds_when_the_dashboard_is_left(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                await pilot.press("escape", "v")
                await seen(pilot, "stop it when this screen is left")
                await pilot.press("l")
                await until(pilot, lambda: chat(pilot).when_left == "stop")
                assert not played.stopped
            assert played.stopped == ["warm-finch"]


# -- when it goes wrong ---------------------------------------------------------------------------


@on_screen
async def test_a_prompt_beyond_the_context_is_told_at_the_answer(tmp_path: Path) -> None:
    with room(tmp_path, max_context=12) as (_, address):
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "one two three four five six seven eight nine ten eleven twelve")
            await seen(pilot, "12 tokens")
            await seen(pilot, "shorten the")


@on_screen
async def test_an_engine_that_dies_in_mid_answer_is_told(tmp_path: Path) -> None:
    with room(tmp_path, adapters=()) as (engine, address):
        engine.hold()
        async with talking(tmp_path, address) as pilot:
            await typed(pilot, QUESTION, "enter")
            await until(pilot, lambda: engine.busy == 1)
            engine.let(3)
            await seen(pilot, "To return a")
            engine.die("the GPU was lost")
            await seen(pilot, "the GPU was lost")
            assert "To return a" in screen_text(pilot.app)
            assert not chat(pilot).session.busy  # type: ignore[union-attr]


@on_screen
async def test_a_server_that_is_gone_is_started_again_and_asked_again(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    nobody = Address("http://qtui", str(tmp_path / "gone.sock"))
    with room(tmp_path) as (_, address):
        run = trained(workspace)
        with starting(workspace, address) as played:
            played.listens.set()
            async with drive(workspace) as pilot:
                pilot.app.chat(run.id)  # type: ignore[attr-defined]
                await until(pilot, lambda: ready(chat(pilot)))
                link = chat(pilot).session.link  # type: ignore[union-attr]
                from qtui.chat.client import Client

                link.client = Client(nobody)
                dead = run_folders.finished(workspace, "dead-wren")
                played.run = link.run = dead  # nobody holds its lock
                chat(pilot).started.add(dead.path)
                await typed(pilot, QUESTION, "enter")
                await seen(pilot, "no server: ctrl+r tries again")
                await seen(pilot, "no server answers")
                await pilot.press("ctrl+r")
                await seen(pilot, "Start a server?")
                await pilot.press("y")
                await seen(pilot, "ask the store")


@on_screen
async def test_nobody_at_an_address_is_told(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        pilot.app.chat(address=Address("http://qtui", str(tmp_path / "none.sock")))  # type: ignore[attr-defined]
        await seen(pilot, "no server answers")
        await seen(pilot, "no server: ctrl+r tries again")


@on_screen
async def test_a_run_without_anything_learnt_says_the_way_out(tmp_path: Path) -> None:
    run = run_folders.failed(tmp_path)
    async with drive(tmp_path) as pilot:
        await seen(pilot, "pale-lynx")
        await pilot.press("T")
        await until(pilot, lambda: pilot.app.current_mode == "chat")
        await seen(pilot, "has no adapter and no checkpoint yet")
        assert run.id in screen_text(pilot.app)


@on_screen
async def test_without_any_run_it_says_what_to_do(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        await pilot.press("6")
        await shows(pilot, "chat-empty-80x24")
        await pilot.press("escape", "o")
        await seen(pilot, "builtin:tiny")


# -- from the other screens -----------------------------------------------------------------------


@pytest.mark.parametrize("keys", [["T"], ["enter", "T"]], ids=["home", "monitor"])
def test_home_and_monitor_lead_to_their_run(keys: list[str], tmp_path: Path) -> None:
    @on_screen
    async def go() -> None:
        workspace = tmp_path / "workspace"
        with room(tmp_path) as (_, address):
            run = trained(workspace)
            with starting(workspace, address) as played:
                async with drive(workspace) as pilot:
                    await seen(pilot, "quiet-otter")
                    await pilot.press("end")
                    for key in keys:
                        await pilot.press(key)
                        await settled(pilot)
                    await until(pilot, lambda: played.starts)
                    assert played.starts[0]["command"][-1] == run.id

    go()


@on_screen
async def test_the_dashboard_opens_on_it_with_what_the_command_says(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with room(tmp_path) as (engine, address):
        whom = Talk(address=address, models=("quiet-otter",))
        how = Draft(Settings(temperature=0.0, max_tokens=9), system="Be brief")
        app = QtuiApp(workspace, begin=lambda app: app.talk(whom, how))
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.current_mode == "chat" and ready(chat(pilot)))
            await asked(pilot, "one")
            (job,) = engine.jobs
            assert job.model == "quiet-otter"
            assert (job.sampling.temperature, job.sampling.max_tokens) == (0, 9)
            assert job.prompt[0] == {"role": "system", "content": "Be brief"}  # type: ignore[index]


@on_screen
async def test_a_model_without_a_chat_template_is_not_guessed_at(tmp_path: Path) -> None:
    class Bare(FakeEngine):
        def submit(self, job: Any, sink: Any) -> Any:
            if not isinstance(job.prompt, str):
                raise RefusedError("there is no template", code="chat_template_missing")
            return super().submit(job, sink)

    engine = Bare(adapters=(), answer=lambda job: " and on", max_context=4096)
    (tmp_path / ".served").mkdir()
    with serving(engine, tmp_path / ".served", socket=True) as served:
        address = Address(served.url, served.socket)
        async with talking(tmp_path, address) as pilot:
            await asked(pilot, "Once upon")
            await seen(pilot, "there is no template")
            await pilot.press("ctrl+r")
            await seen(pilot, "This model has no chat template")
            assert "ChatML" not in screen_text(pilot.app)  # the server was not started here
            await pilot.press("p")
            await until(pilot, lambda: "and on" in chat(pilot).transcript.text)
            assert [job.prompt for job in engine.jobs] == ["Once upon"]
            assert "plain text" in screen_text(pilot.app)

"""Laws of a conversation's tree, and that it is kept on disk exactly as it was."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.chat import conversation as talk
from qtui.chat.asks import Settings
from qtui.chat.conversation import Answer, Conversation
from qtui.chat.history import History
from qtui.errors import CorruptError, InputError, NotFoundError

TEXT = st.text(max_size=12)
ANYTHING = st.text(st.characters(codec=None), max_size=12)  # lone surrogates among it


def answer(text: str, model: str = "m") -> Answer:
    return Answer(talk.answer_id(), model, text, finish_reason="stop", settings=Settings(seed=1))


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """A conversation after some deeds in any order."""
    sides = draw(st.sampled_from([("base",), ("base", "otter")]))
    now = talk.new(sides, system=draw(ANYTHING))
    for _ in range(draw(st.integers(0, 8))):
        now = draw(st.sampled_from(_DEEDS))(now, draw)
    return now


def _ask(now: Conversation, draw: st.DrawFn) -> Conversation:
    return talk.ask(now, draw(ANYTHING))


def _edit(now: Conversation, draw: st.DrawFn) -> Conversation:
    return talk.edit(now, _any(now, draw), draw(ANYTHING)) if now.exchanges else now


def _answer(now: Conversation, draw: st.DrawFn) -> Conversation:
    if not now.exchanges:
        return now
    side = draw(st.integers(0, len(now.sides) - 1))
    return talk.with_answer(now, _any(now, draw), side, answer(draw(ANYTHING)))


def _go(now: Conversation, draw: st.DrawFn) -> Conversation:
    return talk.go(now, _any(now, draw)) if now.exchanges else now


def _back(now: Conversation, draw: st.DrawFn) -> Conversation:
    return talk.back_to(now, _any(now, draw)) if now.exchanges else now


def _any(now: Conversation, draw: st.DrawFn) -> str:
    return draw(st.sampled_from([each.id for each in now.exchanges]))


Deed = Callable[[Conversation, st.DrawFn], Conversation]
_DEEDS: list[Deed] = [_ask, _ask, _edit, _answer, _answer, _go, _back]


@given(conversations())
def test_the_path_goes_from_a_root_to_the_leaf(now: Conversation) -> None:
    path = talk.path(now)
    assert bool(path) == bool(now.exchanges)
    if path:
        assert path[0].parent is None
        assert path[-1].id == now.leaf
        assert all(b.parent == a.id for a, b in pairwise(path))


@given(conversations(), st.data())
def test_nothing_that_is_done_loses_an_exchange_or_an_answer(
    now: Conversation, data: st.DataObject
) -> None:
    later = data.draw(st.sampled_from(_DEEDS))(now, data.draw)
    before = {each.id: each for each in now.exchanges}
    after = {each.id: each for each in later.exchanges}
    assert before.keys() <= after.keys()
    for key, exchange in before.items():
        assert after[key].prompt == exchange.prompt
        for side in range(len(now.sides)):
            kept = after[key].answers_of(side)
            assert kept[: len(exchange.answers_of(side))] == exchange.answers_of(side)


@given(conversations())
def test_messages_are_system_then_user_and_assistant_in_turn(now: Conversation) -> None:
    for exchange in now.exchanges:
        for side in range(len(now.sides)):
            messages = talk.messages_for(now, exchange.id, side)
            roles = [message["role"] for message in messages]
            if now.system.strip():
                assert roles.pop(0) == "system"
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
            assert messages[-1]["content"] == exchange.prompt
            said = [m["content"] for m in messages if m["role"] == "assistant"]
            assert all(text.strip() for text in said)


@given(conversations())
def test_every_exchange_is_among_its_branches_and_can_be_gone_to(now: Conversation) -> None:
    for exchange in now.exchanges:
        assert exchange in talk.branches(now, exchange.id)
        there = talk.go(now, exchange.id)
        assert exchange in talk.path(there)
        assert there.exchanges == now.exchanges
        assert not any(each.parent == there.leaf for each in now.exchanges)


@given(conversations())
def test_what_is_kept_is_what_was(now: Conversation) -> None:
    with TemporaryDirectory() as folder:
        history = History(Path(folder))
        history.save(now)
        assert history.load(now.id) == now
        (kept,) = history.list()
        assert (kept.title, kept.created, kept.count) == (
            now.title,
            now.created,
            len(now.exchanges),
        )


def test_an_edit_is_a_branch_and_each_side_sees_its_own_answers() -> None:
    now = talk.ask(talk.new(("base", "otter"), system="be brief"), "one")
    first = now.leaf or ""
    now = talk.with_answer(now, first, 0, answer("from base"))
    now = talk.with_answer(now, first, 1, answer("from otter"))
    now = talk.with_answer(now, first, 1, answer("again from otter"))
    now = talk.ask(now, "two")
    assert [m["content"] for m in talk.messages_for(now, now.leaf or "", 0)] == [
        "be brief", "one", "from base", "two",
    ]  # fmt: skip
    assert [m["content"] for m in talk.messages_for(now, now.leaf or "", 1)] == [
        "be brief", "one", "again from otter", "two",
    ]  # fmt: skip
    edited = talk.edit(now, first, "uno")
    assert talk.messages_for(edited, edited.leaf or "", 0)[1:] == (
        {"role": "user", "content": "uno"},
    )
    assert [each.prompt for each in talk.branches(edited, first)] == ["one", "uno"]
    assert talk.go(edited, first).leaf == now.leaf
    assert edited.title == "one"


def test_an_exchange_without_an_answer_is_passed_over() -> None:
    now = talk.ask(talk.new(("m",)), "one")
    failed = replace(answer(""), error="the GPU was lost")
    now = talk.with_answer(now, now.leaf or "", 0, failed)
    now = talk.ask(now, "two")
    assert talk.messages_for(now, now.leaf or "", 0) == ({"role": "user", "content": "two"},)


def test_an_edited_answer_keeps_its_original_and_is_gone_on_from() -> None:
    now = talk.ask(talk.new(("m",)), "one")
    leaf = now.leaf or ""
    first = answer("wrong")
    now = talk.edit_answer(talk.with_answer(now, leaf, 0, first), leaf, 0, first.id, "right")
    kept = talk.exchange(now, leaf).answers_of(0)[0]
    assert (kept.text, kept.edited, kept.said) == ("wrong", "right", "right")
    now = talk.ask(now, "two")
    assert talk.messages_for(now, now.leaf or "", 0)[1]["content"] == "right"
    back = talk.edit_answer(now, leaf, 0, first.id, "wrong")
    assert talk.exchange(back, leaf).answers_of(0)[0].edited is None
    with pytest.raises(NotFoundError):
        talk.edit_answer(now, leaf, 0, "none", "x")


def test_an_answer_that_grows_replaces_itself() -> None:
    now = talk.ask(talk.new(("m",)), "one")
    part = answer("a")
    now = talk.with_answer(now, now.leaf or "", 0, part)
    now = talk.with_answer(now, now.leaf or "", 0, replace(part, text="ab"))
    assert [each.text for each in now.exchanges[0].answers_of(0)] == ["ab"]


def test_a_file_that_goes_in_circles_ends(tmp_path: Path) -> None:
    now = talk.ask(talk.ask(talk.new(("m",)), "one"), "two")
    first, second = now.exchanges
    circle = replace(now, exchanges=(replace(first, parent=second.id), second))
    assert len(talk.path(circle)) == 2
    talk.go(circle, first.id)


# -- files ----------------------------------------------------------------------------------------


def test_damaged_files_are_passed_over_and_named(tmp_path: Path) -> None:
    history = History(tmp_path / "chat")
    assert history.list() == ()
    now = talk.ask(talk.new(("m",)), "one\x1b[2J")
    history.save(now)
    folder = tmp_path / "chat" / "conversations"
    (folder / "half.json").write_text((folder / f"{now.id}.json").read_text()[:50])
    (folder / "list.json").write_text("[]")
    (folder / "newer.json").write_text(json.dumps({"version": 99}))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "bytes.json").write_bytes(b"\xff\xfe")
    assert [kept.id for kept in history.list()] == [now.id]
    assert history.damaged == ("bytes.json", "deep.json", "half.json", "list.json", "newer.json")
    with pytest.raises(CorruptError, match=r"half\.json"):
        history.load("half")
    assert history.load(now.id).exchanges[0].prompt == "one\x1b[2J"


def test_newest_first_and_deleted(tmp_path: Path) -> None:
    history = History(tmp_path)
    old = replace(talk.new(("m",), title="old"), created=1.0)
    new = talk.new(("m",), title="new")
    history.save(old)
    history.save(new)
    history.save(replace(old, title="still old"))
    assert [kept.title for kept in history.list()] == ["new", "still old"]
    history.delete(old.id)
    with pytest.raises(NotFoundError):
        history.delete(old.id)
    with pytest.raises(NotFoundError):
        history.load(old.id)


@pytest.mark.parametrize("name", ["../x", "", ".", "a/b", "a\0b", "x" * 200])
def test_no_id_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        History(tmp_path).load(name)


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    history = History(tmp_path / "chat")
    history.save(talk.new(("m",)))
    history.save_prompt("secret")
    for path in (tmp_path / "chat").rglob("*.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "chat").stat().st_mode) == 0o700


def test_kept_prompts(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert history.prompts() == ()
    for text in ("a", "b \ud83d", "a"):
        history.save_prompt(text)
    assert history.prompts() == ("a", "b \ud83d")
    history.remove_prompt("a")
    assert history.prompts() == ("b \ud83d",)
    (tmp_path / "prompts.json").write_text("{")
    assert history.prompts() == ()


def test_threads_that_keep_at_once_lose_nothing(tmp_path: Path) -> None:
    def keep(number: int) -> None:
        history = History(tmp_path)
        history.save_prompt(str(number))
        history.save(replace(talk.new(("m",)), id="same", title=str(number)))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(History(tmp_path).prompts()) == {str(number) for number in range(8)}
    assert History(tmp_path).load("same").title in set(map(str, range(8)))

"""A chat template is foreign code: it cannot reach out, run for ever, or outlive the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from qtui.errors import InputError, QtuiError
from qtui.stages.data.encoding.render import ChatTemplate, Rendered, RenderError
from qtui.stages.data.encoding.render_process import RenderProcess
from qtui.stages.data.encoding.template import choose
from qtui.stages.data.encoding.tokenise import tokenise
from qtui.stages.data.rows import Row
from tests.stages.data import tiny

pytestmark = pytest.mark.train
ROW = Row(({"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}), "x.jsonl", 7)
ENDLESS = (
    "{% for i in range(99999) %}{% for i in range(99999) %}{% for i in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)


def template(text: str) -> ChatTemplate:
    return ChatTemplate(text, text, "the template", "all", {}, ())


def test_rows_come_back_in_order_with_errors_in_their_place() -> None:
    text = (
        "{{ raise_exception('no') if messages[0]['content'] == 'bad' else messages[0]['content'] }}"
    )
    rows = [Row(({"role": "user", "content": x},), "t", 1) for x in ("one", "bad", "ü\U0001f642")]
    with RenderProcess(template(text)) as renderer:
        first, second, third = renderer(rows)
        batches = list(renderer.batches([rows[:1], rows[2:], rows[:1]]))
    assert first == Rendered("one", ((0, 3),))
    assert isinstance(second, RenderError)
    assert "no" in str(second)
    assert third == Rendered("ü\U0001f642", ((0, 2),))
    assert [reply for _, (reply,) in batches] == [(first, None), (third, None), (first, None)]


def test_tokens_of_the_processes_are_those_of_the_tokenizer() -> None:
    tokenizer = tiny.tokenizer(tiny.MARKED)
    marked = choose(tokenizer, None, assistant_only_loss=True)
    rows = [
        Row(({"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"ä{i} " * i}),
            "t", i)
        for i in range(1, 40)
    ]  # fmt: skip
    with RenderProcess(marked, tokenizer) as renderer:
        renderer.use(marked, processes=3)
        spread = [rows[at : at + 4] for at in range(0, len(rows), 4)]
        found = list(renderer.batches(spread, max_seq_length=30))
    assert [row for batch, _ in found for row in batch] == rows
    replies = [reply for _, batch in found for reply in batch]
    rendered = [reply[0] for reply in replies if not isinstance(reply, RenderError)]
    tokens = [reply[1] for reply in replies if not isinstance(reply, RenderError)]
    assert tokens == tokenise(tokenizer, rendered, max_seq_length=30, mask=True)
    assert any(one is not None and one.length > 30 for one in tokens)


def test_numbers_of_any_size_reach_the_template() -> None:
    large, text = 10**20, "{{ messages[1]['tool_calls'][0]['function'] | tojson }}{{ tools }}"
    function = {"name": "f", "arguments": {"id": large}}
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"maximum": -large}}}
    row = Row((ROW.messages[0], call), "t", 1, (tool,))
    plain_text = Row((), "t", 2, text="ü")
    with RenderProcess(template(text)) as renderer:
        one, other = renderer([row, plain_text])
        (again,) = renderer([plain_text])
    assert isinstance(one, Rendered)
    assert one.text == f'{{"name": "f", "arguments": {{"id": {large}}}}}{[tool]}'
    assert other == again == Rendered("ü", ((0, 1),))


ATTACKS = [
    "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "{{ lipsum.__globals__['os'].popen('touch PATH').read() }}",
    "{{ raise_exception.__globals__['os'].system('touch PATH') }}",
    "{{ dict.__call__.__globals__['__builtins__']['open']('PATH', 'w') }}",
    "{% include '/etc/passwd' %}",
    "{% set x = messages.append('more') %}",
    "{{ 'a' * 10**10 }}",
    "{{ [0] * 10**10 }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ '%1000000000000d' % 1 }}",
]


def test_attacks_end_as_an_error_of_the_row(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    with RenderProcess(template("x")) as renderer:
        for attack in ATTACKS:
            renderer.use(template(attack.replace("PATH", str(target))))
            (reply,) = renderer([ROW])
            assert isinstance(reply, RenderError), attack
            assert not target.exists(), attack


def test_a_template_that_never_ends_is_killed_and_named() -> None:
    with RenderProcess(template("{{ messages[0]['content'] }}"), seconds=3) as renderer:
        renderer([ROW])  # the process has started; from here on only rendering counts
        renderer.use(template(ENDLESS))
        with pytest.raises(InputError, match=r"the template did not .* within 3 s.* x\.jsonl:7"):
            renderer([ROW])


def test_nothing_secret_is_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    with RenderProcess(template("x")) as renderer:
        renderer([ROW])
        (child,) = psutil.Process().children()
        assert "hf_canary" not in str(child.environ())
    assert not child.is_running()


def test_a_process_that_dies_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with RenderProcess(template("x")) as renderer:
        renderer([ROW])
        psutil.Process().children()[0].kill()
        with pytest.raises(InputError, match="ended its process"):
            renderer([ROW])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        RenderProcess(template("x")) as renderer,
        pytest.raises(QtuiError, match="could not start"),
    ):
        renderer([ROW])


def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    script = (
        "import sys\n"
        "from tests.stages.data.test_render_process import *\n"
        "renderer = RenderProcess(template('x'))\n"
        "renderer([ROW])\n"
        "renderer.use(template(ENDLESS))\n"
        "renderer._submit([ROW])\n"
        "print(renderer.pid, flush=True)\n"
        "import time; time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(tiny.__file__).parents[3],
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the rendering process still runs"
        time.sleep(0.1)
    parent.stdout.close()

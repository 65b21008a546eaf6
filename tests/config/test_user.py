"""The user's settings: what holds, what wins, and what is said of what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.config.user import UserConfig, config_file, config_folder, read_user_config


def read(folder: Path, text: str | bytes, **environment: str) -> tuple[UserConfig, tuple[str, ...]]:
    (folder / "qtui").mkdir(exist_ok=True)
    file = folder / "qtui" / "config.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_user_config({"XDG_CONFIG_HOME": str(folder), **environment})


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read_user_config({"XDG_CONFIG_HOME": str(tmp_path)}) == (UserConfig(), ())


def test_every_setting_is_read(tmp_path: Path) -> None:
    found, problems = read(
        tmp_path,
        """
theme = "light"
ascii = true
mouse = false
bell = false
price_per_hour = 0.69
webhook = "https://example.org/hook"
[keys]
"home.resume" = "R"
monitor.stop = "ctrl+x"
""",
    )
    assert problems == ()
    assert found == UserConfig(
        theme="light",
        ascii=True,
        mouse=False,
        bell=False,
        price_per_hour=0.69,
        webhook="https://example.org/hook",
        keys={"home.resume": "R", "monitor.stop": "ctrl+x"},
    )


def test_the_environment_wins(tmp_path: Path) -> None:
    found, problems = read(
        tmp_path,
        'theme = "light"\nprice_per_hour = 1\nwebhook = "https://a.example"\n',
        QTUI_THEME="mono",
        QTUI_PRICE_PER_HOUR="2.5",
        QTUI_WEBHOOK="http://b.example",
    )
    assert problems == ()
    assert (found.theme, found.price_per_hour, found.webhook) == ("mono", 2.5, "http://b.example")


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    found, problems = read(tmp_path, 'theme = "light"\n', QTUI_THEME="", QTUI_PRICE_PER_HOUR=" ")
    assert (found.theme, found.price_per_hour, problems) == ("light", None, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thema = 'dark'\n", ["'thema'", "did you mean theme?"]),
        ("zzz = 1\n", ["'zzz'", "price_per_hour"]),
        ("ascii = 'yes'\n", ["ascii", "true or false"]),
        ("mouse = 1\n", ["mouse", "true or false"]),
        ("theme = 3\n", ["theme", "a text in quotes"]),
        ("price_per_hour = 'much'\n", ["price_per_hour", "a number such as 0.69"]),
        ("price_per_hour = -1\n", ["price_per_hour"]),
        ("price_per_hour = nan\n", ["price_per_hour"]),
        ("price_per_hour = true\n", ["price_per_hour"]),
        (f"price_per_hour = 1{400 * '0'}\n", ["price_per_hour"]),
        ("webhook = 'example.org'\n", ["webhook", "https://"]),
        ("keys = 'R'\n", ["keys", "[keys]"]),
        ("[keys]\n'home.new' = 3\n", ["home.new", "must be a text"]),
        ("[keys]\n'home.new' = ''\n", ["home.new", "must be a text"]),
        ("theme = \n", ["is not TOML", "line 1"]),
        (b"theme = '\xff'\n", ["is not UTF-8"]),
    ],
)
def test_a_mistake_is_a_sentence_and_the_default_holds(
    text: str | bytes, said: list[str], tmp_path: Path
) -> None:
    found, problems = read(tmp_path, text)
    assert found == UserConfig()
    (sentence,) = problems
    assert "config.toml" in sentence
    assert all(part in sentence for part in said), sentence


def test_one_mistake_does_not_cost_the_rest(tmp_path: Path) -> None:
    found, problems = read(tmp_path, "theme = 3\nascii = true\nbel = false\n")
    assert found == UserConfig(ascii=True)
    assert len(problems) == 2


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    found, problems = read(tmp_path, "", QTUI_PRICE_PER_HOUR="much")
    assert found.price_per_hour is None
    assert problems[0].startswith("QTUI_PRICE_PER_HOUR")


def test_what_a_file_holds_cannot_reach_the_terminal(tmp_path: Path) -> None:
    _, problems = read(tmp_path, '"\\u001b[31m" = 1\n')
    assert "\x1b" not in problems[0]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "qtui" / "config.toml").mkdir(parents=True)
    found, problems = read_user_config({"XDG_CONFIG_HOME": str(tmp_path)})
    assert found == UserConfig()
    assert "cannot be read" in problems[0]


def test_where_the_settings_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_file({}) == tmp_path / ".config/qtui/config.toml"
    assert config_folder({"XDG_CONFIG_HOME": "relative"}) == tmp_path / ".config/qtui"

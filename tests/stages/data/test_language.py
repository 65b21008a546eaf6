"""Languages are known where there is enough to know them by, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.stages.data.refining import language
from qtui.stages.data.rows import Row

SENTENCES = {
    "en": "The weather was fine, and so we walked along the river until it was dark.",
    "de": "Das Wetter war schön, und so gingen wir am Fluss entlang, bis es dunkel wurde.",
    "fr": "Il faisait beau, et nous avons marché le long de la rivière jusqu'à la nuit.",
    "es": "Hacía buen tiempo y caminamos a lo largo del río hasta que se hizo de noche.",
    "pt": "O tempo estava bom e caminhamos ao longo do rio até que ficou escuro.",
    "pl": "Pogoda była ładna, więc szliśmy wzdłuż rzeki, aż zrobiło się ciemno.",
    "ru": "Погода была хорошая, и мы шли вдоль реки, пока не стемнело.",
    "zh": "天气很好，于是我们沿着河边一直走到天黑才回家。",
    "ja": "天気が良かったので、暗くなるまで川沿いを歩きました。",
    "ko": "날씨가 좋아서 우리는 어두워질 때까지 강을 따라 걸었습니다.",
    "he": "מזג האוויר היה נאה, ולכן הלכנו לאורך הנהר עד שהחשיך.",
    "ar": "كان الطقس جميلاً، لذلك مشينا على طول النهر حتى حل الظلام.",
    "hi": "मौसम अच्छा था, इसलिए हम अंधेरा होने तक नदी के किनारे चलते रहे।",
    "no": "Været var fint, så vi gikk langs elven helt til det ble mørkt ute.",
    "id": "Cuacanya bagus, jadi kami berjalan di sepanjang sungai sampai hari menjadi gelap.",
}


def row(question: str, answer: str, system: str = "") -> Row:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if system:
        turns.insert(0, {"role": "system", "content": system})
    return Row(tuple(turns), "f", 1)


@pytest.mark.parametrize("code", SENTENCES)
def test_languages(code: str) -> None:
    found = language.of_text(SENTENCES[code])
    assert found.code == code
    assert code in found.plausible


@pytest.mark.parametrize(
    "text",
    ["", "Yes.", "OK, 12345", "café", "x = [1, 2, 3]", "3.14159 2.71828 1.41421 1.73205 1.61803"],
)
def test_what_is_short_or_no_language_is_unknown(text: str) -> None:
    assert language.of_text(text) == language.UNKNOWN


def test_answers_count_before_questions_and_systems_not_at_all() -> None:
    long = SENTENCES["de"] * 8
    assert language.of_row(row(SENTENCES["en"] * 20, long)).code == "de"
    assert language.of_row(row(SENTENCES["de"], "Ja.", SENTENCES["en"] * 20)).code == "de"


def test_code_and_json_do_not_count() -> None:
    code = "```python\n# The weather was fine and so we walked along the river\nprint(1)\n```\n" * 6
    assert language.of_row(row("?", code + SENTENCES["fr"])).code == "fr"
    assert language.of_row(row(SENTENCES["fr"], '{"weather": "the weather was fine"}')).code == "fr"


def test_two_languages_are_both_plausible() -> None:
    both = language.of_text(f"{SENTENCES['de']} {SENTENCES['de']} {SENTENCES['en']}")
    assert {"de", "en"} <= both.plausible


def test_plain_text_rows_have_a_language() -> None:
    assert language.of_row(Row((), "f", 1, text=SENTENCES["es"])).code == "es"


def test_codes_of_one_language() -> None:
    assert language.primary("zh-Hant") == language.primary("zh-CN") == "zh"
    assert language.primary("nb") == language.primary("nn") == "no"
    assert language.primary("iw") == "he"


def test_control_characters_do_not_hide_the_language() -> None:
    """The detector itself refuses them with an error."""
    assert language.of_text("\x00" + SENTENCES["en"] + "\x01\ufffe").code == "en"


@given(st.text(st.characters(), max_size=120), st.text(max_size=120))
def test_nothing_raises_whatever_the_text(question: str, answer: str) -> None:
    language.of_row(row(question, answer))
    language.of_row(Row((), "f", 1, text=question))

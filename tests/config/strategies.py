"""Random settings and configs, made from what the fields allow."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from qtui.config.fields import FieldInfo, fields

# Everything a YAML text can hold; half characters (surrogates) and NUL are refused by design.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


_LISTED: dict[str, st.SearchStrategy[Any]] = {
    "data.columns": st.from_regex(r"(prompt|completion)=[a-z]{1,5}", fullmatch=True),
    "data.languages": st.sampled_from(["en", "de", "zh-Hant"]),
    "data.drop_rows": st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    "data.keep_rows": st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    "data.weights": st.floats(0.1, 10),
    "data.augment_templates": st.just("Please: {instruction}"),
}


def values(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Values that `field` allows by itself."""
    if field.key == "training.device":
        kinds = [st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:7"])]
    elif field.key == "training.run_name":
        kinds = [st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", fullmatch=True)]
    elif field.key in _LISTED:
        kinds = [st.lists(_LISTED[field.key], max_size=3)]
    elif field.listed and field.choices and not isinstance(field.default, str):
        kinds = [st.lists(st.sampled_from(field.choices), max_size=3)]
    else:
        kinds = []
        if field.choices:
            kinds.append(st.sampled_from(field.choices))
        if "true or false" in field.type:
            kinds.append(st.booleans())
        if "whole number" in field.type:
            top = 10**9 if field.maximum is None else int(field.maximum)
            kinds.append(st.integers(int(field.minimum or 0), top))
        elif "number" in field.type:
            low = field.minimum if field.minimum is not None else field.above
            high = field.maximum if field.maximum is not None else field.below
            kinds.append(
                st.floats(
                    low,
                    high,
                    exclude_min=field.above is not None,
                    exclude_max=field.below is not None,
                    allow_nan=False,
                    allow_infinity=False,
                )
            )
        filled = texts.filter(bool)
        if field.text:
            kinds.append(filled if "not empty" in field.type else texts)
        if field.listed:
            kinds.append(st.lists(filled, min_size=1, max_size=3))
    if field.nullable:
        kinds.append(st.none())
    return st.one_of(kinds)


@st.composite
def settings(draw: st.DrawFn, *, max_size: int = 12) -> dict[str, Any]:
    """Some settings, key → a value that is valid by itself."""
    chosen = draw(st.lists(st.sampled_from(fields()), unique_by=lambda f: f.key, max_size=max_size))
    return {field.key: draw(values(field)) for field in chosen}


def nested(flat: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Key → value as section → name → value."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        found.setdefault(section, {})[name] = value
    return found

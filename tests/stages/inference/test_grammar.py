"""An answer that ends by itself is JSON of its schema, whatever the temperature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtui.stages.inference import transformers_engine
from qtui.stages.inference.engine import RefusedError
from tests.stages.inference.engines import ask, config

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = transformers_engine.load(
        tmp_path_factory.mktemp("workspace"), config("builtin:tiny"), say=lambda sentence: None
    )
    yield made
    made.close()


names = st.sampled_from(["name", "ip", "größe", 'a "quoted"', "n"])
plain = st.sampled_from(
    [
        {"type": "integer", "minimum": 0, "maximum": 99},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["low", "日本", 3, None]},
        {"const": {"a": [1]}},
        {"type": "string", "maxLength": 8},
        {"type": "string", "pattern": "^[0-9]{1,3}[.][0-9]{1,3}$"},
        {"type": "number", "minimum": 0, "maximum": 1},
    ]
)
schemas = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.dictionaries(names, inner, min_size=1, max_size=3).map(
            lambda found: {
                "type": "object",
                "properties": found,
                "required": sorted(found),
                "additionalProperties": False,
            }
        ),
        inner.map(lambda item: {"type": "array", "items": item, "maxItems": 3}),
        st.lists(inner, min_size=1, max_size=2).map(lambda several: {"anyOf": several}),
    ),
    max_leaves=4,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schemas, st.integers(0, 10**6))
def test_what_ends_by_itself_is_of_the_schema(engine: Any, schema: Any, seed: int) -> None:
    heard = ask(
        engine, "Answer in JSON: ", json_schema=schema, temperature=1.5, seed=seed, max_tokens=150
    ).wait()
    if heard.ended.reason == "stop":
        jsonschema.validate(json.loads(heard.text), schema)
    else:
        assert heard.ended.reason == "length"
        assert heard.ended.completion_tokens == 150


def test_most_of_them_do_end(engine: Any) -> None:
    """Else the test above could not fail."""
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "maximum": 9}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    all_heard = [
        ask(engine, "JSON: ", json_schema=schema, temperature=1.5, seed=seed, max_tokens=80)
        for seed in range(12)
    ]
    ended = [heard for heard in all_heard if heard.wait().ended.reason == "stop"]
    assert len(ended) >= 10
    for heard in ended:
        jsonschema.validate(json.loads(heard.text), schema)


def test_an_empty_schema_is_any_object(engine: Any) -> None:
    for seed in range(6):
        heard = ask(engine, "{", json_schema={}, temperature=1.0, seed=seed, max_tokens=120).wait()
        assert heard.text.lstrip().startswith("{")
        if heard.ended.reason == "stop":
            assert isinstance(json.loads(heard.text), dict)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "https://example.com/schema.json"},
        {"type": "string", "pattern": "("},
        {"properties": 3},
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_a_schema_that_cannot_be_obeyed_is_refused(engine: Any, schema: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        ask(engine, "JSON: ", json_schema=schema)
    assert refused.value.code == "invalid_json_schema"
    assert "<state>" not in refused.value.message
    assert "NoExtensionBias" not in refused.value.message


def test_a_schema_too_intricate_on_the_way_fails_its_own_answer_alone(engine: Any) -> None:
    pattern = "^(([a-z]{1,100}){1,100}){1,100}$"
    free = ask(engine, "Once upon a time", max_tokens=30).wait().text
    rows = [
        ask(
            engine,
            "Once upon a time",
            max_tokens=30,
            json_schema={"type": "string", "pattern": pattern} if at % 2 else None,
        )
        for at in range(4)
    ]
    assert [rows[at].wait().text for at in (0, 2)] == [free, free]
    for at in (1, 3):
        error = rows[at].wait().failed.error
        assert isinstance(error, RefusedError), error
        assert error.code == "invalid_json_schema"
    assert engine.trouble() == ""


def test_a_constrained_row_leaves_its_neighbours_alone(engine: Any) -> None:
    free = ask(engine, "Once upon a time", max_tokens=20).wait().text
    rows = [
        ask(engine, "Once upon a time", max_tokens=20, json_schema={} if at % 2 else None)
        for at in range(6)
    ]
    for at, heard in enumerate(rows):
        heard.wait()
        assert (heard.text == free) == (at % 2 == 0)

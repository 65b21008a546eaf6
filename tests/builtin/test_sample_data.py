"""The sample data keeps what its module promises: valid, disjoint, reproducible."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qtui.builtin import camara, data_path
from qtui.errors import NotFoundError

ROOT = Path(__file__).parents[2]
SPECIFICATION = ROOT.parent / "shared" / "data" / "camara" / "code"
SPLITS = ("train", "validation", "test")


def rows(name: str) -> list[dict[str, Any]]:
    text = (data_path() / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def answers() -> Iterator[Any]:
    """Every session that is offered as right, in all files."""
    for split in SPLITS:
        for row in rows(split):
            yield json.loads(row["messages"][-1]["content"])
    for row in rows("preferences"):
        yield json.loads(row["chosen"][0]["content"])


@pytest.fixture(scope="module")
def session() -> Draft202012Validator:
    schema = json.loads((data_path() / "session.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_every_answer_is_a_valid_session(session: Draft202012Validator) -> None:
    bad = [a for a in answers() if not session.is_valid(a)]
    assert not bad


VALID = {
    "device": {"phoneNumber": "+447700900123"},
    "applicationServer": {"ipv4Address": "192.0.2.7"},
    "qosProfile": "QOS_E",
    "duration": 60,
}


@pytest.mark.parametrize(
    "change",
    [
        {"duration": 0},
        {"duration": "60"},
        {"duration": True},
        {"qosProfile": "Q"},
        {"qosProfile": "QOS E"},
        {"applicationServer": {}},
        {"applicationServer": {"ipv4Address": "192.0.2.256"}},
        {"applicationServer": {"ipv4Address": "192.0.2.7/33"}},
        {"applicationServer": {"ipv4Address": "192.0.2.7", "ipAddresses": ["192.0.2.7"]}},
        {"device": {}},
        {"device": {"phoneNumber": "447700900123"}},
        {"device": {"ipv4Address": {"publicAddress": "192.0.2.1"}}},
        {"device": {"ipv4Address": {"publicAddress": "192.0.2.1", "publicPort": 65536}}},
        {"device": {"ipv4Address": {"publicAddress": "192.0.2.01", "publicPort": 1}}},
        {"sink": "http://not.secure.example"},
        {"colour": "red"},
    ],
)
def test_the_schema_refuses(session: Draft202012Validator, change: dict[str, Any]) -> None:
    assert session.is_valid(VALID)
    assert not session.is_valid(VALID | change)


@pytest.mark.parametrize("field", ["applicationServer", "qosProfile", "duration"])
def test_the_schema_requires(session: Draft202012Validator, field: str) -> None:
    assert not session.is_valid({k: v for k, v in VALID.items() if k != field})


def _inlined(node: Any, file: Path, documents: dict[Path, Any]) -> Any:
    """An OpenAPI 3.0 schema with its references (also into other files) written out."""
    if isinstance(node, list):
        return [_inlined(item, file, documents) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        where, _, pointer = node["$ref"].partition("#")
        target = (file.parent / where).resolve() if where else file
        if target not in documents:
            from ruamel.yaml import YAML

            documents[target] = YAML(typ="safe", pure=True).load(target)
        found = documents[target]
        for part in pointer.strip("/").split("/"):
            found = found[part]
        return _inlined(found, target, documents)
    return {k: _inlined(v, file, documents) for k, v in node.items() if k != "discriminator"}


@pytest.mark.skipif(not SPECIFICATION.is_dir(), reason="the specification is not beside the repo")
def test_every_answer_is_valid_by_the_specification_itself() -> None:
    file = (SPECIFICATION / "API_definitions" / "quality-on-demand.yaml").resolve()
    schema = _inlined({"$ref": "#/components/schemas/CreateSession"}, file, {})
    check = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert check.is_valid(VALID)
    assert not check.is_valid(VALID | {"duration": 0})
    bad = [a for a in answers() if not check.is_valid(a)]
    assert not bad


@pytest.mark.parametrize(("name", "count"), [*camara.ROWS.items(), ("preferences", 300)])
def test_the_files_have_the_rows_that_are_announced(name: str, count: int) -> None:
    assert len(rows(name)) == count


def test_the_files_are_small() -> None:
    assert sum(p.stat().st_size for p in data_path().iterdir()) < 2_000_000


def test_the_splits_share_no_request_and_no_address() -> None:
    requests = {s: {r["messages"][0]["content"] for r in rows(s)} for s in SPLITS}
    requests["train"] |= {r["prompt"][0]["content"] for r in rows("preferences")}
    numbers = {
        s: {n for text in texts for n in re.findall(r"\+\d{6,}|\d+\.\d+\.\d+\.\d+", text)}
        for s, texts in requests.items()
    }
    for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not requests[a] & requests[b]
        assert not numbers[a] & numbers[b]


def test_the_test_split_has_sentences_and_times_that_the_others_lack() -> None:
    def durations(split: str) -> set[int]:
        return {json.loads(r["messages"][-1]["content"])["duration"] for r in rows(split)}

    assert durations("test") - durations("train") - durations("validation")
    assert not {s for _, s in camara.UNSEEN_TIMES} & {s for _, s in camara.TIMES}
    assert not set(camara.UNSEEN_SENTENCES) & set(camara.SENTENCES)
    heads = tuple(s.split("{", 1)[0] for s in camara.UNSEEN_SENTENCES if s.startswith("Between"))
    assert any(r["messages"][0]["content"].startswith(heads) for r in rows("test"))
    assert not any(r["messages"][0]["content"].startswith(heads) for r in rows("train"))


def test_a_rejected_answer_differs_from_the_chosen_one() -> None:
    for row in rows("preferences"):
        assert row["rejected"][0]["content"] != row["chosen"][0]["content"]


def test_making_the_data_again_gives_the_same_bytes(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make_sample_data.py"
    spec = importlib.util.spec_from_file_location("make_sample_data", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.write_all(tmp_path)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (data_path() / made.name).read_bytes(), made.name


@given(seed=st.integers(0, 2**32), split=st.sampled_from(SPLITS))
def test_any_seed_gives_rows_of_its_own_split(seed: int, split: camara.Split) -> None:
    for row in camara.generate(seed, 3, split):
        session = json.loads(row["messages"][-1]["content"])
        device = session["device"]
        value = device.get("phoneNumber") or device["ipv4Address"]["publicAddress"]
        assert camara.split_of(value) == split
        server = session["applicationServer"]["ipv4Address"]
        assert camara.split_of(server.split("/")[0]) == split
        for part in (value, server):
            assert part in row["messages"][0]["content"]


def test_an_unknown_split_or_name_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="train, validation, test"):
        next(camara.generate(1, 1, "dev"))  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="no built-in"):
        data_path("cars")

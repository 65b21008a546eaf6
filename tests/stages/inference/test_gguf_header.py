"""Files that are no GGUF, or torn, or odd: an error with a reason, before llama.cpp sees them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from qtui.config.serve import ServeConfig, ServedModel
from qtui.errors import ImpossibleError, InputError, NotFoundError
from qtui.stages.inference import gguf_model
from qtui.stages.inference.gguf_header import Header, read
from qtui.stages.inference.gguf_model import Room, plan
from tests.gguf_model import need_llama_cpp, write


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", kind="F16")


def load(path: Path) -> None:
    need_llama_cpp()
    model = ServedModel(model_name=str(path))
    gguf_model.load(ServeConfig(model=model, device="cpu"), lambda said: None).close()


def test_a_header_says_what_the_model_is(file: Path) -> None:
    header = read(file)
    assert header.architecture == "llama"
    assert header.max_context == 1024
    # keys and values of 4 heads of 64 in 6 layers, 2 bytes each
    assert header.cache_bytes == 2 * 2 * 4 * 64 * 6
    assert header.file_bytes == file.stat().st_size
    assert "<|assistant|>" in str(header.text("tokenizer.chat_template"))


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.5, 0.999])
def test_a_file_cut_off_anywhere_is_torn(file: Path, tmp_path: Path, share: float) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(InputError, match=r"is torn|cannot load .*not within the file bounds"):
        load(torn)


def test_no_byte_of_the_header_makes_it_crash(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    damaged = tmp_path / "damaged.gguf"
    for at in range(4, 700, 7):
        damaged.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 : 200_000])
        try:
            read(damaged)
        except InputError:
            continue


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04 something else", "not a GGUF file"),
        (b"GGUF", "torn"),
        (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "unknown GGUF version 99"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "architecture"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "torn"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 77), "type 77"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        read(odd)
    assert caught.value.message.startswith(str(odd))


def test_a_vocabulary_with_a_token_twice_is_refused(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    assert b"<|system|>" in data
    twice = tmp_path / "twice.gguf"
    twice.write_bytes(
        data.replace(b"<|begin|>", b"<|aaa|>$$", 1).replace(b"<|end|>", b"<|pad|>", 1)
    )
    with pytest.raises(InputError, match="1 of its 2,048 tokens are there twice"):
        read(twice)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        read(tmp_path / "none.gguf")
    with pytest.raises(NotFoundError, match="there is no file"):
        read(tmp_path)


def test_an_architecture_that_llama_cpp_does_not_know_is_named(tmp_path: Path) -> None:
    need_llama_cpp()
    path = write(tmp_path / "new.gguf", architecture="llamb")
    with pytest.raises(InputError, match="unknown model architecture: 'llamb'") as caught:
        load(path)
    assert "newer" in caught.value.remedy


def test_of_a_file_in_parts_the_first_stands_for_all(file: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / f"big-0000{n}-of-00002.gguf" for n in (1, 2))
    first.write_bytes(file.read_bytes())
    with pytest.raises(NotFoundError, match=r"00002-of-00002\.gguf is missing"):
        read(first)
    second.write_bytes(b"12345")
    assert read(first).file_bytes == file.stat().st_size + 5
    with pytest.raises(InputError, match="is part 2 of 2") as caught:
        read(second)
    assert first.name in caught.value.remedy


LARGE = Header(
    Path("large.gguf"),
    "llama",
    {
        "llama.context_length": 131_072,
        "llama.embedding_length": 4096,
        "llama.block_count": 32,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
    },
    file_bytes=4_800_000_000,
)


def test_what_is_held_is_what_fits() -> None:
    assert LARGE.cache_bytes == 131_072  # 128 KiB a token, as Llama 3.1 8B has
    assert plan(LARGE, 8192, 4, None) == Room(8192, 4)
    assert plan(LARGE, 8192, 4, 64_000_000_000) == Room(8192, 4)
    assert plan(LARGE, 8192, 4, 8_000_000_000) == Room(8192, 2)
    # none was asked for: as much of the model's as there is room for, and one answer at a time
    assert plan(LARGE, None, 4, 8_000_000_000) == Room(
        (8_000_000_000 - 5_100_000_000) // 131_072, 1
    )
    with pytest.raises(ImpossibleError, match=r"large\.gguf needs 9\.4 GB, 8\.0 GB free: 4\.8 GB"):
        plan(LARGE, 32_768, 4, 8_000_000_000)
    with pytest.raises(ImpossibleError, match=r"needs 5\.4 GB, 2\.3 GB free") as caught:
        plan(LARGE, None, 4, 2_300_000_000)
    assert "smaller quantisation" in caught.value.remedy

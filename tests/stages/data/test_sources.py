"""What a path means, and that no folder can lead anywhere else or bring anything down."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.errors import InputError, NotFoundError
from qtui.stages.data.reading import sources as sources_module
from qtui.stages.data.reading.sources import DOCUMENTS, Source, fingerprint_of, locate
from qtui.stages.data.reading.suffixes import KINDS, by_name
from qtui.stages.data.rows import Findings
from qtui.terminal import clean_line


def found(paths: Path | str | list[str], **settings: Any) -> tuple[list[Source], Findings]:
    findings = Findings()
    names = paths if isinstance(paths, list) else str(paths)
    return locate(names, DataConfig(**settings), findings), findings


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return folder


def names_in(folder: Path, sources: list[Source]) -> list[str]:
    return [str(source.path.relative_to(folder)) for source in sources if source.path]


def messages(findings: Findings) -> list[str]:
    return [finding.message for finding in findings.kept]


ALL_KINDS = {
    "a.json": ("auto", ""),
    "b.JSONL": ("auto", ""),
    "c.ndjson": ("auto", ""),
    "d.csv": ("csv", ""),
    "e.tsv": ("tsv", ""),
    "f.parquet": ("parquet", ""),
    "g.arrow": ("parquet", ""),
    "h.pdf": ("pdf", ""),
    "i.docx": ("docx", ""),
    "j.html": ("html", ""),
    "k.htm": ("html", ""),
    "l.md": ("md", ""),
    "m.markdown": ("md", ""),
    "n.txt": ("txt", ""),
    "o.text": ("txt", ""),
    "p.jsonl.gz": ("auto", "gz"),
    "q.csv.zst": ("csv", "zst"),
    "r.txt.GZ": ("txt", "gz"),
    "s/t.json.zst": ("auto", "zst"),
}


def test_a_folder_of_all_kinds(tmp_path: Path) -> None:
    made(tmp_path, *ALL_KINDS, "x.log", "y.log", "z.png", "u.pdf.gz", "no suffix")
    sources, findings = found(tmp_path)
    assert names_in(tmp_path, sources) == list(ALL_KINDS)
    assert {s.name: (s.kind, s.compression) for s in sources} == {
        str(tmp_path / name): kind for name, kind in ALL_KINDS.items()
    }
    assert {s.kind for s in sources} == {*KINDS.values()} == {*DOCUMENTS, "auto", "csv", "tsv",
                                                              "parquet"}  # fmt: skip
    assert messages(findings) == ["not read, of another kind: 1 × .gz, 2 × .log, 1 × .png, "
                                  "1 × no suffix"]  # fmt: skip


def test_entries_are_numbered_and_a_file_is_read_once(tmp_path: Path) -> None:
    made(tmp_path, "one/a.jsonl", "one/b.jsonl", "two.csv")
    entries = [str(tmp_path / "two.csv"), str(tmp_path / "one"), str(tmp_path / "one/a.jsonl"),
               "builtin:camara", "org/name"]  # fmt: skip
    sources, findings = found(entries)
    assert [(s.entry, s.kind) for s in sources] == [
        (0, "csv"), (1, "auto"), (1, "auto"), (3, "jsonl"), (4, "dataset"),
    ]  # fmt: skip
    assert messages(findings) == ["is named twice; read once"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "s/b.jsonl", "s/t/c.jsonl"]),
        ("s/**", ["s/b.jsonl", "s/d.md", "s/t/c.jsonl"]),
        ("s/*", ["s/b.jsonl", "s/d.md"]),
        ("?/[b-c].*", ["s/b.jsonl"]),
        ("**/t/*", ["s/t/c.jsonl"]),
        ("**/*.md", ["README.md", "s/README.md", "s/d.md"]),
        ("*", ["a.jsonl"]),
        ("*.notes", ["x.notes"]),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    made(tmp_path, "a.jsonl", "s/b.jsonl", "s/t/c.jsonl", "s/d.md", "README.md", "s/README.md",
         ".h.jsonl", "x.notes")  # fmt: skip
    sources, _ = found(tmp_path / pattern)
    assert names_in(tmp_path, sources) == expected


def test_a_pattern_that_is_a_name_and_patterns_that_match_nothing(tmp_path: Path) -> None:
    made(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert names_in(tmp_path, found(tmp_path / "a[1].jsonl")[0]) == ["a[1].jsonl"]
    assert names_in(tmp_path, found(tmp_path / "a[12].jsonl")[0]) == ["a1.jsonl"]
    with pytest.raises(NotFoundError, match="no file that can be read matches") as missing:
        found(tmp_path / "*.csv")
    assert "**" in missing.value.remedy
    with pytest.raises(NotFoundError, match="nowhere does not exist"):
        found(tmp_path / "nowhere" / "*.csv")


def test_what_describes_a_folder_is_no_training_text(tmp_path: Path) -> None:
    made(tmp_path, "rows/a.jsonl", "rows/README.md", "rows/LICENSE.txt", "rows/notes.txt",
         "rows/readme_ja.md", "docs/README.md", "docs/CHANGELOG.md", "docs/guide.md",
         "docs/LICENSE-MIT.txt", "docs/readmetoo.txt", "docs/licenses-of-plates.md",
         "dataset_info.json")  # fmt: skip
    sources, findings = found(tmp_path)
    assert names_in(tmp_path, sources) == [
        "docs/README.md",
        "docs/guide.md",
        "docs/licenses-of-plates.md",
        "docs/readmetoo.txt",
        "rows/a.jsonl",
        "rows/notes.txt",
    ]
    assert findings.counts == {"skipped": 6}
    assert names_in(tmp_path, found(tmp_path / "rows/README.md")[0]) == ["rows/README.md"]


def test_a_forced_kind_takes_its_files_only(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", "b.csv.gz", "c.jsonl", "d.weird")
    sources, findings = found(tmp_path, input_type="csv")
    assert [(s.kind, s.compression) for s in sources] == [("csv", ""), ("csv", "gz")]
    assert messages(findings) == ["not read, of another kind: 1 × .jsonl, 1 × .weird"]
    (source,) = found(tmp_path / "d.weird", input_type="tsv")[0]
    assert source.kind == "tsv"
    (source,) = found(tmp_path, input_type="json")[0]
    assert source.kind == "json"
    with pytest.raises(InputError, match="holds no pdf file"):
        found(tmp_path, input_type="pdf")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"a": 1}', "auto"),
        (b"\xef\xbb\xbf [1]", "auto"),
        ('{"a": 1}'.encode("utf-16"), "auto"),
        (b"", "auto"),
        (b"%PDF-1.7", "pdf"),
        (b"PAR1....", "parquet"),
        (b"PK\x03\x04....word/document.xml", "docx"),
        (b"<!DOCTYPE html><p>", "html"),
        (b"Once upon a time", "txt"),
    ],
)
def test_a_name_that_says_nothing_leaves_it_to_the_content(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "README").write_bytes(content)
    assert [source.kind for source in found(tmp_path / "README")[0]] == [kind]


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("x.xlsx", b"PK\x03\x04", "Save each sheet as CSV."),
        ("x.zip", b"PK\x03\x04", "Unpack it"),
        ("x.parquet.gz", b"\x1f\x8b", "Unpack it first."),
        ("x.bin", b"\x7fELF\0\0", "Name files of JSON"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(
    tmp_path: Path, name: str, content: bytes, remedy: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="of a kind that is not read") as refused:
        found(tmp_path / name)
    assert refused.value.remedy.startswith(remedy)


def test_links_neither_loop_nor_lead_out(tmp_path: Path) -> None:
    outside = made(tmp_path / "outside", "secret.jsonl")
    inside = made(tmp_path / "in\x1bside", "a.jsonl", "s/b.jsonl")
    (inside / "loop").symlink_to(inside, target_is_directory=True)
    (inside / "s" / "up").symlink_to("..", target_is_directory=True)
    (inside / "away").symlink_to(outside, target_is_directory=True)
    (inside / "out.jsonl").symlink_to(outside / "secret.jsonl")
    (inside / "twice.jsonl").symlink_to("a.jsonl")
    (inside / "gone.jsonl").symlink_to("nowhere")
    (inside / "itself.jsonl").symlink_to("itself.jsonl")
    for path in (inside, f"{inside}/**", f"{inside}/**/*.jsonl"):
        sources, findings = found(path)
        assert names_in(inside, sources) == ["a.jsonl", "s/b.jsonl", "twice.jsonl"]
        assert len(messages(findings)) == 1
        assert "link out of the folder" in messages(findings)[0]
    (tmp_path / "link").symlink_to(inside)
    assert len(found(tmp_path / "link")[0]) == 3
    assert len(found(inside / "out.jsonl")[0]) == 1


def test_only_files_are_files(tmp_path: Path) -> None:
    made(tmp_path, "a.jsonl", ".hidden/b.jsonl", ".c.jsonl", "d.jsonl/e.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.jsonl"))
        sources, _ = found(tmp_path)
    assert names_in(tmp_path, sources) == ["a.jsonl", "d.jsonl/e.jsonl"]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        found(tmp_path / "pipe.jsonl")


def test_names_of_any_bytes_are_safe_and_stay_different(tmp_path: Path) -> None:
    names = [b"a\x1b[31m\n.jsonl", b"a\\x1b[31m\\n.jsonl", b"caf\xe9.jsonl", b"caf\xe8.jsonl",
             "z\u202e.jsonl".encode(), "zebra 縞.jsonl".encode()]  # fmt: skip
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("{}")
    sources, _ = found(tmp_path)
    assert len(sources) == len({source.name for source in sources}) == len(names)
    for source in sources:
        assert clean_line(source.name) == source.name
        source.name.encode()
        assert source.path is not None
        assert source.path.read_text() == "{}"
    assert {Path(source.name).name for source in sources} >= {
        "caf\\xe9.jsonl", "caf\\xe8.jsonl", "z\\u202e.jsonl", "zebra 縞.jsonl",
    }  # fmt: skip
    before = fingerprint_of(tmp_path)
    assert before == fingerprint_of(tmp_path)
    made(tmp_path, "new")
    assert fingerprint_of(tmp_path) != before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is locked for root")
def test_a_locked_folder_is_said(tmp_path: Path) -> None:
    made(tmp_path, "a.jsonl", "locked/b.jsonl")
    (tmp_path / "locked").chmod(0)
    sources, findings = found(tmp_path)
    assert len(sources) == 1
    assert "cannot be read" in messages(findings)[0]


def test_tables_of_other_splits_are_left_out(tmp_path: Path) -> None:
    made(tmp_path, "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet",
         "more.jsonl")  # fmt: skip
    sources, findings = found(tmp_path)
    assert names_in(tmp_path, sources) == ["data/train-00000-of-00001.parquet", "more.jsonl"]
    assert "1 Parquet or Arrow files of other splits than train" in messages(findings)[0]
    sources, _ = found(tmp_path, split="test", input_type="dataset")
    assert names_in(tmp_path, sources) == ["data/test-00000-of-00001.parquet"]
    assert len(found(tmp_path / "data", split="dev")[0]) == 2


def test_a_file_that_cannot_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    made(tmp_path, "a.log", "b.jsonl.log")
    looked = sources_module.by_content
    monkeypatch.setattr(
        sources_module,
        "by_content",
        lambda path: (locked if path.name == "a.log" else looked)(path),
    )
    these, findings = found(tmp_path / "*.log")
    assert names_in(tmp_path, these) == ["b.jsonl.log"]
    assert [(f.level, f.kind, f.message) for f in findings.kept] == [
        ("error", "unreadable-file", "cannot be read: Permission denied")
    ]
    with pytest.raises(InputError, match=r"a\.log cannot be read: Permission denied"):
        found(tmp_path / "a.log")


SPLITS: list[tuple[str, list[str], list[str]]] = [
    # a part of a word names no split, and a name alone leaves nothing out
    ("train", ["constraints.parquet", "faq.parquet"], ["constraints.parquet", "faq.parquet"]),
    ("train", ["train-0.parquet", "faq.parquet"], ["faq.parquet", "train-0.parquet"]),
    ("train", ["a/TRAIN.parquet", "a/valid.parquet", "faq.parquet"],
     ["a/TRAIN.parquet", "faq.parquet"]),
    ("train", ["x_train_1.arrow", "train/y.arrow", "train/test.arrow"],
     ["train/y.arrow", "x_train_1.arrow"]),
    ("train", ["latest.parquet", "train.parquet", "eval.parquet"],
     ["latest.parquet", "train.parquet"]),
    ("train", ["dev.parquet", "more.parquet"], ["dev.parquet", "more.parquet"]),
    ("validation", ["train.parquet", "val-0.parquet"], ["val-0.parquet"]),
    ("train_sft", ["train_sft-0.parquet", "train_gen-0.parquet"], ["train_sft-0.parquet"]),
]  # fmt: skip


@pytest.mark.parametrize(("split", "files", "expected"), SPLITS)
def test_a_split_is_a_whole_part_of_a_name(
    tmp_path: Path, split: str, files: list[str], expected: list[str]
) -> None:
    sources, findings = found(made(tmp_path, *files), split=split)
    assert names_in(tmp_path, sources) == expected
    assert len(messages(findings)) == (files != expected and len(files) > len(expected))


def test_held_out_files_are_of_their_own_kind(tmp_path: Path) -> None:
    made(tmp_path, "notes.md", "held.jsonl")
    config = DataConfig(input_path=str(tmp_path), input_type="md")
    for split in ("validation", "test"):
        (held,) = locate(str(tmp_path / "held.jsonl"), config, Findings(), split=split)
        assert (held.kind, held.split) == ("auto", split)
    (source,) = locate(str(tmp_path), config, Findings())
    assert source.kind == "md"


def test_what_qtui_wrote_is_no_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a.jsonl", "runs/one/run.json", "runs/one/data/rows.jsonl", "runs/two/run.json",
         "runs/mine.jsonl", "other/run.json", "copies/train.jsonl",
         "copies/deep/x.jsonl")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("copies")
    left = ["a.jsonl", "other/run.json", "runs/mine.jsonl"]
    for output in ("copies", str(tmp_path / "copies"), "link", "./other/../copies"):
        for path in (".", str(tmp_path), str(tmp_path / "**")):
            sources, findings = found(path, output_path=output)
            assert [str(s.path.resolve().relative_to(tmp_path)) for s in sources if s.path] == left
            assert sorted(messages(findings)) == [
                "copies: qtui writes there; not read (name the folder itself to use it)",
                "one, two: qtui writes there; not read (name the folder itself to use it)",
            ]
    # Whatever is named itself is read.
    assert names_in(tmp_path, found(tmp_path / "copies", output_path="copies")[0]) == [
        "copies/deep/x.jsonl",
        "copies/train.jsonl",
    ]
    assert names_in(tmp_path, found(tmp_path / "runs" / "one")[0]) == [
        "runs/one/data/rows.jsonl",
        "runs/one/run.json",
    ]
    assert len(found(tmp_path, output_path=str(tmp_path))[0]) == 5


def test_saved_data_sets_and_hub_ids(tmp_path: Path) -> None:
    made(
        tmp_path, "saved/state.json", "saved/data-00000-of-00001.arrow", "splits/dataset_dict.json"
    )
    for name in ("saved", "splits"):
        assert [(s.kind, s.path) for s in found(tmp_path / name)[0]] == [
            ("dataset", tmp_path / name)
        ]
    assert found("org/name")[0] == [Source("org/name", "dataset", None)]
    assert found("some thing", input_type="dataset")[0] == [Source("some thing", "dataset")]
    with pytest.raises(InputError, match="holds no saved data set"):
        found(made(tmp_path / "other", "a.jsonl"), input_type="dataset")


@pytest.mark.parametrize(
    "name", ["rwos.jsonl", "rows.csv", "x" * 5000, "~nobody-here/x.jsonl", "a/" * 600 + "x.csv"]
)
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    made(tmp_path, "rows.jsonl")
    with pytest.raises(NotFoundError, match="does not exist") as missing:
        found(f"{tmp_path}/{name}" if not name.startswith("~") else name)
    if name == "rwos.jsonl":
        assert str(tmp_path / "rows.jsonl") in missing.value.remedy


def test_a_folder_without_anything_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no JSON, JSONL, CSV"):
        found(tmp_path)
    with pytest.raises(InputError, match="is empty"):
        found([])


@given(st.lists(st.text("ab.*?[]-", min_size=1, max_size=6), min_size=1, max_size=3))
def test_any_pattern_finds_files_below_its_folder_or_says_so(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    folder = made(tmp_path_factory.mktemp("any"), "a.csv", "b/a.csv", "b/b/ab.csv")
    try:
        sources, _ = found(folder / "/".join(parts))
    except InputError:
        return
    if ".." not in parts:
        for source in sources:
            assert source.path is not None
            assert source.path.resolve().is_relative_to(folder.resolve())


@given(st.text(max_size=20))
def test_a_kind_is_told_from_the_last_suffixes_alone(stem: str) -> None:
    for suffix, kind in KINDS.items():
        assert by_name(stem + suffix) == (kind, "")
        packed = by_name(f"{stem}{suffix}.gz")
        assert packed in ((kind, "gz"), None)

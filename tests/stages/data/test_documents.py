"""Every real document gives its text or a named finding; those that attack cost only themselves."""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from qtui.config.models import DataConfig
from qtui.errors import ImpossibleError, InputError
from qtui.stages.data.documents import documents
from qtui.stages.data.documents.document_blocks import (
    Block,
    Extracted,
    UnreadableError,
    listed,
    tidy,
)
from qtui.stages.data.documents.document_cache import DocumentCache, key_of
from qtui.stages.data.documents.document_formats import extract
from qtui.stages.data.documents.documents import Documents
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.rows import Findings, Record
from tests.stages.data import hostile_documents as hostile

DOCS = Path(__file__).parents[3].parent / "shared" / "data" / "docs"
needs_docs = pytest.mark.skipif(not DOCS.is_dir(), reason="the folder of real documents is absent")
PASSWORDS = "QTUI_PDF_PASSWORD"


@dataclass(frozen=True)
class Expected:
    """Words that stand in the text in this order, words that do not, and the kinds of findings."""

    words: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    pages: tuple[int, ...] = (0,)
    headings: tuple[str, ...] = field(default=())


def udhr(title: str, *words: str) -> Expected:
    return Expected((f"# {title}", *words), ("<", "&nbsp;"), headings=(title,))


ICE = ("How Ice Cubes Make Drinks Colder", "Heat Transfer Basics", "thermal equilibrium")
SENTENCE_JA = "Python の開発は、1990 年ごろから開始されています。"

EXPECTED: dict[str, Expected] = {
    "docx/autogen_headings_table_images.docx": Expected(
        (
            "# AutoGen: Enabling Next-Gen LLM Applications via Multi-Agent Conversation",
            "# Abstract",
            "AutoGen is an open-source framework",
            "# Introduction",
            "Large language models (LLMs)",
        ),
        ("data:image",),
        headings=("Introduction",),
    ),
    "docx/blk-paras-and-tables.docx": Expected(
        ("Lorem ipsum", "Text before", "| Table |\n| Between |", "Text after", "Donec semper"),
        ("Copyright", "Left-side"),
        ("boilerplate",),
    ),
    "docx/hdr-header-footer.docx": Expected(
        ("section with header", "section without header of its own."),
        ("Footer for section",),
        ("boilerplate",),
    ),
    "docx/mammoth-empty.docx": Expected(findings=("no-text",)),
    "docx/mammoth-footnotes.docx": Expected(
        ("Ouch[1].[2]", "1. A tachyon walks into a bar.", "2. Fin."), ("↑",)
    ),
    "docx/mammoth-simple-list.docx": Expected(("- Apple\n- Banana",)),
    "docx/mammoth-tables.docx": Expected(("Above", "| Top left | Top right |", "Below")),
    "docx/par-hyperlinks.docx": Expected(("hyperlink",)),
    "docx/tbl-cell-access.docx": Expected(("| 1 | 2 | 3 |\n| 4 | 5 | 6 |\n| 7 | 8 | 9 |",)),
    "encodings/cpython_big5-utf8.txt": Expected(("如何在 Python",)),
    "encodings/cpython_big5.txt": Expected(("如何在 Python",), findings=("encoding",)),
    "encodings/cpython_euc_kr-utf8.txt": Expected(("파이썬(Python)은", "쓔쓔쓩")),
    "encodings/cpython_euc_kr.txt": Expected(
        ("파이썬(Python)은", "쓔쓔쓩"), findings=("encoding",)
    ),
    "encodings/cpython_gb18030-utf8.txt": Expected(("派森", "범용 컴퓨터")),
    "encodings/cpython_gb18030.txt": Expected(("派森", "범용 컴퓨터"), findings=("encoding",)),
    "encodings/cpython_iso2022_jp-utf8.txt": Expected((SENTENCE_JA,)),
    "encodings/cpython_iso2022_jp.txt": Expected((SENTENCE_JA,), findings=("encoding",)),
    "encodings/cpython_shift_jis-utf8.txt": Expected((SENTENCE_JA,)),
    "encodings/cpython_shift_jis.txt": Expected((SENTENCE_JA,), findings=("encoding",)),
    "encodings/docutils_utf-16-le-sig.rst": Expected(("Grüße",), findings=("encoding",)),
    "encodings/docutils_utf-16be.csv": Expected(('"Treat", "Quantity"',), findings=("encoding",)),
    "encodings/libxslt_news_latin1.html": Expected(
        ("# The XSLT C library for GNOME", "### v1.1.35: Feb 16 2022", "Jan Pokorný", "Jérôme"),
        findings=("encoding",),
        headings=("v1.1.34: Oct 30 2019",),
    ),
    "encodings/libxslt_xslt_latin1.html": Expected(
        ("# The XSLT C library for GNOME", "# libxslt", "# Introduction", "Jan Pokorný"),
        findings=("encoding",),
        headings=("libxslt",),
    ),
    "encodings/markitdown_mskanji_cp932.csv": Expected(("髙橋淳,35",), findings=("encoding",)),
    "html/udhr_arb.html": udhr("الإعلان العالمي لحقوق الإنسان", "الديباجة", "المادة 30"),
    "html/udhr_cmn_hans.html": udhr("世界人权宣言", "## 序言", "## 第三十条"),
    "html/udhr_eng.html": udhr(
        "Universal Declaration of Human Rights",
        "## Preamble",
        "Whereas recognition of the inherent dignity",
        "## Article 1",
        "All human beings are born free and equal",
        "## Article 30",
    ),
    "html/udhr_heb.html": udhr("הכרזה לכל באי עולם בדבר זכויות האדם", "סעיף א."),
    "html/udhr_jpn.html": udhr("『世界人権宣言』", "〈前文〉", "## 第１条", "## 第30条"),
    "html/udhr_pes_1.html": udhr("اعلامیه جهانی حقوق بشر", "## مقدمه", "## مادهٔ اول"),
    "pdf/borderless_table_report.pdf": Expected(("SPARSE-2024-INV-1234",), pages=(1,)),
    "pdf/broken_xref.pdf": Expected(("test example",), findings=("damaged",), pages=(1,)),
    "pdf/corrupted_zen_of_python.pdf": Expected(
        ("Beautiful is better than ugly.", "Namespaces are one honking great idea"), pages=(1,)
    ),
    "pdf/encrypted_aes256_user_foo_owner_bar.pdf": Expected(findings=("encrypted",)),
    "pdf/encrypted_libreoffice_openpassword.pdf": Expected(findings=("encrypted",)),
    "pdf/encrypted_owner_only_opens_without_password.pdf": Expected(
        ("pdf encryption test",), pages=(1,)
    ),
    "pdf/google_docs_table_emoji.pdf": Expected(
        ("Example document", "Population 273.879.750"), pages=(1,)
    ),
    "pdf/latex_outline_lorem.pdf": Expected(
        ("1 Foo 2", "1 Foo\nHello, here is some text without a meaning."),
        ("\n4\n",),
        ("boilerplate",),
        pages=(1, 2, 3),
    ),
    "pdf/multilingual_rtl_cjk_thai.pdf": Expected(
        ("مرحبا بالعالم", "Привет, мир", "你好世界", "สวัสดีชาวโลก", "こんにちは世界"), pages=(1,)
    ),
    "pdf/narrow_receipt.pdf": Expected(("TXN-98765",), pages=(1,)),
    "pdf/scanned_image_only_medical_report.pdf": Expected(findings=("no-text",)),
    "pdf/three_column_federal_register.pdf": Expected(
        ("DEPARTMENT OF TRANSPORTATION", "SUMMARY: The FAA proposes to\nsupersede"), pages=(1,)
    ),
    "pdf/two_column_asmeconf-template.pdf": Expected(
        (
            "ABSTRACT",
            "conference papers using the",  # set so tight that pypdf alone sees no spaces
            "style for reference\nformatting",
            "1. INTRODUCTION",
        ),
        ("Copyright © 2022 by ASME",),
        ("boilerplate",),
        pages=(1, 2, 3, 4, 5, 6),
    ),
    "text/autogen_blog.html": Expected(
        (
            "# Does Model and Inference Parameter Matter in LLM Applications?",
            "## Experiment Setup",
            "- gpt-3.5-turbo, a relatively cheap model",
            "## Experiment Results",
        ),
        ("Skip to main content", "Recent posts", "Copyright ©", "googletagmanager"),
        ("boilerplate",),
        headings=("Experiment Results",),
    ),
    "text/document_ice_cubes.html": Expected(ICE, ("<p>",), headings=(ICE[0],)),
    "text/document_ice_cubes.md": Expected(ICE, headings=(ICE[0],)),
    "text/document_ice_cubes.txt": Expected(ICE),
    "text/kubernetes_namespaces_ja.md": Expected(
        ("# Namespace(名前空間)", "## Namespaceを利用する"),
        ("<!--", "weight:"),
        ("boilerplate",),
        headings=("Namespace(名前空間)",),
    ),
    "text/kubernetes_namespaces_zh-cn.md": Expected(
        ("# 名字空间", "## 何时使用多个名字空间", "```shell"),
        ("<!--", "When to Use Multiple Namespaces"),
        ("boilerplate",),
        headings=("名字空间",),
    ),
}
KINDS = {".pdf": "pdf", ".docx": "docx", ".html": "html", ".md": "md"}


def source(path: Path, kind: str = "", **more: Any) -> Source:
    return Source(path.name, kind or KINDS.get(path.suffix, "txt"), path, **more)  # type: ignore


def read_all(
    sources: list[Source],
    *,
    cache: DocumentCache | None = None,
    processes: int = 1,
    **settings: Any,
) -> tuple[dict[str, list[Record]], Findings]:
    findings = Findings()
    config = DataConfig(**{"chunk_overlap": 0, **settings})
    with Documents(sources, config, processes=processes, cache=cache) as documents:
        found = {one.name: list(documents.read(one, findings)) for one in sources}
    return found, findings


def text_of(records: list[Record]) -> str:
    return "\n\n".join(record.value["text"] for record in records)


def about(findings: Findings, name: str) -> list[str]:
    return [finding.kind for finding in findings.kept if finding.source == name]


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> tuple[dict[str, list[Record]], Findings]:
    os.environ.pop(PASSWORDS, None)
    return read_all([source(DOCS / name) for name in EXPECTED], processes=2)


@needs_docs
@pytest.mark.parametrize("name", EXPECTED)
def test_real_documents(name: str, real: tuple[dict[str, list[Record]], Findings]) -> None:
    found, findings = real
    expected = EXPECTED[name]
    records = found[Path(name).name]
    text = text_of(records)
    place = 0
    for words in expected.words:
        place = text.find(words, place)
        assert place >= 0, (words, text[:2000])
    assert not [words for words in expected.absent if words in text]
    assert about(findings, Path(name).name) == list(expected.findings)
    assert bool(records) == bool(expected.words)
    assert sorted({record.page for record in records}) == sorted(expected.pages if records else ())
    assert [record.chunk for record in records] == list(range(1, len(records) + 1))
    above = {title for record in records for title in record.headings}
    assert above >= set(expected.headings)
    assert all(0 < len(record.value["text"]) <= 2000 for record in records)


@needs_docs
def test_every_real_document_has_an_expectation() -> None:
    files = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*") if p.is_file()}
    assert files - {"README.md"} == EXPECTED.keys()


@needs_docs
def test_a_finding_says_the_way_out(real: tuple[dict[str, list[Record]], Findings]) -> None:
    said = {finding.source: finding.message for finding in real[1].errors()}
    assert "run OCR on it first" in said["scanned_image_only_medical_report.pdf"]
    assert f"environment variable {PASSWORDS}" in said["encrypted_libreoffice_openpassword.pdf"]


@needs_docs
def test_passwords_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [source(path) for path in sorted((DOCS / "pdf").glob("encrypted_[al]*.pdf"))]
    monkeypatch.setenv(PASSWORDS, "wrong\nopenpassword\nfoo")
    found, findings = read_all(sources)
    assert [bool(records) for records in found.values()] == [True, True]
    assert not findings.kept
    monkeypatch.setenv(PASSWORDS, "wrong")
    found, findings = read_all(sources)
    assert not any(found.values())
    assert [finding.kind for finding in findings.kept] == ["encrypted"] * 2
    assert "wrong" not in " ".join(finding.message for finding in findings.kept)


def test_what_attacks_costs_only_itself(tmp_path: Path) -> None:
    whole = hostile.pdf(["Hello\nworld", "The second page"])
    files = {
        "first.pdf": (whole, ""),
        "bomb.docx": (hostile.docx_bomb(2**27), "over-budget"),
        "bomb.pdf": (hostile.pdf_bomb(), "unreadable"),
        "shared.pdf": (hostile.pages_that_share_a_stream(300), "over-budget"),
        "deep.pdf": (hostile.deep_pdf(), "unreadable"),
        "cut.pdf": (whole[:200], "unreadable"),
        "entities.docx": (hostile.docx_of_entities(), "unreadable"),
        "nothing.pdf": (b"", "empty-file"),
        "nothing.txt": (b"", "empty-file"),
        "blank.txt": (b" \n\f\n ", "no-text"),
        "binary.txt": (b"\x7fELF" + bytes(range(256)) * 8, "unreadable"),
        "old.docx": (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "unreadable"),
        "zip.docx": (b"PK\x03\x04 and nothing", "unreadable"),
        "last.txt": (b"The last one.", ""),
    }
    sources = []
    for name, (content, _) in files.items():
        (tmp_path / name).write_bytes(content)
        sources.append(source(tmp_path / name))
    sources.insert(5, source(tmp_path / "gone.txt"))
    before = psutil.Process().memory_info().rss
    found, findings = read_all(sources, document_seconds=2.5, processes=2)
    for name, (_, kind) in {**files, "gone.txt": (b"", "unreadable")}.items():
        assert about(findings, name) == [kind] * bool(kind), name
        assert bool(found[name]) == (not kind), name
    assert text_of(found["first.pdf"]) == "Hello\nworld\n\nThe second page"
    assert psutil.Process().memory_info().rss - before < 200 * 2**20
    said = {finding.source: finding.message for finding in findings.kept}
    assert "raise data.document_seconds" in said["shared.pdf"]
    assert "zip bomb" in said["bomb.docx"]
    assert "save it as DOCX" in said["old.docx"]


def test_memory_has_a_limit(tmp_path: Path) -> None:
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(2**29)
    small = tmp_path / "small.txt"
    small.write_text("Small.")
    found, findings = read_all([source(large), source(small)], document_memory_mb=256)
    assert text_of(found["small.txt"]) == "Small."
    [finding] = findings.kept
    assert finding.kind == "over-budget"
    assert "data.document_memory_mb" in finding.message


def test_content_counts_more_than_the_name(tmp_path: Path) -> None:
    contents = {
        "pdf.txt": hostile.pdf(["A page"]),
        "text.pdf": b"Only text.\n",
        "word.pdf": hostile.docx(hostile.paragraph("In Word")),
        "page.txt": b"<!doctype html><title>T</title><p>On a page",
    }
    sources = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        sources.append(source(tmp_path / name))
    found, findings = read_all(sources)
    assert [text_of(records) for records in found.values()] == [
        "A page",
        "Only text.",
        "In Word",
        "# T\n\nOn a page",
    ]
    assert [finding.kind for finding in findings.kept] == ["mislabelled"] * 4


def test_pages_that_are_scans_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mixed.pdf"
    path.write_bytes(hostile.pdf(["One", "", "", "", "Five"], images=frozenset({2, 3})))
    found, findings = read_all([source(path)])
    assert text_of(found["mixed.pdf"]) == "One\n\nFive"
    [finding] = findings.kept
    assert (finding.level, finding.kind) == ("note", "no-text")
    assert finding.message.startswith("pages 2–3 of 5 without a text layer")


def test_one_broken_page_does_not_end_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hostile.pdf(["One", "Two", "Three"])
    import pypdf

    original = pypdf.PageObject.extract_text

    def failing(page: Any, *args: Any, **options: Any) -> str:
        text = str(original(page, *args, **options))
        if "Two" in text:
            raise KeyError("/Widths")
        return text

    monkeypatch.setattr(pypdf.PageObject, "extract_text", failing)
    extracted = extract(whole, "pdf", keep_boilerplate=False)
    assert [(block.page, block.text) for block in extracted.blocks] == [(1, "One"), (3, "Three")]
    [note] = extracted.notes
    assert (note.level, note.kind) == ("warning", "unreadable-page")
    assert note.message.startswith("page 2 of 3 cannot be read")


def test_long_answers_do_not_pass_through_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    lines = [f"Line {number} of a long text, which says little.\n" for number in range(100_000)]
    path.write_text("".join(lines))
    found, findings = read_all([source(path)], remove_boilerplate=False)
    assert not findings.kept
    said = " ".join(text_of(found["long.txt"]).split())
    assert said == " ".join("".join(lines).split())


def test_compressed_texts_and_a_stream_that_is_cut_off(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.txt.gz", tmp_path / "cut.txt.gz"
    packed = gzip.compress(b"One line.\n" * 50 + os.urandom(20_000).hex().encode())
    whole.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) // 2])
    sources = [source(path, "txt", compression="gz") for path in (whole, cut)]
    found, findings = read_all(sources)
    assert all(text_of(records).startswith("One line.") for records in found.values())
    assert about(findings, "whole.txt.gz") == []
    assert about(findings, "cut.txt.gz") == ["damaged"]


def test_pieces_are_measured_in_tokens_of_the_run(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    path = tmp_path / "text.txt"
    path.write_text("five words in a sentence. " * 40)
    config = DataConfig(splitter="token", chunk_size=23, chunk_overlap=0)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        Documents([source(path)], config, processes=1)
    with Documents(
        [source(path)], config, processes=1, tokenizer_file=tmp_path / "tokenizer.json"
    ) as documents:
        records = list(documents.read(source(path), Findings()))
    assert [len(record.value["text"].split()) for record in records] == [20] * 10


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\x1b[2J\n\xff.txt"))
    path.write_text("Safe.")
    found, findings = read_all([source(path)])
    assert text_of(found[path.name]) == "Safe."
    assert not findings.kept


def test_documents_may_be_read_in_any_order_and_again(tmp_path: Path) -> None:
    sources = []
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"Document {number}.")
        sources.append(source(tmp_path / f"{number}.txt"))
    findings = Findings()
    with Documents(sources, DataConfig(), processes=2) as documents:
        for number in (0, 5, 4, 11, 11, 0, 1):
            [record] = documents.read(sources[number], findings)
            assert record.value == {"text": f"Document {number}."}
            assert (record.line, record.chunk) == (1, 1)


def test_leaving_ends_the_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shared.pdf"
    path.write_bytes(hostile.pages_that_share_a_stream(300))
    sources = [source(path), source(path, "txt")]
    this = psutil.Process()
    with Documents(sources, DataConfig(), processes=2) as documents:
        documents._ahead[0] = documents._threads.submit(documents._reply, 0)
        while not (children := this.children()):
            assert not documents._ahead[0].done()
    assert not [child for child in children if child.is_running()]
    assert documents._ahead[0].done()


def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(name)
    sources = [source(tmp_path / "one.txt"), source(tmp_path / "two.txt")]
    findings = Findings()
    with Documents(sources, DataConfig(), processes=1) as documents:
        [reader] = documents._readers
        child = reader._started()
        child.kill()
        child.process.wait()
        assert list(documents.read(sources[0], findings)) == []
        assert [record.value["text"] for record in documents.read(sources[1], findings)] == [
            "two.txt"
        ]
    [finding] = findings.kept
    assert (finding.level, finding.kind, finding.source) == ("error", "over-budget", "one.txt")


def test_the_cache_spares_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("<title>T</title><p>Some text.</p><nav>Menu</nav>")
    first = DocumentCache(tmp_path / "first")
    found, findings = read_all([source(path)], cache=first)
    [kept] = first.folder.iterdir()
    elsewhere = DocumentCache(tmp_path / "second", [tmp_path / "absent", first.folder])
    again, same = read_all([source(path)], cache=elsewhere)
    assert again == found
    assert same.kept == findings.kept
    [taken] = elsewhere.folder.iterdir()
    assert taken.stat().st_ino == kept.stat().st_ino
    read_all([source(path)], cache=elsewhere, remove_boilerplate=False)
    assert len([*elsewhere.folder.iterdir()]) == 2


def test_a_damaged_entry_of_the_cache_counts_as_absent(tmp_path: Path) -> None:
    cache, other = DocumentCache(tmp_path / "a"), DocumentCache(tmp_path / "b")
    key = key_of(b"bytes", 1, "pdf")
    assert key != key_of(b"bytes", 2, "pdf")
    assert cache.get(key) is None
    cache.put(key, b"the text")
    assert cache.get(key) == b"the text"
    [file] = cache.folder.iterdir()
    for damaged in (file.read_bytes()[:-1], b"", b"x" + file.read_bytes()):
        file.write_bytes(damaged)
        assert cache.get(key) is None
    other.put(key, b"the text")
    mended = DocumentCache(tmp_path / "a", [other.folder])
    assert mended.get(key) == b"the text"
    assert cache.get(key) == b"the text"


def read(content: bytes, kind: Any, *, keep: bool = False) -> Extracted:
    return extract(content, kind, keep_boilerplate=keep)


def test_word_headings_headers_and_plain_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    body = hostile.paragraph("The title", "Heading1") + hostile.paragraph("Words.")
    header = "<w:hdr>" + hostile.paragraph("On each page") + "</w:hdr>"
    styles = (
        '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        "</w:styles>"
    )
    content = hostile.docx(body, header1=header, styles=styles)
    assert read(content, "docx").blocks == [
        Block("# The title", 0, 1, "The title"),
        Block("Words."),
    ]
    assert read(content, "docx", keep=True).blocks[0] == Block("On each page")
    import mammoth

    def fails(*_: Any, **__: Any) -> None:
        raise KeyError("r:id")

    monkeypatch.setattr(mammoth, "convert_to_html", fails)
    plain = read(content, "docx")
    assert plain.blocks == [Block("The title\n\nWords.")]
    assert [note.kind for note in plain.notes] == ["damaged", "boilerplate"]


def test_markdown_headings_are_those_of_commonmark() -> None:
    text = (
        "---\ntitle: 'The front'\nweight: 3\n---\nBefore.\n\nUnder\n=====\n\n"
        "```sh\n# no heading\n```\n\n## Two {#anchor}\n\n<!-- a\n\ncomment -->\n\n"
        "> # quoted\n\n    # code\n"
    )
    extracted = read(text.encode(), "md")
    assert [(block.level, block.title) for block in extracted.blocks if block.level] == [
        (1, "The front"),
        (1, "Under"),
        (2, "Two"),
    ]
    assert [note.message for note in extracted.notes] == [
        "1 block of front matter, 1 comment removed"
    ]
    kept = read(text.encode(), "md", keep=True)
    assert "weight: 3" in kept.blocks[0].text
    assert "comment -->" in "".join(block.text for block in kept.blocks)


def test_form_feeds_are_pages() -> None:
    pages = [
        f"RFC 1 Title\n\n{'abcdef'[n] * 30} body {n * n}\n\nAuthor   [Page {n + 1}]"
        for n in range(6)
    ]
    extracted = read("\f".join(pages).encode(), "txt")
    assert [block.page for block in extracted.blocks] == [1, 2, 3, 4, 5, 6]
    assert all("RFC" not in block.text and "Page" not in block.text for block in extracted.blocks)


def test_damage_in_a_text_is_counted() -> None:
    extracted = read("Größe und Maß ".encode() * 9 + b"\xff.", "txt")
    assert [(note.level, note.kind) for note in extracted.notes] == [("warning", "undecodable")]
    with pytest.raises(UnreadableError, match="empty"):
        read(b"", "txt")


def test_halves_of_a_surrogate_pair_come_together() -> None:
    assert tidy("\ud83d\ude42 \ud83d x  \r\n") == "\U0001f642 \ufffd x"
    assert listed([1, 2, 3, 5, 9, 10]) == "1–3, 5, 9–10"
    assert re.search("others$", listed([*range(1, 40, 2)]))


def test_a_package_that_is_missing_is_named_with_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "find_spec", lambda name: None if name == "mammoth" else name)
    source = Source(str(tmp_path / "x.txt"), "txt", tmp_path / "x.txt")
    with pytest.raises(ImpossibleError, match="mammoth not installed") as refused:
        documents.Documents([source], DataConfig(), processes=1)
    assert "documents" in refused.value.remedy
    documents.Documents([], DataConfig(), processes=1)

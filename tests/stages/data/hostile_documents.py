"""Documents that attack or break their reader, made in a test; and small whole ones beside them."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

LINE = "BT /F1 12 Tf 72 {y} Td ({text}) Tj ET\n"
_FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"


def pdf(pages: list[str], *, images: frozenset[int] = frozenset()) -> bytes:
    """A PDF with a text for each page, a line for each of its lines; "" is a blank page.

    Pages in `images` (from 1) show a picture.
    """
    streams = []
    for text in pages:
        lines = [
            LINE.format(y=760 - 14 * number, text=line.replace("(", r"\(").replace(")", r"\)"))
            for number, line in enumerate(text.split("\n"))
            if line
        ]
        streams.append("".join(lines).encode("latin-1"))
    return _pdf(streams, images=images)


def _pdf(
    streams: list[bytes], *, images: frozenset[int] = frozenset(), packed: bool = False
) -> bytes:
    """A PDF whose pages have these content streams; equal ones are one object."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>", b"", _FONT.encode()]
    picture = b"\0" * 3
    objects.append(
        b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceRGB/BitsPerComponent 8"
        b"/Length 3>>\nstream\n" + picture + b"\nendstream"
    )
    numbers: dict[bytes, int] = {}
    kids = []
    for number, stream in enumerate(streams, 1):
        if stream not in numbers:
            body = stream if not packed else zlib.compress(stream, 9)
            extra = b"/Filter/FlateDecode" if packed else b""
            objects.append(b"<</Length %d%s>>\nstream\n%s\nendstream" % (len(body), extra, body))
            numbers[stream] = len(objects)
        shown = b"/XObject<</I 4 0 R>>" if number in images else b""
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R"
            b"/Resources<</Font<</F1 3 0 R>>%s>>>>" % (numbers[stream], shown)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(kids))
    return _written(objects)


def _written(objects: list[bytes]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(
        b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    )
    return out.getvalue()


def pages_that_share_a_stream(pages: int = 30, size: int = 2**20) -> bytes:
    """A PDF of a few KiB whose pages all show one long text."""
    line = LINE.format(y=700, text="the same words over and over again").encode()
    return _pdf([line * (size // len(line))] * pages, packed=True)


def pdf_bomb(size: int = 300 * 2**20) -> bytes:
    """A PDF whose page is `size` bytes of content, packed into a thousandth."""
    block = b" " * 2**20
    packer = zlib.compressobj(9)
    head = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    body = head + again * (size // len(block) - 1)  # each is packed without the one before
    whole = _pdf([b"PLACE"])
    old = b"<</Length 5>>\nstream\nPLACE\nendstream"
    new = b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(body), body)
    return whole.replace(old, new)


def deep_pdf(depth: int = 20_000) -> bytes:
    """A PDF whose page tree is arrays in arrays."""
    return _pdf([b"BT ET"]).replace(b"/MediaBox[0 0 612 792]", b"/MediaBox" + b"[" * depth)


_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="word/document.xml" Type="http://schemas.openxmlformats.org/'
    'officeDocument/2006/relationships/officeDocument"/></Relationships>'
)


def docx(body: str, **more: str) -> bytes:
    """A DOCX with this XML as its body; `more` are other parts by name (header1, footnotes)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        archive.writestr(
            "word/document.xml", f"<w:document {_WORD}><w:body>{body}</w:body></w:document>"
        )
        for name, text in more.items():
            archive.writestr(f"word/{name}.xml", text.replace("<w:hdr>", f"<w:hdr {_WORD}>"))
    return out.getvalue()


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of a DOCX."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def docx_bomb(size: int = 4 * 2**30) -> bytes:
    """A DOCX of a few MiB whose text unpacks to `size` bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("_rels/.rels", _RELATIONS)
        with archive.open("word/document.xml", "w", force_zip64=True) as file:
            block = b" " * 2**22
            for _ in range(size // len(block)):
                file.write(block)
    return out.getvalue()


def docx_of_entities() -> bytes:
    """A DOCX whose text is entities of entities: a billion letters."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE w:document [<!ENTITY e0 "laughs">{entities}]>'
    whole = zipfile.ZipFile(io.BytesIO(docx(paragraph("&e9;"))))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, bomb.encode() + content if "document" in name else content)
    return out.getvalue()


def write(folder: Path, **files: bytes) -> dict[str, Path]:
    """Write files named like `name_pdf` as name.pdf."""
    paths = {}
    for name, content in files.items():
        stem, suffix = name.rsplit("_", 1)
        paths[name] = folder / f"{stem}.{suffix}"
        paths[name].write_bytes(content)
    return paths

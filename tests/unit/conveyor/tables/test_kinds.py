"""What kind of file it is, and one line on what is no table."""

import io
import os
import threading
import zipfile
from pathlib import Path

import pytest

from conveyor.tables.errors import Unreadable
from conveyor.tables.kinds import Kind, kind_of
from conveyor.tables.table import opened_table


def archive(**members: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "/").replace("_", "."), text)
    return written.getvalue()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n\t\n", "empty"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF, no table"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a picture (PNG)"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a picture (JPEG)"),
        (b"GIF89a\x01\x00", "a picture (GIF)"),
        (b"\x1f\x8b\x08\x00abc", "compressed (gzip): unpack it"),
        (b"BZh91AY&SY", "compressed (bzip2)"),
        (b"\xfd7zXZ\x00\x00", "compressed (xz)"),
        (b"\x28\xb5\x2f\xfd\x04", "compressed (zstd)"),
        (b"7z\xbc\xaf\x27\x1c\x00", "an archive (7z)"),
        (b"PK\x05\x06" + b"\x00" * 18, "an empty archive"),
        (b"PK\x03\x04\x14\x00\x06\x00", "a damaged workbook or archive (zip)"),
        (archive(orders_csv="a,b\n"), "an archive (zip): unpack it"),
        (archive(word__document_xml="<x/>"), "a text document (docx)"),
        (archive(xl__workbook_bin="x"), "a binary workbook (xlsb)"),
        (archive(mimetype="application/vnd.oasis.opendocument.text", content_xml="<x/>"), "a document (application"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old workbook (xls) or one with a password"),
        (b"SQLite format 3\x00\x10", "a database (SQLite)"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"{\\rtf1\\ansi", "a text document (RTF)"),
        (b"<!DOCTYPE html>\n<table>", "a web page (HTML)"),
        (b'<?xml version="1.0"?><orders/>', "XML"),
        (b'[{"items": []}]', "a JSON document"),
        (bytes(range(256)) * 10, "binary, no table"),
        (b"InvoiceNo,StockCode\x00\n1,2\n", "binary, no table"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(raw: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as said:
        kind_of(io.BytesIO(raw))
    assert str(said.value).startswith(why)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"a,b\n", Kind.TEXT),
        ("a,b\n".encode("utf-16"), Kind.TEXT),
        ("InvoiceNo,StockCode\n".encode("utf-16-be"), Kind.TEXT),
        ("名前,b\n".encode("iso2022-jp"), Kind.TEXT),
        (b'\n{"number": "1"}\n', Kind.JSON_LINES),
    ],
)
def test_text_is_text_in_any_encoding(raw: bytes, kind: Kind) -> None:
    file = io.BytesIO(raw)
    assert kind_of(file) is kind
    assert file.tell() == 0


def test_what_is_no_file_is_said_by_its_name(tmp_path: Path) -> None:
    for file, why in ((tmp_path, "is a directory"), (tmp_path / "none.csv", "cannot be read: No such file")):
        with pytest.raises(Unreadable, match=why) as said, opened_table(file, lambda _: True):
            pass
        assert str(file) in str(said.value)


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("sku,price\nA,1\n",))
    writer.start()
    with opened_table(pipe, lambda titles: "sku" in titles) as table:
        assert [row.cells for row in table.rows()] == [row.cells for row in table.rows()] == [("A", "1")]
    writer.join()

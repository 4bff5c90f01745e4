"""What kind of file this is, by its first bytes: never by its name, which anybody may give."""

import zipfile
from enum import Enum
from typing import BinaryIO

from conveyor.tables.errors import Unreadable

#: So many bytes tell the kind.
HEAD = 65_536


class Kind(Enum):
    """The kinds of file that tables are read from."""

    TEXT = "text"
    JSON_LINES = "JSON lines"
    XLSX = "xlsx"
    ODS = "ods"


#: How files begin in which there is no table, and what they are.
NO_TABLE = (
    (b"%PDF", "a PDF, no table: export the data as CSV"),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG), no table"),
    (b"\xff\xd8\xff", "a picture (JPEG), no table"),
    (b"GIF8", "a picture (GIF), no table"),
    (b"\x1f\x8b", "compressed (gzip): unpack it"),
    (b"BZh", "compressed (bzip2): unpack it"),
    (b"\xfd7zXZ\x00", "compressed (xz): unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd): unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7z): unpack it"),
    (b"Rar!", "an archive (rar): unpack it"),
    (b"PK\x05\x06", "an empty archive (zip)"),
    (b"\xd0\xcf\x11\xe0", "an old workbook (xls) or one with a password: save it as xlsx or CSV, without a password"),
    (b"SQLite format 3\x00", "a database (SQLite), no table: export the data as CSV"),
    (b"PAR1", "a Parquet file, no table: export the data as CSV"),
    (b"{\\rtf", "a text document (RTF), no table: export the data as CSV"),
    (b"\x7fELF", "a program, no table"),
    (b"MZ\x90", "a program, no table"),
)
#: Members by which an archive is known, the kind, or what it is and what to do.
ARCHIVES: tuple[tuple[str, Kind | str], ...] = (
    ("xl/workbook.bin", "a binary workbook (xlsb): save it as xlsx or CSV"),
    ("xl/workbook.xml", Kind.XLSX),
    ("word/document.xml", "a text document (docx), no table: export the data as CSV"),
    ("ppt/presentation.xml", "a presentation (pptx), no table"),
    ("Index/Document.iwa", "a Numbers document: export it as xlsx or CSV"),
)
ODS = b"application/vnd.oasis.opendocument.spreadsheet"
#: Control characters that no text has, UTF-16 apart; ESC belongs to the encodings of ISO 2022.
_NO_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")) + b"\x7f"


def kind_of(file: BinaryIO) -> Kind:
    """The kind of this file, which is left at its beginning. Raises Unreadable with what it is otherwise."""
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise Unreadable("empty")
    for beginning, what in NO_TABLE:
        if head.startswith(beginning):
            raise Unreadable(what)
    if head.startswith(b"PK\x03\x04"):
        return _archive(file)
    return _text(head)


def _archive(file: BinaryIO) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            names = frozenset(archive.namelist())
            for member, what in ARCHIVES:
                if member in names:
                    return _kind(what)
            if "mimetype" in names and "content.xml" in names:
                mimetype = archive.read("mimetype").strip()
                if mimetype.startswith(ODS):
                    return Kind.ODS
                raise Unreadable(f"a document ({mimetype.decode('ascii', 'replace')[:80]}), no table")
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
        raise Unreadable("a damaged workbook or archive (zip): it is cut off, or no zip inside") from error
    finally:
        file.seek(0)
    raise Unreadable("an archive (zip): unpack it")


def _kind(what: Kind | str) -> Kind:
    if isinstance(what, Kind):
        return what
    raise Unreadable(what)


def _text(head: bytes) -> Kind:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or looks_like_utf16(head):
        return Kind.TEXT
    if any(each in head for each in _NO_TEXT):
        raise Unreadable("binary, no table")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<table")):
        raise Unreadable("a web page (HTML), no table: export the data as CSV")
    if start.startswith(b"<?xml"):
        raise Unreadable("XML, no table: export the data as CSV")
    if start.startswith((b"[{", b"[\n", b"[\r", b"[ ")):
        raise Unreadable("a JSON document, no table: write one order on each line (JSON lines)")
    return Kind.JSON_LINES if start.startswith(b"{") else Kind.TEXT


def looks_like_utf16(head: bytes) -> str:
    """The UTF-16 without a mark that these bytes are, by where their NULs stand; empty where they are not."""
    even, odd = head[:2000:2], head[1:2000:2]
    for encoding, nuls, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if nuls.count(0) > len(nuls) * 0.5 and not others.count(0):
            return encoding
    return ""

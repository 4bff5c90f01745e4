"""The bytes of a file that somebody names, and what is said where there is nothing in it to read."""

from pathlib import Path

from chassis.errors import ConveyorError

#: How files begin that people take for a CSV, and what to do with them.
NO_CSV = (
    (b"PK\x03\x04", "a spreadsheet or an archive, no CSV: save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet, no CSV: save the sheet as CSV"),
    (b"\x1f\x8b", "compressed: unpack it"),
    (b"%PDF", "a PDF, no CSV"),
)


class Unreadable(ConveyorError):
    """There is nothing in this file to read."""


def bytes_of(file: Path) -> bytes:
    """All that is in a file. Raises Unreadable where that is nothing, or surely no text."""
    if file.is_dir():
        raise Unreadable(f"{file} is a directory, not a file")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}") from error
    if not raw.strip():
        raise Unreadable(f"{file} is empty")
    for beginning, what in NO_CSV:
        if raw.startswith(beginning):
            raise Unreadable(f"{file} is {what}")
    return raw

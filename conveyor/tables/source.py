"""The file that somebody names, open for reading."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from conveyor.tables.errors import Unreadable


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The file, open at its beginning; what cannot be read twice, as a pipe, is kept in a temporary one.

    Raises Unreadable, in a line that names the file.
    """
    if file.is_dir():
        raise Unreadable(f"{file} is a directory, not a file")
    try:
        found = file.open("rb")
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}") from error
    with found:
        if found.seekable():
            yield found
            return
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(found, kept)
            kept.seek(0)
            yield kept

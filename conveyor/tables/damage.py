"""What the readers of workbooks raise where one is damaged: nearly anything, at any row."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from conveyor.tables.errors import Unreadable

#: A ParseError of XML is a SyntaxError; a password makes a RuntimeError or a NotImplementedError.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, SyntaxError, EOFError, OSError, LookupError, ValueError, TypeError),
    *(AttributeError, ArithmeticError, RuntimeError),
)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """While this is read. Raises Unreadable where it cannot be."""
    try:
        yield
    except DAMAGE as error:
        raise Unreadable(f"a damaged {what}, or one with a password") from error

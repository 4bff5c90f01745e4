"""What can go wrong with a table, before any row of it is used.

TableError
├── Unreadable   there is no table in this file; says what it is instead
├── NoHeader     a table perhaps, and not the wanted one
└── Uncertain    it can be read in more than one way; the operator has to say which
"""

from collections.abc import Sequence

from chassis.errors import ConveyorError


class TableError(ConveyorError):
    """There is nothing in this file that can be used."""


class Unreadable(TableError):
    """There is no table in this file."""


class NoHeader(TableError):
    """No line names the wanted columns."""


class Uncertain(TableError):
    """The file can be read in more than one way. The message names the option that says which one is meant.

    ``shown`` are lines for the operator to look at before he decides.
    """

    def __init__(self, question: str, shown: Sequence[str] = ()) -> None:
        super().__init__(question)
        self.shown = tuple(shown)

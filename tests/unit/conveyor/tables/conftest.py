"""Files to read tables from."""

from tests.unit.conveyor.workbooks import ods, xlsx

__all__ = ["ods", "xlsx"]

"""Ids in paths."""

from typing import Any
from uuid import UUID

from werkzeug.routing import BaseConverter, IntegerConverter, ValidationError

#: The largest serial number that a column holds.
LARGEST_SERIAL = 2**63 - 1


#: In ASCII, in its one way of writing, and of as many digits as a column holds: werkzeug's ``int`` takes any script's.
_SERIAL = "(?:0|[1-9][0-9]{0,18})"


class Serial(IntegerConverter):
    """``<int:number>``: a whole number."""

    regex = _SERIAL


class SerialOrUuid(BaseConverter):
    """``<serial_or_uuid:thing_id>``: the serial number of a thing, or the id that it is shown with."""

    regex = _SERIAL + r"|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"

    def to_python(self, value: str) -> int | UUID:
        """The serial number or the UUID. Raises ValidationError, which is a 404, for a number that no column holds."""
        if "-" in value:
            return UUID(value)
        if int(value) > LARGEST_SERIAL:
            raise ValidationError
        return int(value)


def describe_serial_or_uuid(_converter: Any) -> dict[str, Any]:
    """As an OpenAPI document has it."""
    return {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "integer", "minimum": 0}]}

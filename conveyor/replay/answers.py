"""What the operator has said about an order book."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator has said about a file, in the words of ``conveyor replay --help``; None is "find out"."""

    encoding: str | None = None
    sheet: str | None = None
    decimal: str | None = None
    dates: str | None = None
    format: str = "auto"
    mapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: str = "auto"
    keep_repeats: bool = False


NOTHING_SAID = Answers()

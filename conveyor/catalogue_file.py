"""A catalogue in a file: its products as the gateway takes them, and what was decided about them.

Read twice: first for what all numbers together say about how each one is written, then for the products. What has more
than one meaning raises Uncertain, whose message names the option that says which one is meant.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chassis.lookalikes import alike_before, difference
from conveyor.catalogue_columns import FIELDS, Header
from conveyor.catalogue_row import NoProduct, RowReader
from conveyor.client import JSON
from conveyor.replay.survey import CODES
from conveyor.tables.cells import Row, text_of
from conveyor.tables.errors import NoHeader, TableError, Uncertain
from conveyor.tables.numbers import NumberSurvey
from conveyor.tables.table import Asked, Table, opened_table

FIRST, LAST = "first", "last"
#: So many examples of what stands in a file twice are told.
EXAMPLES = 3


class CatalogueError(TableError):
    """The file is no catalogue."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator says about a file. ``repeats`` is FIRST, LAST or None; ``mapped`` are titles by field."""

    encoding: str | None = None
    sheet: str | None = None
    decimal: str | None = None
    repeats: str | None = None
    allow_lookalikes: bool = False
    mapped: Mapping[str, str] = field(default_factory=dict)


NOTHING_SAID = Answers()


@dataclass(slots=True)
class Catalogue:
    """``said``: what was decided, by its subject. ``products``: bodies of requests, by line number. ``refused`` and
    ``alike``: why a line is not sent, and which look like another and are sent all the same."""

    said: dict[str, str]
    products: dict[int, JSON] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    alike: dict[int, str] = field(default_factory=dict)
    repeated: dict[int, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """What was decided, and how many lines are not sent under which rule, a line each."""
        for subject, phrase in self.said.items():
            yield f"  {subject:<14}{phrase}"
        if self.refused:
            yield "  not sent"
        for rule, number in Counter(each.partition(":")[0] for each in self.refused.values()).most_common():
            yield f"{number:>12,}  {rule}"


def read_catalogue(file: Path, answers: Answers = NOTHING_SAID) -> Catalogue:
    """The catalogue in this file. Raises Unreadable, CatalogueError and Uncertain, in a line that names the file."""
    header = Header(answers.mapped)
    try:
        with opened_table(file, header, Asked(answers.encoding, answers.sheet)) as table:
            return _read(table, header, answers)
    except NoHeader as error:
        raise CatalogueError(f"{file} is {header.why_not()}") from error


def _read(table: Table, header: Header, answers: Answers) -> Catalogue:
    titles = [text_of(each) for each in table.header.cells]
    columns = header.columns(titles)
    numbers = _survey(table, columns)
    said = {"file": ", ".join(table.said), "columns": header.said(titles)}
    said["numbers"] = numbers.why(answers.decimal)
    if currency := _currency(numbers):
        said["currency"] = f"prices are in {currency}, and are taken as they stand"
    catalogue = Catalogue(said)
    reader = RowReader(columns, len(titles), numbers.decide(answers.decimal))
    for row in table.rows():
        _take(catalogue, reader, row, table.header)
    _settle_repeats(catalogue, answers.repeats)
    _settle_lookalikes(catalogue, answers.allow_lookalikes)
    said["products"] = f"{len(catalogue.products):,} to send"
    return catalogue


def _survey(table: Table, columns: Mapping[str, int]) -> NumberSurvey:
    numbers, width = NumberSurvey(), len(table.header.cells)
    for row in table.rows():
        if len(row.cells) >= width:
            numbers.take(row.cells[columns["price"]], row.number, money=True)
            if "stock" in columns:
                numbers.take(row.cells[columns["stock"]], row.number)
    return numbers


def _currency(numbers: NumberSurvey) -> str:
    """The currency that prices are in, empty where none is named. Raises Uncertain where there are several."""
    named = sorted({CODES.get(each, each.upper()) for each in numbers.currencies})
    if len(named) > 1:
        raise Uncertain(f"in several currencies ({', '.join(named)}), and a shop has one: give each a file of its own")
    return named[0] if named else ""


def _take(catalogue: Catalogue, reader: RowReader, row: Row, header: Row) -> None:
    if row.cells == header.cells:
        catalogue.refused[row.number] = "the header once more"
        return
    try:
        product = reader.product(row)
    except NoProduct as why:
        catalogue.refused[row.number] = str(why)
        return
    if product:
        catalogue.products[row.number] = product


def _settle_repeats(catalogue: Catalogue, answer: str | None) -> None:
    """Each SKU once. Rows that say the same are one; of others the operator says which one counts. Raises Uncertain."""
    lines: dict[str, list[int]] = {}
    for number, product in catalogue.products.items():
        lines.setdefault(product["sku"], []).append(number)
    repeats = {sku: numbers for sku, numbers in lines.items() if len(numbers) > 1}
    differ = {sku: each for sku, each in repeats.items() if len({repr(catalogue.products[n]) for n in each}) > 1}
    if differ and answer is None:
        told = "; ".join(f"{sku} in lines {_listed(numbers)}" for sku, numbers in [*differ.items()][:EXAMPLES])
        shown = [_shown(n, catalogue.products[n]) for numbers in [*differ.values()][:EXAMPLES] for n in numbers]
        raise Uncertain(
            f"not certain: {len(differ):,} SKUs stand in it more than once and not with the same ({told}). "
            f"Say --repeats {FIRST} or --repeats {LAST}",
            shown,
        )
    for numbers in repeats.values():
        kept = numbers[-1 if answer == LAST else 0]
        for number in numbers:
            if number != kept:
                catalogue.repeated[number] = kept
                del catalogue.products[number]
    if repeats:
        told = ", ".join(f"line {number} as line {kept}" for number, kept in [*catalogue.repeated.items()][:EXAMPLES])
        which = f"; of rows that differ the {answer} is sent, as --repeats says" if differ else ""
        more = ", ..." if len(catalogue.repeated) > EXAMPLES else ""
        how_many = f"{len(catalogue.repeated):,} left out, since another line has the SKU"
        catalogue.said["repeats"] = f"{how_many} ({told}{more}){which}"


def _settle_lookalikes(catalogue: Catalogue, allowed: bool) -> None:
    """SKUs that people would take for one another: refused, all but the first, unless that is allowed."""
    lines = {product["sku"]: number for number, product in catalogue.products.items()}
    for sku, other in alike_before(lines).items():
        number = lines[sku]
        why = f"{sku} looks like {other} of line {lines[other]}, {difference(sku, other)}"
        if allowed:
            catalogue.alike[number] = why
        else:
            catalogue.refused[number] = f"the SKU looks like another: {why} (--allow-lookalikes sends it)"
            del catalogue.products[number]
    if catalogue.alike:
        catalogue.said["look-alikes"] = f"{len(catalogue.alike):,} are sent all the same, as --allow-lookalikes says"


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _shown(number: int, product: JSON) -> str:
    return f"line {number}: " + ", ".join(f"{name} {product[key]}" for name, key in FIELDS.items() if product.get(key))

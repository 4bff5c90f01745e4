"""What was decided about an order book, in words: a phrase for each subject, in the order in which they are said."""

from collections.abc import Iterator

from conveyor.replay.answers import Answers
from conveyor.replay.book import Item, OpenBook
from conveyor.replay.columns import Columns, Header
from conveyor.replay.formats import FORMATS, UCI
from conveyor.replay.reading import Reading
from conveyor.replay.survey import Survey
from conveyor.tables.table import Table

#: So many orders, and lines of each, are shown of a book that is not sent.
SHOWN = 3


def no_header(header: Header, answers: Answers) -> str:
    """What is missing for an order book, and how to say what is what."""
    missing = ", ".join(header.lacking)
    plural = "s" * (len(header.lacking) > 1)
    known = "" if answers.format == "auto" else f" of the format {answers.format}"
    return (
        f"no order book{known}: no line names the column{plural} {missing}. --map {header.lacking[0]}=TITLE says what "
        f"one is called, --format NAME which export it is ({', '.join(FORMATS)})"
    )


def lines(book: OpenBook) -> Iterator[str]:
    """What was decided, and how many lines are dropped under which rule, a line each."""
    for subject, phrase in book.said.items():
        yield f"  {subject:<14}{phrase}"
    if book.reasons:
        yield "  dropped"
    for rule, number in book.reasons.items():
        yield f"{number:>12,}  {rule}"


def lookalikes(book: OpenBook, allowed: bool) -> str:
    """Stock codes that people take for one another, and what becomes of them; empty where there are none."""
    found = book.products.alike()
    if not found:
        return ""
    told = ", ".join(f"{code} like {other}" for code, other in [*found.items()][:SHOWN])
    more = ", ..." if len(found) > SHOWN else ""
    sent = "sent all the same, as --allow-lookalikes says"
    refused = "refused where the shop does not have them (--allow-lookalikes sends them)"
    return f"{len(found):,} stock codes look like another ({told}{more}): {sent if allowed else refused}"


def sample(book: OpenBook) -> Iterator[str]:
    """The first orders as they would be sent, a line each."""
    for invoice in book.invoices(SHOWN):
        items = [_item(item, book) for item in invoice.items[:SHOWN]]
        more = f", and {len(invoice.items) - SHOWN:,} more" if len(invoice.items) > SHOWN else ""
        yield f"  order {invoice.number}: {', '.join(items)}{more}"


def _item(item: Item, book: OpenBook) -> str:
    price = book.products[item.sku].price if item.sku in book.products else item.price
    return f"{item.quantity:,} x {item.sku or item.product_id}" + (f" at {price}" if price else "")


def of_table(table: Table, survey: Survey, answers: Answers, by_uci: bool) -> dict[str, str]:
    """What all rows together have told."""
    columns = survey.columns
    said = {"file": ", ".join(table.said), "format": _format(columns, answers), "columns": _columns(columns)}
    said["numbers"] = survey.numbers.why(answers.decimal)
    if currency := survey.currency():
        said["currency"] = f"prices are in {currency}, and are taken as they stand"
    dates = survey.dates.why()
    if survey.dates.untold and not survey.dates.order and survey.order(by_uci):
        dates = f"month first, as in every {'file of the UCI set' if by_uci else columns.format.name + ' export'}"
    elif survey.dates.untold and not survey.dates.order:
        dates += "; no order depends on it (--dates dmy or mdy says which)"
    if dates:
        said["dates"] = dates
    said["rules"] = _rules(survey, answers, by_uci)
    return said


def of_reading(reading: Reading, columns: Columns) -> dict[str, str]:
    """What the rows one by one have told."""
    said = {}
    if reading.followers:
        said["follow-ups"] = f"{reading.followers:,} without an order number belong to the order above them"
    if reading.keyed:
        said["no SKU"] = f"{reading.keyed:,} are known by their {columns.key_title} instead"
    return said


def _format(columns: Columns, answers: Answers) -> str:
    how = "as --format says" if answers.format != "auto" else "by its columns"
    mapped = ", and --map" if answers.mapped else ""
    return f"{columns.format.name}, {columns.format.about} ({how}{mapped})"


def _columns(columns: Columns) -> str:
    renamed = [
        f"{name} is {title!r}" if name.lower() != title.lower() else name for name, title in columns.titles.items()
    ]
    return ", ".join(renamed)


def _rules(survey: Survey, answers: Answers, by_uci: bool) -> str:
    if answers.rules != "auto":
        return f"{answers.rules}, as --rules says"
    if by_uci:
        return "uci: every order number is six digits, or C and six digits (--rules none drops nothing for its code)"
    if survey.columns.format.name == UCI.name and survey.other_invoice:
        return (
            f"none: {survey.other_invoice} is no order number of the UCI set (--rules uci drops its codes all the same)"
        )
    return "none: no line is dropped for its words or letters"

"""Is this row of an order book an order line? If not, why not?

The rules of the trade in one place: what a credit note looks like, which stock codes are no products, what counts as
a missing customer. Everything here is a pure function of one row.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from sys import intern

from conveyor.replay.table import Row

#: How exports spell "there is nothing here".
NOTHING = frozenset({"", "na", "n/a", "nan", "none", "null", "#n/a", "-"})

#: Stock codes under which tills book what is no product: postage, discounts, fees, samples, corrections.
NO_PRODUCT = frozenset(
    {"POST", "DOT", "D", "M", "S", "B", "C2", "C3", "BANK CHARGES", "AMAZONFEE", "AMAZON FEE", "CRUK"}
    | {"ADJUST", "ADJUST2", "TEST001", "TEST002", "DAMAGED", "DAMAGES"}
)

#: Descriptions that are a note of the warehouse, not the name of a product.
NOTE = re.compile(
    r"[\W_]*((water |wet |smoke )?damag(e|ed|es)( .*)?|wet|rusty?|mouldy?|broken|smashed|crushed|cracked|faulty"
    r"|lost|missing|found|check(ed)?|test|adjust(ed|ment)?|incorrect|wrongly.*|unsaleable.*|thrown away.*"
    r"|throw away|destroyed|counted|mailout|ebay|amazon|amazon fee|adjust bad debt)?[\W_]*",
    re.IGNORECASE,
)

#: How invoice dates are written; the month comes first where slashes are used, as in the UCI set.
DATES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%d")

#: Units of the currency; what a column of money holds.
LARGEST_PRICE = Decimal("9999999999.99")
LONGEST_CODE = 64
LONGEST_NAME = 200

_WHOLE = re.compile(r"^(\d+)\.0$", re.ASCII)
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)", re.ASCII)
#: Thousands apart, in groups of three: what is grouped otherwise may be meant otherwise.
_GROUPED = re.compile(r"-?[1-9]\d{0,2}((,\d{3})+(\.\d*)?|(\.\d{3})+,\d+)", re.ASCII)
_DECIMAL_COMMA = re.compile(r"-?\d+,\d{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice, as its row says it; ``customer`` is empty where nobody is named."""

    invoice: str
    sku: str
    name: str
    quantity: int
    customer: str
    country: str
    date: str


class NotAnOrderLine(Exception):
    """This row is no order line; the message says why."""


def order_line(row: Row, columns: Mapping[str, int], most: int) -> Line:
    """This row as an order line of at most ``most`` units. Raises NotAnOrderLine.

    ``columns`` says where each column of the Online Retail set stands. The price is only checked: an order carries
    none, and a line that was given away is still an order line.
    """
    invoice, sku = code(cell(row, columns, "invoiceno")), code(cell(row, columns, "stockcode"))
    name = words(cell(row, columns, "description"))
    _check_invoice(invoice)
    _check_product(sku, name)
    quantity = _quantity(cell(row, columns, "quantity"), most)
    _check_price(cell(row, columns, "unitprice"))
    return Line(
        invoice=intern(invoice),
        sku=intern(sku),
        name=intern(name),
        quantity=quantity,
        customer=intern(code(cell(row, columns, "customerid"))),
        country=intern(words(cell(row, columns, "country"))),
        date=cell(row, columns, "invoicedate"),
    )


def offer(row: Row, columns: Mapping[str, int]) -> tuple[str, Decimal] | None:
    """The stock code of this row and its price in full cents, None where it names no price above 0.

    Any row may tell a price, also one that is no order line.
    """
    price = amount(cell(row, columns, "unitprice"))
    if price is None or not 0 < price <= LARGEST_PRICE:
        return None
    cents = price.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return (code(cell(row, columns, "stockcode")), cents) if cents else None


def cell(row: Row, columns: Mapping[str, int], name: str) -> str:
    """What stands in this column; empty where there is no such column, or where it says that there is nothing."""
    at = columns.get(name)
    text = row.fields[at].strip() if at is not None else ""
    return "" if text.lower() in NOTHING else text


def code(text: str) -> str:
    """An identifier as it is meant: ``17850.0``, which is how spreadsheets write a number, is ``17850``."""
    text = words(text)
    return _WHOLE.sub(r"\1", text) if text.endswith(".0") else text


def words(text: str) -> str:
    """Text without characters that cannot be stored or shown, at most 200 of them, its spaces made one each."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:LONGEST_NAME].rstrip()


def amount(text: str) -> Decimal | None:
    """A number as people write it: ``2.55``, ``1,250.00``, ``1.250,00``, ``2,55``, ``£2.55``. None where it is none."""
    text = text.strip().lstrip("£$€").strip()
    if "," in text and not (_GROUPED.fullmatch(text) or _DECIMAL_COMMA.fullmatch(text)):
        return None
    if "." in text and "," in text:
        thousands, decimal = (",", ".") if text.rfind(".") > text.rfind(",") else (".", ",")
        text = text.replace(thousands, "").replace(decimal, ".")
    else:
        text = text.replace(",", "." if _DECIMAL_COMMA.fullmatch(text) else "")
    return Decimal(text) if len(text) <= 25 and _NUMBER.fullmatch(text) else None


def invoice_date(text: str) -> datetime | None:
    """When an invoice was written, None where that cannot be read."""
    for form in DATES:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None


def _check_invoice(invoice: str) -> None:
    if not invoice:
        raise NotAnOrderLine("no invoice number")
    if invoice[0] in "Cc":
        raise NotAnOrderLine("credit note: the invoice number begins with C")
    if len(invoice) > LONGEST_CODE:
        raise NotAnOrderLine(f"the invoice number is longer than {LONGEST_CODE} characters")


def _check_product(sku: str, name: str) -> None:
    if not sku:
        raise NotAnOrderLine("no stock code")
    if len(sku) > LONGEST_CODE:
        raise NotAnOrderLine(f"the stock code is longer than {LONGEST_CODE} characters")
    if sku.upper() in NO_PRODUCT:
        raise NotAnOrderLine(f"no product: {sku}")
    if name and NOTE.fullmatch(name):
        raise NotAnOrderLine(f"no product: the description is a note, {name!r}")


def _quantity(text: str, most: int) -> int:
    number = amount(text)
    if number is None:
        raise NotAnOrderLine(f"the quantity is no number: {text!r}" if text else "no quantity")
    if number != number.to_integral_value():
        raise NotAnOrderLine(f"the quantity is no whole number: {text}")
    if number <= 0:
        raise NotAnOrderLine(f"the quantity is {'negative' if number else 'zero'}: {text}")
    if number > most:
        raise NotAnOrderLine(f"the quantity is over {most:,}, the most of one line: {text}")
    return int(number)


def _check_price(text: str) -> None:
    price = amount(text or "0")
    if price is None:
        raise NotAnOrderLine(f"the price is no number: {text!r}")
    if price < 0:
        raise NotAnOrderLine(f"the price is negative: {text}")
    if price > LARGEST_PRICE:
        raise NotAnOrderLine(f"the price is over {LARGEST_PRICE:,}: {text}")

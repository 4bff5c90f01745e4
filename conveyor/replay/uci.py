"""What the till of one shop in the UCI Online Retail set books under its own codes, and how that shop is recognised.

Its columns do not tell: many files have the same ones. Its numbers do: each order has six digits, each credit note C
and six digits.
"""

import re

#: Stock codes of what is no product: postage, discounts, fees, samples, corrections.
NO_PRODUCT = frozenset(
    {"POST", "DOT", "D", "M", "S", "B", "C2", "C3", "BANK CHARGES", "AMAZONFEE", "AMAZON FEE", "CRUK"}
    | {"ADJUST", "ADJUST2", "TEST001", "TEST002", "DAMAGED", "DAMAGES"}
)

#: Descriptions that are a note of the warehouse where there is no price, not the name of a product.
NOTE = re.compile(
    r"[\W_]*((water |wet |smoke )?damag(e|ed|es)( .*)?|wet|rusty?|mouldy?|broken|smashed|crushed|cracked|faulty"
    r"|lost|missing|found|check(ed)?|test|adjust(ed|ment)?|incorrect|wrongly.*|unsaleable.*|thrown away.*"
    r"|throw away|destroyed|counted|mailout|ebay|amazon|amazon fee|adjust bad debt)?[\W_]*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[Cc]?\d{6}", re.ASCII)
_CREDIT_NOTE = re.compile(r"[Cc]\d+", re.ASCII)


def is_number(invoice: str) -> bool:
    """Whether an order of this shop may have this number."""
    return _NUMBER.fullmatch(invoice) is not None


def is_credit_note(invoice: str) -> bool:
    """Whether this is the number of a credit note."""
    return _CREDIT_NOTE.fullmatch(invoice) is not None

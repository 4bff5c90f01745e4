"""The order books that are known: which columns they have, and what these mean to us.

An order book has a row for each product of an order. What the columns are called differs from shop to shop, and so do
a few habits: a price may be that of the whole line, a row may be one unit, an order may be marked as cancelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from conveyor.tables.dates import MDY

#: What an order book tells, by the names that ``--map`` takes. These are the columns of the UCI set, and three more:
#: a price of the whole line instead of one unit's, a currency, and what became of the order.
FIELDS = (
    *("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"),
    *("LinePrice", "Currency", "Status"),
)
#: What ``Status`` says of an order that is none any more. A date under ``Cancelled at`` says so by being there.
CANCELLED = frozenset({"cancelled", "canceled", "failed", "refunded", "voided", "trash"})


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of order book. ``titles`` are the columns of each field, the first that is there counts.

    ``key``: the field whose value stands for a missing StockCode. ``one_each``: a row is one unit. ``dates``: the
    order of day and month where the file does not tell. ``marks``: titles that only this kind has.
    """

    name: str
    about: str
    titles: Mapping[str, tuple[str, ...]]
    needed: tuple[str, ...]
    marks: tuple[str, ...] = ()
    key: str = ""
    one_each: bool = False
    dates: str | None = None


UCI = Format(
    "uci",
    "the columns of the UCI Online Retail set",
    {
        "InvoiceNo": ("InvoiceNo", "Invoice"),
        "StockCode": ("StockCode",),
        "Description": ("Description",),
        "Quantity": ("Quantity",),
        "InvoiceDate": ("InvoiceDate",),
        "UnitPrice": ("UnitPrice", "Price"),
        "CustomerID": ("CustomerID", "Customer"),
        "Country": ("Country",),
    },
    needed=("InvoiceNo", "StockCode", "Quantity", "UnitPrice"),
)
SHOPIFY = Format(
    "shopify",
    "Shopify, Orders, Export",
    {
        "InvoiceNo": ("Name",),
        "StockCode": ("Lineitem sku",),
        "Description": ("Lineitem name",),
        "Quantity": ("Lineitem quantity",),
        "InvoiceDate": ("Created at",),
        "UnitPrice": ("Lineitem price",),
        "CustomerID": ("Email",),
        "Country": ("Shipping Country", "Billing Country"),
        "Currency": ("Currency",),
        "Status": ("Cancelled at",),
    },
    needed=("InvoiceNo", "Description", "Quantity", "UnitPrice"),
    key="Description",
)
WOOCOMMERCE = Format(
    "woocommerce",
    "WooCommerce, Advanced Order Export, a row for each product",
    {
        "InvoiceNo": ("Order Number", "Order ID"),
        "StockCode": ("SKU",),
        "Description": ("Item Name", "Product Name", "Name"),
        "Quantity": ("Quantity (- Refund)", "Quantity"),
        "InvoiceDate": ("Order Date",),
        "UnitPrice": ("Item Cost",),
        "CustomerID": ("Email (Billing)", "Customer Email", "Email"),
        "Country": ("Country Name (Shipping)", "Country Code (Shipping)", "Country Code (Billing)"),
        "Currency": ("Order Currency", "Currency"),
        "Status": ("Order Status",),
    },
    needed=("InvoiceNo", "Description", "Quantity", "UnitPrice"),
    marks=("Item Cost",),
    key="Description",
)
OLIST = Format(
    "olist",
    "Olist, olist_order_items_dataset.csv: a row for each unit",
    {
        "InvoiceNo": ("order_id",),
        "StockCode": ("product_id",),
        "Description": ("product_name",),
        "InvoiceDate": ("order_purchase_timestamp",),
        "UnitPrice": ("price",),
        "CustomerID": ("customer_unique_id", "customer_id"),
        "Status": ("order_status",),
    },
    needed=("InvoiceNo", "StockCode", "UnitPrice"),
    marks=("order_item_id", "freight_value"),
    one_each=True,
)
AMAZON = Format(
    "amazon",
    "Amazon Seller Central, Order Reports",
    {
        "InvoiceNo": ("order-id", "amazon-order-id"),
        "StockCode": ("sku",),
        "Description": ("product-name", "item-name"),
        "Quantity": ("quantity-purchased", "quantity"),
        "InvoiceDate": ("purchase-date",),
        "LinePrice": ("item-price",),
        "CustomerID": ("buyer-email",),
        "Country": ("ship-country",),
        "Currency": ("currency",),
        "Status": ("order-status",),
    },
    needed=("InvoiceNo", "StockCode", "Quantity", "LinePrice"),
)
ETSY = Format(
    "etsy",
    "Etsy, Download Data, Order Items",
    {
        "InvoiceNo": ("Order ID",),
        "StockCode": ("SKU",),
        "Description": ("Item Name",),
        "Quantity": ("Quantity",),
        "InvoiceDate": ("Sale Date",),
        "UnitPrice": ("Price",),
        "CustomerID": ("Buyer",),
        "Country": ("Ship Country",),
        "Currency": ("Currency",),
    },
    needed=("InvoiceNo", "Description", "Quantity", "UnitPrice"),
    marks=("Sale Date",),
    key="Description",
    dates=MDY,
)
FORMATS = {each.name: each for each in (UCI, SHOPIFY, WOOCOMMERCE, OLIST, AMAZON, ETSY)}

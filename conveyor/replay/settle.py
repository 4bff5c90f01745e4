"""Which of a book's orders are orders? Looked at when all of its lines are there.

| what                                                     | comes to                                        |
|----------------------------------------------------------|-------------------------------------------------|
| an order's whole block stands there again, line for line | the repeat is dropped, and told                 |
| two blocks of an order have some lines in common, or a   |                                                 |
| block is the same few lines again and again              | refused: a part of it may be there twice        |
| one number, two customers                                | refused: ten orders may have been rounded to one |
| one number and customer, an hour or more apart           | refused                                         |
| a product that nowhere has a price                       | its lines are dropped                           |

``--repeats keep`` adds up what stands there twice. What is refused is listed with every line that it has.
"""

from collections.abc import Callable

from conveyor.replay.store import Store, counted, texts
from conveyor.tables.errors import Uncertain

#: Seconds: lines of one order whose times are less than this apart are one order, as in real books.
HOUR = 3_600

_SPANS = """
SELECT invoice, COALESCE(MAX(day_first) - MIN(day_first), 0) AS one,
       COALESCE(MAX(month_first) - MIN(month_first), 0) AS other
FROM lines GROUP BY invoice
"""
#: The orders whose rows stand at several places.
_IN_PIECES = "SELECT invoice FROM blocks GROUP BY invoice HAVING COUNT(*) > 1"


def settle(store: Store, *, keep_repeats: bool) -> dict[str, list[str]]:
    """Drop and refuse as above, make the tables ``orders`` and ``products``, and say what was found, by subject.

    Raises Uncertain.
    """
    store.execute("CREATE INDEX by_invoice ON lines (invoice, id)")
    said: dict[str, list[str]] = {"repeats": [], "refused": [], "numbers alike": []}
    _repeats(store, keep_repeats, said["repeats"].append)
    _refuse_shared_numbers(store)
    _refuse_distant_times(store)
    refused = store.execute(
        "SELECT DISTINCT invoice FROM lines WHERE invoice IN (SELECT invoice FROM refused)"
    ).fetchall()
    reason = "(SELECT 'order refused, ' || reason FROM refused WHERE refused.invoice = lines.invoice)"
    dropped = store.drop("invoice IN (SELECT invoice FROM refused)", reason)
    if dropped:
        orders = counted(len(refused), "order")
        said["refused"].append(f"{orders} as a whole ({texts(refused)}), {counted(dropped, 'line')}")
    store.drop(
        "product_id = '' AND sku NOT IN (SELECT sku FROM prices)",
        "'no price: ' || sku || ' has none above 0 anywhere in the book'",
    )
    store.execute(
        "CREATE TABLE orders AS SELECT invoice, MIN(id) AS first, COUNT(*) AS items, SUM(quantity) AS units FROM lines "
        "GROUP BY invoice ORDER BY first"
    )
    store.execute("CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT, price TEXT, demand INTEGER)")
    store.execute(
        "INSERT INTO products SELECT sku, COALESCE(names.name, sku), prices.price, SUM(quantity) FROM lines "
        "JOIN prices USING (sku) LEFT JOIN names USING (sku) WHERE product_id = '' GROUP BY sku ORDER BY MIN(id)"
    )
    zeros = "SELECT group_concat(invoice, ' and ') FROM orders WHERE ltrim(invoice, '0') <> '' "
    alike = store.execute(zeros + "GROUP BY ltrim(invoice, '0') HAVING COUNT(*) > 1").fetchall()
    if alike:
        said["numbers alike"].append(f"{texts(alike)} differ by leading zeros only, and are different orders")
    return said


def _repeats(store: Store, keep: bool, say: Callable[[str], None]) -> None:
    store.execute("CREATE TABLE repeats (id INTEGER PRIMARY KEY, invoice TEXT, first INTEGER, original INTEGER)")
    store.execute(
        "INSERT INTO repeats SELECT id, invoice, first, MIN(first) OVER (PARTITION BY invoice, digest) FROM blocks "
        f"WHERE invoice IN ({_IN_PIECES})"
    )
    store.execute("DELETE FROM repeats WHERE first = original OR id NOT IN (SELECT block FROM lines)")
    found = store.execute("SELECT DISTINCT invoice FROM repeats ORDER BY first").fetchall()
    what = f"{counted(len(found), 'order')} exactly as before at another place ({texts(found)})"
    if keep:
        if found:
            say(f"{what}: added up, as --repeats keep says")
        return
    if found:
        reason = "'a repeat: the lines from line ' || (SELECT original FROM repeats WHERE id = block) || ' on again'"
        dropped = store.drop("block IN (SELECT id FROM repeats)", reason)
        say(f"{what}: {counted(dropped, 'line')} not sent again (--repeats keep adds them up)")
    store.execute(
        "INSERT OR IGNORE INTO refused SELECT invoice, 'its lines stand there twice, one set behind the other: "
        "--repeats keep adds them up' FROM blocks WHERE doubled"
    )
    store.execute(
        "INSERT OR IGNORE INTO refused SELECT invoice, 'some of its lines stand at two places, so a part of it may be "
        f"there twice: --repeats keep adds them up' FROM lines WHERE invoice IN ({_IN_PIECES}) "
        "GROUP BY invoice, raw HAVING COUNT(DISTINCT block) > 1"
    )


def _refuse_shared_numbers(store: Store) -> None:
    customers = "COUNT(DISTINCT NULLIF(lower(customer || customer_id), ''))"
    store.execute(
        f"INSERT OR IGNORE INTO refused SELECT invoice, {customers} || ' customers under one number' "
        f"FROM lines GROUP BY invoice HAVING {customers} > 1"
    )


def _refuse_distant_times(store: Store) -> None:
    unknown = store.execute(f"SELECT invoice FROM ({_SPANS}) WHERE (one < ?) <> (other < ?)", HOUR, HOUR).fetchall()
    if unknown:
        raise Uncertain(
            f"not certain in its dates: day and month cannot be told apart, and whether {texts(unknown)} is one order "
            "depends on them. Say --dates dmy or --dates mdy"
        )
    store.execute(
        "INSERT OR IGNORE INTO refused SELECT invoice, 'its lines are an hour or more apart' "
        f"FROM ({_SPANS}) WHERE one >= ? AND other >= ?",
        *(HOUR, HOUR),
    )

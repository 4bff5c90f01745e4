"""A million lines are read in at most 300 MiB, whatever orders they make."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LINES = 1_000_000
MOST_MIB = 300
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def row(number: int, order: int) -> str:
    product = number * 7919 % 30_000
    when = f"2026-{order % 12 + 1:02}-{order % 28 + 1:02} {order % 24:02}:00:00"
    name = f"Product {product} of a large catalogue"
    return f"L-{order},SKU-{product},{name},{number % 9 + 1},{when},{product % 90 + 1}.50,{order % 70_000},Norway\n"


def of_twenty_lines() -> Iterator[str]:
    yield HEADER
    yield from (row(number, number // 20) for number in range(LINES))


def of_one_line() -> Iterator[str]:
    yield HEADER
    yield from (row(number, number) for number in range(LINES))


def joined_twice() -> Iterator[str]:
    yield HEADER
    for _ in range(2):
        yield from (row(number, number // 20) for number in range(LINES // 2))


def all_dropped() -> Iterator[str]:
    yield HEADER
    yield from (row(number, number // 20).replace(",Norway", "") for number in range(LINES))


def of_a_million_products() -> Iterator[str]:
    yield HEADER
    yield from (row(number, number // 20).replace(",SKU-", f",SKU-{number}-") for number in range(LINES))


def json_lines() -> Iterator[str]:
    for number in range(LINES // 20):
        items = [{"sku": f"SKU-{number * 20 + at}", "quantity": 1, "price": "2.50"} for at in range(20)]
        yield json.dumps({"number": f"J-{number}", "customer": f"c{number}@example.com", "items": items}) + "\n"


@pytest.mark.parametrize(
    "book", [of_twenty_lines, of_one_line, joined_twice, all_dropped, of_a_million_products, json_lines]
)
def test_a_million_lines_are_read_in_300_mib(book, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    with file.open("w") as written:
        written.writelines(book())
    command = [sys.executable, "-m", "conveyor", "replay", str(file), "--dry-run"]
    environment = {**os.environ, "CONVEYOR_STATE_DIR": str(tmp_path / "none")}
    reading = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert reading.stdout is not None
    with reading.stdout:
        told = reading.stdout.read()
    _, status, usage = os.wait4(reading.pid, 0)
    reading.returncode = os.waitstatus_to_exitcode(status)
    print(f"{book.__name__}: {usage.ru_maxrss // 1024} MiB, {usage.ru_utime + usage.ru_stime:.0f} s of CPU")
    assert f"{LINES // 20 if book is json_lines else LINES:,} lines" in told
    assert usage.ru_maxrss <= MOST_MIB * 1024

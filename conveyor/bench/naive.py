"""The tutorial's pipeline, measured on the same servers: what a multiple is a multiple of."""

import importlib.util
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import urllib3

from chassis.errors import ConveyorError
from conveyor.bench import book
from conveyor.bench.measure import Measured, measure
from conveyor.bench.pipeline import Pipeline
from conveyor.bench.run import PLACED, WARM_UP, Bench, Document, NotMeasured, wrong_statuses
from conveyor.bench.servers import Servers
from conveyor.bench.shop import ordinary
from conveyor.bench.sql import connect
from conveyor.embedded.ports import free_ports
from conveyor.embedded.processes import inherited, tail
from conveyor.replay.book import Book

DATABASES = ("naive_sales", "naive_inventory", "naive_delivery")
QUEUES = ("inventory_check", "inventory_response", "stock_reservation", "delivery", "order_status")
NEEDED = ("gunicorn", "requests")
START_PATIENCE = 60.0


def naive(bench: Bench) -> Document:
    """The ordinary load, on the naive pipeline. Raises NotMeasured, LoadFailed."""
    chosen = bench.options
    count = min(chosen.orders, chosen.naive_orders)
    products = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"p{number}")) for number in range(chosen.products)]
    with _running(bench) as (pipeline, _):
        customer = str(uuid.uuid4())
        warm_up = ordinary(pipeline.url, customer, products, min(WARM_UP, count), chosen.lines, naive=True)
        measure(pipeline, customer, warm_up, chosen.clients, "orders to warm up")
        requests = ordinary(pipeline.url, customer, products, count, chosen.lines, naive=True)
        measured = measure(pipeline, customer, requests, chosen.clients, "naive orders")
    bench.latencies["naive"] = measured.answers.took
    return _told(measured, count)


def naive_replay(bench: Bench) -> Document:
    """The order book, on the naive pipeline. Raises NotMeasured, LoadFailed."""
    read = book.read(bench.options)
    with _running(bench) as (pipeline, inventory):
        customer, ids = str(uuid.uuid4()), {sku: str(uuid.uuid4()) for sku in read.products}
        _stock(inventory, read, ids)
        warm_up = book.requests(pipeline.url, read, ids, customer, naive=True)[:WARM_UP]
        measure(pipeline, customer, warm_up, bench.options.clients, "orders to warm up")
        requests = book.requests(pipeline.url, read, ids, customer, naive=True)
        measured = measure(pipeline, customer, requests, bench.options.clients, "naive orders of the book")
    return _told(measured, len(requests))


def _told(measured: Measured, count: int) -> Document:
    return measured.document() | {"wrong": wrong_statuses(measured, {PLACED: count})}


def _stock(inventory: str, read: Book, ids: Mapping[str, str]) -> None:
    rows = [(ids[sku], each.name, each.price, 2 * each.demand) for sku, each in read.products.items()]
    with closing(connect(inventory)) as connection, connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO products VALUES (%s, %s, %s, %s, 'active')", rows)


@contextmanager
def _running(bench: Bench) -> Iterator[tuple[Pipeline, str]]:
    """It runs as its README says; gives it and the URL of its inventory. Raises NotMeasured, ConveyorError."""
    code = baseline(bench, "naive/app.py").parent
    missing = [each for each in NEEDED if importlib.util.find_spec(each) is None]
    if missing:
        raise NotMeasured(f"{' and '.join(missing)} missing: pip install 'conveyor[bench]', or make bench")
    ports, servers = free_ports(), Servers(bench.settings)
    sales, gateway = next(ports), next(ports)
    with ExitStack() as stack:
        databases = stack.enter_context(servers.databases(*DATABASES))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conveyor-naive-")))
        environment = inherited() | {
            "NAIVE_PG": databases.replace("postgresql:", "postgresql+psycopg2:"),
            "NAIVE_BROKER": stack.enter_context(servers.broker("naive")),
            "NAIVE_REDIS": stack.enter_context(servers.cache()),
            "NAIVE_SALES": f"http://127.0.0.1:{sales}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        subprocess.run([sys.executable, "app.py"], cwd=code, env=environment, check=True)
        web = ("gunicorn", "-k", "gthread", "--threads", "8", "-w", "1")
        queues = ",".join(f"naive_{each}_queue" for each in QUEUES)
        commands = {
            "naive sales": (*web, "app:sales", "-b", f"127.0.0.1:{sales}"),
            "naive gateway": (*web, "app:gateway", "-b", f"127.0.0.1:{gateway}"),
            "naive worker": ("celery", "-A", "app:celery", "worker", "-c", "2", "-Q", queues),
        }
        pids = {
            name: stack.enter_context(_process(command, code, environment, folder / f"{name}.log"))
            for name, command in commands.items()
        }
        url = f"http://127.0.0.1:{gateway}"
        _await(f"{url}/orders/{uuid.uuid4()}", folder)
        yield (
            Pipeline(url, databases.format("naive_sales"), lambda: {**bench.shop.processes(), **pids}),
            databases.format("naive_inventory"),
        )


def baseline(bench: Bench, file: str) -> Path:
    """A file of the baseline's. Raises NotMeasured where none was given, or it is not there."""
    folder = bench.options.baseline
    if folder is None:
        raise NotMeasured("BASELINE names no folder with the naive pipeline and the ceiling")
    if not (folder / file).exists():
        raise NotMeasured(f"there is no {folder / file}")
    return folder / file


@contextmanager
def _process(command: tuple[str, ...], code: Path, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=code, env=dict(environment), stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(url: str, logs: Path) -> None:
    """Until gateway and sales answer: an order that does not exist is not found."""
    deadline = time.monotonic() + START_PATIENCE
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        while True:
            try:
                if pool.request("GET", url).status == 404:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise ConveyorError(f"the naive pipeline does not answer:\n{''.join(map(tail, logs.iterdir()))}")
            time.sleep(0.1)

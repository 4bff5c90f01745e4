"""The ceiling: the durable writes of an order in SQL alone, on the same PostgreSQL. No HTTP, no broker, no Python."""

import os
import re
import subprocess
from contextlib import closing

from sqlalchemy import make_url

from chassis.errors import ConveyorError
from conveyor.bench import cpu
from conveyor.bench.naive import baseline
from conveyor.bench.run import Bench, Document, NotMeasured
from conveyor.bench.servers import Servers
from conveyor.bench.sql import connect
from conveyor.embedded.postgres import binaries

DATABASE = "naive_limit"
SECONDS = 15


def ceiling(bench: Bench) -> Document:
    """Orders/s that pgbench writes with as many clients. Raises NotMeasured, ConveyorError."""
    script, schema = baseline(bench, "limit/order.sql"), baseline(bench, "limit/schema.sql")
    pgbench = binaries() / "pgbench"
    if not pgbench.exists():
        raise NotMeasured(f"{pgbench.parent} has no pgbench")
    with Servers(bench.settings).databases(DATABASE) as urls:
        url = make_url(urls.format(DATABASE))
        _run_script(urls.format(DATABASE), schema.read_text())
        command = [str(pgbench), "-n", "-M", "simple", "-f", str(script), "-c", str(bench.options.clients), "-j", "2"]
        command += ["-T", str(SECONDS), "-h", str(url.host), "-p", str(url.port), "-U", str(url.username), DATABASE]
        processes = bench.shop.processes()
        before = cpu.look(processes)
        done = subprocess.run(
            command, env=os.environ | {"PGPASSWORD": str(url.password)}, capture_output=True, text=True
        )
        used = cpu.look(processes).since(before)
        rate = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
        if done.returncode or rate is None:
            raise ConveyorError(f"pgbench failed: {done.stderr or done.stdout}")
        orders = _run_script(urls.format(DATABASE), "SELECT count(*) FROM orders WHERE status = 'Pending Shipment'")
    return {
        "completed_per_second": float(rate[1]),
        "orders": orders,
        "seconds": SECONDS,
        "command": " ".join(["pgbench", *command[1:-7]]),
        "postgres_cpu_ms_per_order": round(1_000 * used.kinds.get("postgres", 0.0) / max(orders, 1), 3),
    }


def _run_script(url: str, sql: str) -> int:
    """Run SQL, and return the number that it ends with, if it does."""
    with closing(connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return int(row[0]) if row else 0

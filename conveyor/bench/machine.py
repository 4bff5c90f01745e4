"""What was measured, and on what: machine, versions, settings."""

import os
import platform
import subprocess
from contextlib import closing
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg2
import redis
from amqp.exceptions import AMQPError
from redis.exceptions import RedisError

from chassis.errors import ConveyorError
from chassis.settings import Settings
from conveyor.bench.sql import connect
from conveyor.broker import is_stand_in
from conveyor.stack import GUARDED

#: What the database is asked about itself.
SHOWN = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers",
         "max_wal_size", "max_connections")  # fmt: skip


def document(settings: Settings) -> dict[str, Any]:
    """All of it. Raises ConveyorError where a server is away."""
    try:
        return {
            "machine": machine(),
            "versions": versions(settings),
            "postgresql": postgres(settings.database_url("sales")),
            "settings": chosen(settings),
            "queues": queues(settings),
        }
    except (psycopg2.Error, RedisError, AMQPError, OSError) as error:
        raise ConveyorError(f"a server cannot be asked what it is: {error}") from error


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(settings: Settings) -> dict[str, str]:
    """Of everything that has one."""
    return {
        "python": platform.python_version(),
        "postgresql": postgres(settings.database_url("sales"))["server_version"],
        "broker": _broker(settings),
        "cache": _cache(settings.require("redis_url")),
        "celery": version("celery"),
        "conveyor": revision(),
    }


def postgres(url: str) -> dict[str, str]:
    """The settings of the server that matter, as it tells them itself."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        told = {}
        for name in SHOWN:
            cursor.execute(f"SHOW {name}")
            told[name] = str(cursor.fetchone()[0])
        return told


def chosen(settings: Settings) -> dict[str, Any]:
    """Conveyor's settings that are not at their default, without addresses and secrets."""
    plain = [each for each in fields(Settings) if each.name not in GUARDED]
    own = [each for each in plain if not each.name.endswith(("_port", "_url", "_relay"))]
    return {each.name: value for each in own if (value := getattr(settings, each.name)) != each.default}


def queues(settings: Settings) -> str:
    """What kind of queue the orders go through."""
    if is_stand_in(settings.require("broker_url")):
        return "lists of the stand-in broker"
    from celeryconfig import task_queues

    return " and ".join({queue.as_dict()["queue_arguments"]["x-queue-type"] for queue in task_queues})


def revision(folder: Path = Path(__file__).parents[2]) -> str:
    """The commit that runs here, with a + where files differ from it; else the installed version."""
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    except FileNotFoundError:
        return version("conveyor")
    return commit.stdout.strip() + "+" * bool(changed.stdout) if commit.returncode == 0 else version("conveyor")


def _broker(settings: Settings) -> str:
    url = settings.require("broker_url")
    if is_stand_in(url):
        return _cache(url)
    from celeryconfig import connection_to

    with connection_to(url) as connection:
        connection.connect()
        told = connection.connection.server_properties
        return f"{told['product']} {told['version']}"


def _cache(url: str) -> str:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        told = client.info("server")
        assert isinstance(told, dict)
        return f"{told.get('server_name', 'redis')} {told.get('valkey_version', told.get('redis_version'))}"


def _first(file: str, name: str) -> str | None:
    """The value of the first line of this name."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)

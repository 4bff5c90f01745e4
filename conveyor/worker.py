"""``conveyor worker``: Celery workers of one service, any number of processes, any subset of its queues."""

import importlib
import os
import signal
import subprocess
import sys
import time

import click
import structlog

from chassis.logs import configure_logs
from conveyor import SERVICES
from conveyor.access import check_access
from conveyor.ranges import WholeRange
from conveyor.target import join
from conveyor.words import Words

log = structlog.get_logger()


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.option("--queues", type=Words(), help="Only these of the service's queues, separated by commas.")
@click.option("--concurrency", type=WholeRange(1, 64), default=1, show_default=True, help="Processes to start.")
@click.option("--events/--no-events", default=False, help="Send task events, which Flower shows. Costs throughput.")
@click.option("--name", type=Words(), help="The worker's name in Flower.  [default: the service and the process id]")
def worker(service: str, queues: str | None, concurrency: int, events: bool, name: str | None) -> None:
    """Work on SERVICE's queues until told to stop (SIGTERM).

    \b
    conveyor worker inventory
    conveyor worker inventory --queues stock_reservation_queue --concurrency 4

    Database and broker are those of the environment, else of the stack that `conveyor run` has running here.
    """
    settings = join(f"{service}_database_url", "broker_url", "redis_url")
    settings.database_url(service)
    settings.require("broker_url")
    chosen = _chosen(service, queues)
    configure_logs(settings, "worker" if concurrency == 1 else "workers")  # Celery does so after its first warnings
    check_access(settings, database=service, broker=True, redis=True)
    if concurrency == 1:
        sys.exit(_work(service, chosen, events, name or f"{service}-{os.getpid()}"))
    arguments = [sys.executable, "-m", "conveyor", "worker", service, "--queues", ",".join(chosen)]
    # The number of this process is in the names: another one of the same kind, on this host too, has others.
    names = name or f"{service}-{os.getpid()}"
    sys.exit(_keep_running(arguments + ["--events"] * events, concurrency, names))


def _chosen(service: str, queues: str | None) -> list[str]:
    from celeryconfig import queues_of

    known = queues_of(service)
    chosen = [each.strip() for each in queues.split(",") if each.strip()] if queues else known
    if not chosen:
        raise click.BadParameter("names no queue", param_hint="--queues")
    for queue in chosen:
        if queue not in known:
            raise click.BadParameter(
                f"{queue} is not a queue of {service}'s: {', '.join(known)}", param_hint="--queues"
            )
    return chosen


def _work(service: str, queues: list[str], events: bool, name: str) -> int:
    """One process: one thread that works, and one that keeps the heartbeat and answers control commands."""
    from celery.utils.nodenames import default_nodename, host_format

    # Until Celery has a handler of its own nothing is in hand, so the signal itself ends the process. As an exception
    # it can get lost: the interpreter drops what is raised in a callback, while modules are loaded, say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Celery's own command line would first load every command that is installed, Flower's too, and would keep the
    # worker's exit code to itself. Quiet: its banner would be the only lines on this output that are not logs.
    worker = importlib.import_module(f"tasks.{service}").app.Worker(
        hostname=host_format(default_nodename(f"{name}@%h")),
        pool_cls="threads",
        concurrency=1,
        queues=queues,
        task_events=events,
        without_gossip=True,
        without_mingle=True,
        loglevel="INFO",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_running(arguments: list[str], count: int, name: str) -> int:
    """``count`` processes; one that dies is started again. Ends when told to, after all of them have ended."""
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    names = [f"{name}-{number}" for number in range(1, count + 1)]
    running = {each: subprocess.Popen([*arguments, "--name", each], start_new_session=False) for each in names}
    while not stopping:
        for each, process in running.items():
            if process.poll() is not None and not stopping:
                log.warning("worker_died", worker=each, exit_code=process.returncode)
                running[each] = subprocess.Popen([*arguments, "--name", each])
        time.sleep(1)
    for process in running.values():
        process.terminate()
    # One that the signal ended while it was still starting, or already leaving, has done what it was told.
    told = (-signal.SIGTERM, -signal.SIGINT)
    return max(0 if code in told else abs(code) for code in [process.wait() for process in running.values()])

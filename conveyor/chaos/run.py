"""A run from the first process to the verdict."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from chassis.settings import Settings
from conveyor import samples
from conveyor.chaos import drain, evidence
from conveyor.chaos.plans import our_own, plans, stocked
from conveyor.chaos.schedule import NEEDS_RABBITMQ, schedule
from conveyor.chaos.shop import Shop
from conveyor.chaos.tap import Tap
from conveyor.chaos.torment import Tormentors
from conveyor.chaos.verdict import Verdict, count_violations
from conveyor.chaos.victim import Victim, VictimFailed
from conveyor.client import Gateway
from conveyor.databases import Databases
from conveyor.replay.opened import read_book
from conveyor.replay.prepare import Ids, Preparation
from conveyor.servers import provide_rabbitmq
from conveyor.terminal import say

BOOK = Path(samples.__file__).parent / "orders.csv"
#: Seconds after the last torment in which every request must have got its answer.
ANSWERED_WITHIN = 300.0
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to do. ``minutes`` is how long the torment lasts."""

    seed: int
    minutes: float
    orders: int

    @property
    def seconds(self) -> float:
        return 60 * self.minutes


class Diary:
    """What is said, with the seconds since the first order, on the terminal and in a log that is kept."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._lock = threading.Lock()
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        with self._lock:
            line = f"{time.monotonic() - self.began:7.1f} s  {text}"
            say(line)
            self._log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {line}\n")
            self._log.flush()


def chaos(options: Options, settings: Settings) -> Verdict:
    """Torment a stack of its own while orders go through it, and judge. Raises VictimFailed, EmbeddedError."""
    state = Path(settings.state_dir).absolute()
    provide_rabbitmq(replace(settings, broker_url=""), state, say)
    victim = Victim(settings, state / "chaos")
    say(f"starting a stack in {victim.state}; its logs are kept there")
    try:
        victim.start()
        with (victim.state / "logs" / "chaos.log").open("a") as log:
            return _Run(options, victim, Diary(log)).judge()
    finally:
        victim.stop()


class _Run:
    """One run on a stack that is ready."""

    def __init__(self, options: Options, victim: Victim, diary: Diary) -> None:
        self._options = options
        self._victim = victim
        self._diary = diary
        self._say = diary.say
        self._run = f"chaos-{options.seed}"
        read = our_own(read_book(BOOK.read_bytes()))
        self._plans = plans(options.seed, options.seconds, options.orders, read.invoices)
        self._book, self._scarce = stocked(options.seed, read, self._plans)

    def judge(self) -> Verdict:
        """Everything from the first customer to the verdict."""
        ids = self._prepare()
        shop = Shop(self._victim.settings.gateway_url, self._run, self._plans, ids)
        tap = Tap(self._victim.settings.broker_url)
        tap.start()
        tormentors = Tormentors(self._victim, tap, self._options.seed, self._say)
        try:
            self._go(shop, tormentors)
        finally:
            tap.stop()
        drain.drain(self._victim, self._say)
        with Databases(self._victim.settings) as databases:
            flags = evidence.flags(databases)
        for order_id, reason in flags.items():
            self._say(f"flagged: order {order_id}: {reason}")
        settled = drain.settle(self._victim, self._say)
        self._say(f"{len(flags)} orders were flagged; {settled.replayed} messages replayed, {settled.resumed} resumed")
        opening = {ids.products[sku]: each.demand for sku, each in self._book.products.items()}
        plentiful = frozenset(set(self._book.products) - self._scarce)
        violations = count_violations(self._victim.settings, shop.known, opening, plentiful, self._say)
        placed = sum(each.order_id is not None for each in shop.known)
        return Verdict(self._options.seed, tormentors.done, placed, len(flags), violations)

    def _prepare(self) -> Ids:
        """Customers and products, while all is quiet. Raises GatewayError, VictimFailed."""
        gateway = Gateway(self._victim.settings.gateway_url, connections=8, patience=60)
        ids = Preparation(gateway, self._run, None, False, 8).prepare(self._book.products, self._book.invoices)
        refused = {**ids.refused_products, **ids.refused_customers}
        if refused:
            raise VictimFailed(
                f"the gateway refused {len(refused)} products or customers: {next(iter(refused.items()))}"
            )
        return ids

    def _go(self, shop: Shop, tormentors: Tormentors) -> None:
        """Orders and torment side by side, until both are through. Raises what the clients raise."""
        settings, rabbitmq = self._victim.settings, self._victim.rabbitmq is not None
        actions = schedule(
            self._options.seed,
            self._options.seconds,
            workers=settings.workers,
            relays=settings.relays,
            rabbitmq=rabbitmq,
        )
        if not rabbitmq:
            self._say(f"left out, since it needs RabbitMQ: {', '.join(NEEDS_RABBITMQ)}")
        began = self._diary.began = time.monotonic()
        end = began + self._options.seconds
        pool = ThreadPoolExecutor(AT_ONCE, "torment")
        try:
            clients = pool.submit(shop.run, began, end + ANSWERED_WITHIN)
            under_way = [clients]
            for action in actions:
                self._wait_until(began + action.at, under_way)
                under_way.append(pool.submit(tormentors.do, action))
            self._wait_until(end, under_way)
            tormentors.stop()
            drain.bring_back(self._victim, self._say)
            for each in under_way:
                each.result()
        finally:
            tormentors.stop()
            shop.stop()
            pool.shutdown()
        self._say(f"all requests are answered; done: {dict(tormentors.done)}")

    def _wait_until(self, moment: float, under_way: Sequence[Future[None]]) -> None:
        """Wait, and see to it that the run still makes sense. Raises VictimFailed, and what a client or torment did."""
        while (left := moment - time.monotonic()) > 0:
            if not self._victim.running():
                raise VictimFailed(f"the supervisor has ended; see {self._victim.log}")
            for each in under_way:
                if each.done():
                    each.result()
            time.sleep(min(left, 0.5))

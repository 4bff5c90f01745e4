"""Workers and a broker that is not there yet, is away for long, or says nothing: what celeryconfig.py says of each.

Every test is played twice: as it is, and with the setting changed, when it has to see the harm.
"""

import re
from collections.abc import Iterator

import pytest

from conveyor.embedded.ports import free_port
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.silent_proxy import SilentProxy, silent_proxy

pytestmark = pytest.mark.rabbitmq

#: What Celery says before it tries to connect once more, and as soon as it consumes.
RETRIES, CONSUMES = "Trying again in", " ready."


def setting(name: str, value: object) -> str:
    """What makes a process believe that celeryconfig says this."""
    return f"import celeryconfig\nceleryconfig.{name} = {value!r}\n"


def through(pipeline: Pipeline, port: int) -> dict[str, str]:
    """The broker's URL with another port."""
    return {"CONVEYOR_BROKER_URL": re.sub(r":\d+/", f":{port}/", pipeline.environment["CONVEYOR_BROKER_URL"])}


def said(pipeline: Pipeline, name: str, words: str) -> int:
    """How often this worker has said so in its log."""
    return (pipeline.folder / f"{name}.log").read_text().count(words)


class TestAWorkerThatIsThereBeforeTheBroker:
    def start(self, pipeline: Pipeline, port: int, patch: str = "") -> str:
        return pipeline.start("worker", "inventory", patch, wait=False, **through(pipeline, port))

    def test_waits_for_it(self, pipeline: Pipeline, rabbitmq: RabbitMQ) -> None:
        port = free_port()
        name = self.start(pipeline, port)
        wait_until(lambda: said(pipeline, name, RETRIES))
        with silent_proxy(rabbitmq.port, port):
            wait_until(lambda: pipeline.ready(name))
            pipeline.kill(name)

    def test_control_ends_where_it_may_not_try_again(self, pipeline: Pipeline) -> None:
        name = self.start(pipeline, free_port(), setting("broker_connection_retry_on_startup", False))
        wait_until(lambda: pipeline.dead(name))


class TestAWorkerThatHasLostTheBroker:
    #: Of so many tries, each later than the one before. Celery's own limit is a hundred, which is an hour.
    TRIES = 2

    @pytest.fixture
    def proxy(self, rabbitmq: RabbitMQ) -> Iterator[SilentProxy]:
        with silent_proxy(rabbitmq.port) as proxy:
            yield proxy

    def start(self, pipeline: Pipeline, proxy: SilentProxy, patch: str = "") -> str:
        name = pipeline.start("worker", "inventory", patch, **through(pipeline, proxy.port))
        assert pipeline.ready(name)
        proxy.close()
        return name

    def test_tries_for_as_long_as_it_takes(self, pipeline: Pipeline, rabbitmq: RabbitMQ, proxy: SilentProxy) -> None:
        name = self.start(pipeline, proxy)
        wait_until(lambda: said(pipeline, name, RETRIES) > self.TRIES, 120)
        pipeline.ready_files[name].unlink(missing_ok=True)
        with silent_proxy(rabbitmq.port, proxy.port):
            wait_until(lambda: pipeline.ready(name))
            pipeline.kill(name)

    def test_control_ends_where_its_tries_are_counted(self, pipeline: Pipeline, proxy: SilentProxy) -> None:
        name = self.start(pipeline, proxy, setting("broker_connection_max_retries", self.TRIES))
        wait_until(lambda: pipeline.dead(name))


class TestAWorkerThatTheNetworkHasLost:
    """No reset comes: the broker goes on sending it messages. It is the older of two, so it gets them all."""

    #: Seconds: two heartbeats are missed, and RabbitMQ has looked.
    NOTICED_WITHIN = 30.0

    def orders_behind_it(self, pipeline: Pipeline, rabbitmq: RabbitMQ, patch: str = "") -> None:
        """Three orders, whose checks are given to it and never worked on. Raises AssertionError if they stay there."""
        product = pipeline.add_product(stock=10)
        with silent_proxy(rabbitmq.port) as proxy:
            lost = pipeline.start("worker", "inventory", patch, **through(pipeline, proxy.port))
            wait_until(lambda: said(pipeline, lost, CONSUMES))
            for kept in (pipeline.running, pipeline.ready_files):
                kept["lost"] = kept.pop(lost)  # type: ignore[index]
            proxy.silence()
            pipeline.start_all()
            orders = [pipeline.place(product) for _ in range(3)]
            try:
                pipeline.wait_for(orders, self.NOTICED_WITHIN, Pending_Shipment=3)
            finally:
                pipeline.kill("lost")

    def test_is_given_up_and_another_gets_its_messages(self, pipeline: Pipeline, rabbitmq: RabbitMQ) -> None:
        self.orders_behind_it(pipeline, rabbitmq)

    def test_control_without_heartbeats_it_keeps_them(self, pipeline: Pipeline, rabbitmq: RabbitMQ) -> None:
        with pytest.raises(AssertionError, match="'Pending': 3"):
            self.orders_behind_it(pipeline, rabbitmq, setting("broker_heartbeat", 0))

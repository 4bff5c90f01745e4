"""A process says that it is ready for as long as it is connected, whether there is work or not."""

import time
from collections.abc import Iterator

import pytest

from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.silent_proxy import SilentProxy, silent_proxy

#: Seconds without a touch after which a process has stopped saying that it is ready: the longest pause is five.
STOPPED = 7.0
#: A broker is given up after fifteen.
NOTICED = 15.0 + STOPPED


@pytest.fixture
def proxy(rabbitmq: RabbitMQ) -> Iterator[SilentProxy]:
    with silent_proxy(rabbitmq.port) as proxy:
        yield proxy


@pytest.mark.timeout(150)
def test_a_worker_a_relay_and_the_quarantine_with_nothing_to_do_notice_a_broker_that_is_silent(
    pipeline: Pipeline, proxy: SilentProxy, rabbitmq: RabbitMQ
) -> None:
    url = pipeline.environment["CONVEYOR_BROKER_URL"].replace(f":{rabbitmq.port}/", f":{proxy.port}/")
    kinds = [("worker", "inventory"), ("relay", "sales"), ("quarantine", "")]
    for kind, service in kinds:
        pipeline.start(kind, service, wait=False, CONVEYOR_BROKER_URL=url)
    pipeline.wait_for_ready()
    files = pipeline.ready_files

    def ages() -> dict[str, float]:
        return {name: time.time() - file.stat().st_mtime for name, file in files.items()}

    began = time.time()
    wait_until(lambda: all(file.stat().st_mtime > began for file in files.values()), STOPPED)
    proxy.silence()
    wait_until(lambda: min(ages().values()) > STOPPED, NOTICED + 3)
    assert not any(pipeline.dead(name) for name in files)
    proxy.speak()
    wait_until(lambda: max(ages().values()) < STOPPED, 40)
    order = pipeline.place(pipeline.add_product(1))
    wait_until(lambda: pipeline.ask("sales", "SELECT FROM outbox") == [])
    wait_until(lambda: "check_availability" in (pipeline.folder / "worker-inventory.log").read_text())
    assert str(order) in (pipeline.folder / "worker-inventory.log").read_text()

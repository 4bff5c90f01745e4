"""Event streams: as many as may be open at once, each of which takes no thread, and keeps nobody waiting."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3

from conveyor.embedded.ports import free_port
from tests.attacks.conftest import Suffers, attack
from tests.attacks.streaming import BEAT
from tests.attacks.test_connections import port_of, waits
from tests.e2e.stack import ROOT, Stack, until

STREAMS = 2_000
#: Memory (bytes) that so many streams may take.
MEMORY = 128 << 20
OPEN = r"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Streaming:
    """One more gateway before the services of the stack."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = f"http://127.0.0.1:{port}", process

    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@pytest.fixture
def streaming(stack: Stack, tmp_path: Path) -> Iterator[Streaming]:
    port = free_port()
    environment = stack.variables() | {"CONVEYOR_GATEWAY_PORT": str(port), "PYTHONPATH": str(ROOT)}
    log = tmp_path / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.attacks.streaming"],
            env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=tmp_path,
        )  # fmt: skip
    try:
        until(lambda: "listening" in log.read_text(), see=log.read_text)
        yield Streaming(port, process)
    finally:
        process.kill()
        process.wait(30)


def test_two_thousand_streams_keep_nobody_waiting_and_end_with_the_process(
    streaming: Streaming, suffers: Suffers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffers(f"{streaming.url}/products", 2)
    before = streaming.memory()
    with attack("open_connections", STREAMS, port_of(streaming.url), OPEN, log=tmp_path / "log") as attacker:
        suffers(f"{streaming.url}/products", 8)
        suffers(f"{streaming.url}/health/live", 4)
        waits(attacker, BEAT)
        took = streaming.memory() - before
        with capsys.disabled():
            print(f"{STREAMS} streams: {took >> 20} MiB, {took // STREAMS:,} bytes each")
        assert took < MEMORY
        one_more = urllib3.request("GET", f"{streaming.url}/stream", timeout=5, retries=False)
        assert (one_more.status, one_more.json()["code"]) == (503, "overloaded")
        streaming.process.terminate()
        streaming.process.wait(20)
        fate = attacker.ends()
    assert fate["statuses"] == {"200": STREAMS}
    assert fate["heard"] == STREAMS
    assert fate["closed"] == STREAMS

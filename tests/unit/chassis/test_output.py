"""Whatever becomes of where a process writes to: nothing that it writes raises, and no line is made up of two."""

import json
import os
import subprocess
import sys

import pytest

#: Everything that writes in a process of ours: our loggers, a library's, a warning, a crash, print, what is buffered.
SPEAKS = """
import logging, os, sys, threading, warnings
import structlog
from chassis.logs import configure_logs, say_at_once
from chassis.settings import Settings
configure_logs(Settings(), "worker")
structlog.get_logger().info("ours")
logging.getLogger("library").error("a library's")
warnings.warn("gone some day", DeprecationWarning)
crashing = threading.Thread(target=lambda: 1 / 0)
crashing.start()
crashing.join()
say_at_once(Settings(), "worker", "a signal's")
print("to standard output", flush=True)
print("to standard error", file=sys.stderr, flush=True)
print("where Celery prints", file=sys.__stdout__)
print("where billiard prints", file=sys.__stderr__)
sys.stdout.buffer.write(b"bytes")
sys.stdout.flush()
if os.fork() == 0:
    print("a child", flush=True)
    sys.exit(0)
if os.waitstatus_to_exitcode(os.wait()[1]):
    os._exit(3)
os.write(int(sys.argv[1]), b"all was said")
"""


def ending(output: int) -> tuple[int, bytes]:
    """How a process ends that can write nothing there, and what it tells in another way."""
    reader, writer = os.pipe()
    command = [sys.executable, "-c", SPEAKS, str(writer)]
    with subprocess.Popen(command, stdout=output, stderr=output, pass_fds=[writer]) as speaking:
        os.close(writer)
        with os.fdopen(reader, "rb") as told:
            return speaking.wait(60), told.read()


def test_a_disk_that_is_full_stops_no_process() -> None:
    with open("/dev/full", "wb") as full:
        assert ending(full.fileno()) == (0, b"all was said")


def test_a_pipe_whose_reader_has_gone_stops_no_process() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ending(writer) == (0, b"all was said")
    finally:
        os.close(writer)


SPEAKS_AGAIN = """
import os, resource, sys
import structlog
from chassis.logs import configure_logs
from chassis.settings import Settings
room = os.fstat(2).st_size + 40
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
configure_logs(Settings(log_format=sys.argv[1]), "worker")
for number in range(3):
    structlog.get_logger().info("lost", number=number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
structlog.get_logger().info("written")
structlog.get_logger().info("as ever")
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_when_there_is_room_again_a_new_line_says_how_many_were_lost(
    log_format: str, tmp_path: os.PathLike[str]
) -> None:
    log = os.path.join(tmp_path, "log")
    with open(log, "ab") as output:
        subprocess.run([sys.executable, "-c", SPEAKS_AGAIN, log_format], stderr=output, check=True, timeout=60)
    with open(log) as written:
        torn, losses, *others = written.read().splitlines()
    assert len(torn) == 40
    assert len(others) == 2
    if log_format == "json":
        assert json.loads(losses).items() >= {"event": "log_lines_lost", "level": "warning", "count": 3}.items()
        assert [json.loads(line)["event"] for line in others] == ["written", "as ever"]
    else:
        assert losses == "log_lines_lost count=3"


def test_a_pipe_that_is_full_and_does_not_block_loses_nothing() -> None:
    says = "import chassis.output as o; o.never_raise(); [print('x' * 999) for _ in range(200)]"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([sys.executable, "-c", says], stdout=writer) as speaking:
        os.close(writer)
        with os.fdopen(reader, "rb") as read:
            assert len(read.read()) == 200_000
        assert speaking.wait(60) == 0

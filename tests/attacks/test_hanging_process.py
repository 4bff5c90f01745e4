"""A web process that hangs, whatever made it hang, is ended and started again without anybody's doing."""

import signal

import psutil

from tests.e2e.stack import Stack, until


def test_a_web_process_that_hangs_is_started_again(stack: Stack) -> None:
    since = len(stack.said())
    [hanging] = psutil.Process(stack.pid("delivery")).children()
    hanging.send_signal(signal.SIGSTOP)
    stack.tells_of_death("delivery", since)
    until(stack.well, see=stack.said)
    assert not hanging.is_running()

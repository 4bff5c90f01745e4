"""The gateway with one route more, whose answer is a stream that never ends: ``python -m tests.attacks.streaming``."""

import asyncio
from collections.abc import AsyncIterator
from multiprocessing import Pipe

from flask import Flask, Response, request

from chassis.front import STREAM
from chassis.settings import Settings, settings
from conveyor.web_process import answer_http
from gateway_app import app as gateway

#: Seconds between two pieces of a stream.
BEAT = 5.0


def create_app(settings: Settings) -> Flask:
    """What ``conveyor serve gateway`` would serve, and the stream."""
    app = gateway.create_app(settings)

    @app.get("/stream")
    def stream() -> Response:
        request.environ[STREAM] = beats
        return Response(status=200, mimetype="text/event-stream")

    return app


async def beats() -> AsyncIterator[bytes]:
    """A line every so often, as an event stream has it."""
    while True:
        yield b": beat\n\n"
        await asyncio.sleep(BEAT)


if __name__ == "__main__":
    (_pulses, pulse), (master, _masters_end) = Pipe(duplex=False), Pipe(duplex=False)
    answer_http("tests.attacks.streaming", "gateway", settings(), 1, pulse, master)

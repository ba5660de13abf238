"""A network's stand-in: a TCP relay on loopback that lets so many bytes per second pass in each direction."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

_BURST_S = 0.02
_PART = 1 << 17


class _Meter:
    """Bytes of one direction, over all connections."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate, self._free_at = bytes_per_s, 0.0

    async def take(self, size: int) -> None:
        """Wait until so many bytes may pass."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _BURST_S) + size / self._rate
        if (wait := self._free_at - now) > 0:
            await asyncio.sleep(wait)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, meter: _Meter) -> None:
    try:
        while data := await reader.read(_PART):
            await meter.take(len(data))
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # either end has closed; so does the other
    finally:
        writer.close()


async def _serve(host: str, port: int, bytes_per_s: float, tell: Connection) -> None:
    up, down = _Meter(bytes_per_s), _Meter(bytes_per_s)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(_pump(reader, far_writer, up), _pump(far_reader, writer, down))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    tell.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(host: str, port: int, bytes_per_s: float, tell: Connection) -> None:
    asyncio.run(_serve(host, port, bytes_per_s, tell))


@contextmanager
def throttled(endpoint_url: str, bytes_per_s: float) -> Iterator[str]:
    """Address of a slower way to the same server; the relay is a process of its own."""
    parts = urlsplit(endpoint_url)
    assert parts.hostname
    assert parts.port
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(parts.hostname, parts.port, bytes_per_s, tell), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{told.recv()}"
    finally:
        process.terminate()
        process.join()

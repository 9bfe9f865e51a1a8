"""TLS in front of a server, as a load balancer or stunnel ends it, with certificates of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import trustme

from tests.servers.process import HOST


class Tls:
    """Passes on to the server at ``target`` what clients say over TLS.

    Attributes:
        port: where clients connect.
        ca: the file of the authority that signed the certificate; no system knows it.
    """

    def __init__(self, target: int, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST, "localhost").configure_cert(self._context)
        self._target = target
        self._serving = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._serve, HOST, 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(20)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Take no more clients, and end the connections that stand."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        while self._serving:
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0.01)
        rest = asyncio.all_tasks() - {asyncio.current_task()}  # handshakes under way
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving += 1
        ends = {writer}
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, self._target)
            ends.add(there_writer)
            self._writers |= ends
            await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))
        except OSError:
            pass  # the server is away for now
        finally:
            self._writers -= ends
            self._serving -= 1
            for end in ends:
                end.transport.abort()

    def __enter__(self) -> Tls:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()

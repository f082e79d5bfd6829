"""asyncio streams, one task a connection: ``asyncio``."""

from __future__ import annotations

import asyncio

from giltrace.scenarios.server import TcpServer, tune
from giltrace.scenarios.wire import HEADER, WireError, check_size, log, shown


class AsyncioServer(TcpServer):
    """The event loop of the standard library, as most services on it are written."""

    name = "asyncio"

    def serve(self) -> None:
        """Echo messages until a client ends the run."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        ended = asyncio.Event()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._converse(reader, writer, ended))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, sock=self.listener)
        try:
            await ended.wait()
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ended: asyncio.Event
    ) -> None:
        # asyncio does this by itself only where the listening socket names its protocol.
        tune(writer.get_extra_info("socket"))
        peer = shown(writer.get_extra_info("peername"))
        try:
            if await _echo(reader, writer):
                ended.set()
        except (WireError, OSError) as error:
            log(self.name, peer, f"{error}; connection closed")
        finally:
            writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Echo until the message that ends the run."""
    while True:
        try:
            header = await reader.readexactly(HEADER.size)
            message = await reader.readexactly(check_size(HEADER.unpack(header)[0]))
        except asyncio.IncompleteReadError as error:
            between = not error.partial and error.expected == HEADER.size
            where = "between two messages" if between else "in the middle of a message"
            raise WireError(f"left {where}") from None
        if not message:
            return True
        writer.write(header)
        writer.write(message)
        await writer.drain()

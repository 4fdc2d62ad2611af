"""TCP connections that come from an address of the test's choice."""

import asyncio
import contextlib
import threading


class Relay:
    """Passes connections on to a port of this machine, from that address.

    On loopback every address of 127.0.0.0/8 is ours, so each can be a pod's.
    """

    def __init__(self, source, target):
        self.source = source
        self.target = target
        self.server = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    @property
    def address(self):
        host, port = self.server.sockets[0].getsockname()
        return f"{host}:{port}"

    def __enter__(self):
        self.thread.start()
        self.server = self.run(
            asyncio.start_server(self.pass_on, "127.0.0.1", 0)
        )
        return self

    def __exit__(self, *_):
        self.run(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, coroutine):
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        return future.result(10)

    async def stop(self):
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def pass_on(self, reader, writer):
        host, _, port = self.target.rpartition(":")
        there = await asyncio.open_connection(
            host, int(port), local_addr=(self.source, 0)
        )
        await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))


async def copy(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

"""Send slowly, too much or without a signature, from many clients: `python -m faults.slow_clients PORT`."""

import asyncio
import sys
from contextlib import suppress

CLIENTS = 1_000
RECEIPT = b"POST /api/v1/receipts/sandbox HTTP/1.1\r\nHost: tocsin.test\r\nContent-Length: 1048576\r\n\r\n"
# Sent at once, and then once per second.
KINDS = (
    (b"GET /healthz HTTP/1.1\r\nHost: tocsin.test\r\nX-A", b"a"),
    (b"GET /healthz HTTP/1.1\r\nHost: tocsin.test\r\nX-A: ", b"a" * 8_192),
    (RECEIPT + b"a" * 65_536, b"a"),
    (RECEIPT + b"a" * 1_000_000, b"a"),
)
BETWEEN = 5  # seconds before a refused client returns


async def send_slowly(port: int, first: bytes, then: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(first)
        while not reader.at_eof():
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(65_536), 1)
            writer.write(then)
    finally:
        writer.close()


async def reconnect(number: int, port: int) -> None:
    never = asyncio.Event()
    while True:
        with suppress(OSError):
            await send_slowly(port, *KINDS[number % len(KINDS)])
        with suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), BETWEEN)


async def main(port: int) -> None:
    await asyncio.gather(*(reconnect(number, port) for number in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

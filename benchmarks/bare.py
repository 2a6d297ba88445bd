"""Serve the bare endpoint: FastAPI, a JSON body and one INSERT through an asyncpg pool, served like the product's API.

It measures the cost of accepting a row over HTTP. It is a separate process, started by `benchmarks/servers.py`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

from api.server import ApiServer, reduce_event_loop_pauses, server_config
from supervision.worker_processes import run_on_uvloop

READY = "bare ready"
PATH = "/messages"
POOL_SIZE = 20  # as in the product
CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS bare_message (
  id uuid PRIMARY KEY, recipient_id text NOT NULL, notification_type text NOT NULL, payload jsonb NOT NULL,
  priority int NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL)
"""
INSERT = """
INSERT INTO bare_message (id, recipient_id, notification_type, payload, priority, status, created_at)
VALUES ($1, $2, $3, $4, $5, 'PENDING', now())
"""


class BareServer(ApiServer):
    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Report that the port is open, which it is not yet at the application's start."""
        await super().startup(sockets)
        print(READY, flush=True)


class BareMessage(BaseModel):
    notification_type: str
    recipient_id: str
    payload: dict[str, Any]
    priority: int


class BareResponse(BaseModel):
    id: UUID


def create_app(dsn: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
            await pool.execute(CREATE_TABLE)
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post(PATH, status_code=202)
    async def store(message: BareMessage, request: Request) -> BareResponse:
        id = uuid4()
        values = message.recipient_id, message.notification_type, json.dumps(message.payload), message.priority
        await request.app.state.pool.execute(INSERT, id, *values)
        return BareResponse(id=id)

    return app


async def main(dsn: str, port: int) -> None:
    config: uvicorn.Config = server_config(create_app(dsn), "127.0.0.1", port)
    server = BareServer(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    reduce_event_loop_pauses()
    await server.serve()


if __name__ == "__main__":
    run_on_uvloop(main(sys.argv[1], int(sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)

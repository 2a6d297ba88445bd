"""Run the API process: `python -m api`, or `tocsin api`."""

import asyncio
import os
import signal
import sys

import structlog

from api.server import SHUTDOWN_GRACE, serve
from bootstrap import Container, open_container
from config import ServerSettings
from config.sources import InvalidSettings
from dispatch.start_holds import hold_on_start
from dispatch.temporal.sdk_metrics import serve_sdk_metrics
from logs import configure_logging
from metrics.page import MetricsPage
from storage.api_keys import SCOPES, upsert_key
from storage.encryption_keys import verify_keys
from storage.tenants import claim_installation, ensure_tenant
from supervision.process_flags import hide_memory, raise_open_file_limit
from supervision.watchdog import Watchdog
from supervision.worker_processes import run_on_uvloop

DEMO_TENANT = "demo"
# Open files that are not client connections: Postgres, providers, logs, pipes of rendering processes.
OTHER_OPEN_FILES = 512

log = structlog.get_logger(__name__)


async def main(watchdog: Watchdog) -> None:
    settings = ServerSettings.read()
    configure_logging(settings)
    prepare_open_files(settings.api_connections)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_container(settings, page=MetricsPage(serve_sdk_metrics())) as container:
        await verify_keys(container.database)
        await ensure_demo_tenant(container)
        await hold_on_start(container.database, settings.hold_on_start)
        await serve(container, stop, watchdog.expect_exit)


def prepare_open_files(number: int) -> None:
    needed = number + OTHER_OPEN_FILES
    if (allowed := raise_open_file_limit(needed)) < needed:
        log.warning(
            "open file limit too low for TOCSIN_API_CONNECTIONS: raise the hard limit (ulimit -Hn) or lower it",
            needed=needed,
            allowed=allowed,
        )


async def ensure_demo_tenant(container: Container) -> None:
    """Create the demo tenant and its key in development."""
    secret = container.settings.dev_api_key.get_secret_value()
    if not container.settings.is_dev or not secret:
        return
    async with container.database.transaction() as session:
        tenant = await ensure_tenant(session, DEMO_TENANT, "Demo")
        await claim_installation(session, tenant.id)
        await upsert_key(session, tenant.id, "development", SCOPES, secret=secret, env=container.settings.env)


if __name__ == "__main__":
    code = 0
    hide_memory()
    try:
        watchdog = Watchdog(SHUTDOWN_GRACE)
        run_on_uvloop(main(watchdog), watchdog)
    except InvalidSettings as error:
        sys.stderr.writelines(f"api: {line}\n" for line in error.lines)
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    # During interpreter shutdown, a normal exit can abort in the native threads of the Temporal SDK.
    os._exit(code)

import asyncio

import uvloop


async def test_tests_run_on_the_loop_of_the_server_processes() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)

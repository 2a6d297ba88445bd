"""Kill or stop the worker while it sends: nothing is lost, nothing is sent twice, and no status is wrong."""

import signal

import pytest

from tests.faults.conftest import RunningStack

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

SENDS = 200
UNKNOWN = "SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND state = 'unknown'"
IN_THE_OUTBOX = "SELECT notification_id::text AS id FROM sandbox_message WHERE notification_id::text = ANY($1)"


async def test_a_worker_killed_twice_while_sending_sends_no_message_twice(stack: RunningStack) -> None:
    ids = await stack.stack_client.batch(SENDS, "worker-killed")
    for sent in (40, 100):
        await stack.wait_for_partial_send(ids, sent)
        dead = await stack.run.kill("worker")
        await stack.run.replaced("worker", dead)
        assert f"worker (pid {dead}) was killed by SIGKILL; starting it again" in stack.run.printed
    statuses = await stack.wait_for_end(ids)
    arrived = [row["id"] for row in await stack.stack_database.rows(IN_THE_OUTBOX, ids)]
    assert len(arrived) == len(set(arrived))
    assert {statuses.pop(id) for id in arrived} == {"DELIVERED"}
    # A call that was cut before the vendor had it: the outcome is unknown, so it is not recorded as sent.
    assert set(statuses.values()) <= {"IN_DOUBT"}
    assert len(statuses) < SENDS / 4


async def test_a_worker_that_receives_sigterm_finishes_its_calls(stack: RunningStack) -> None:
    ids = await stack.stack_client.batch(100, "worker-stopped")
    await stack.wait_for_partial_send(ids, 30)
    stopped = stack.run.send_signal("worker", signal.SIGTERM)
    await stack.run.replaced("worker", stopped)
    assert f"worker (pid {stopped}) ended with exit code 0" in stack.run.printed
    assert set((await stack.wait_for_end(ids)).values()) == {"DELIVERED"}
    assert await stack.stack_database.one(UNKNOWN, ids) == 0

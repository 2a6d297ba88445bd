"""The worker killed or stopped while it sends: nothing is lost, nothing is sent twice, and no status lies."""

import signal

import pytest

from tests.faults.conftest import Stage

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

SENDS = 200
UNKNOWN = "SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND state = 'unknown'"
IN_THE_OUTBOX = "SELECT notification_id::text AS id FROM sandbox_message WHERE notification_id::text = ANY($1)"


async def test_a_worker_killed_twice_while_it_sends_sends_nothing_twice_and_no_status_lies(stage: Stage) -> None:
    ids = await stage.customer.batch(SENDS, "worker-killed")
    for sent in (40, 100):
        await stage.in_the_middle(ids, sent)
        dead = await stage.run.kill("worker")
        await stage.run.replaced("worker", dead)
        assert f"worker (pid {dead}) was killed by SIGKILL; starting it again" in stage.run.printed
    statuses = await stage.over(ids)
    arrived = [row["id"] for row in await stage.books.rows(IN_THE_OUTBOX, ids)]
    assert len(arrived) == len(set(arrived))
    assert {statuses.pop(id) for id in arrived} == {"DELIVERED"}
    # A call that was cut off before the vendor had it: nobody can tell, so it is not called sent.
    assert set(statuses.values()) <= {"IN_DOUBT"}
    assert len(statuses) < SENDS / 4


async def test_a_worker_that_is_told_to_stop_finishes_its_calls_and_leaves_no_outcome_unknown(stage: Stage) -> None:
    ids = await stage.customer.batch(100, "worker-stopped")
    await stage.in_the_middle(ids, 30)
    stopped = stage.run.tell("worker", signal.SIGTERM)
    await stage.run.replaced("worker", stopped)
    assert f"worker (pid {stopped}) ended with exit code 0" in stage.run.printed
    assert set((await stage.over(ids)).values()) == {"DELIVERED"}
    assert await stage.books.one(UNKNOWN, ids) == 0

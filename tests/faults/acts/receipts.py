"""Receipts that are repeated, turned round, early, or weeks late."""

import asyncio
from datetime import timedelta

from tests.faults.acts.table import fault
from tests.faults.kinds import ASK_MAIL, ASK_TEXT, ESCALATION
from tests.faults.pace import lasting
from tests.faults.scene import Scene
from tests.faults.vendor.moods import Style

WEEKS = timedelta(weeks=3)
OVER = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NOT NULL"
AGED = """
WITH n AS (UPDATE notification SET created_at = created_at - $2::interval, finished_at = finished_at - $2::interval
            WHERE id::text = ANY($1)),
     d AS (UPDATE delivery SET created_at = created_at - $2::interval, sent_at = sent_at - $2::interval
            WHERE notification_id::text = ANY($1))
UPDATE attempt SET started_at = started_at - $2::interval, finished_at = finished_at - $2::interval,
       sent_at = sent_at - $2::interval WHERE notification_id::text = ANY($1)
"""
WRONG = "SELECT id::text, status FROM notification WHERE id::text = ANY($1) AND status <> ALL($2)"


def reported(name: str, what: str, style: Style) -> None:
    async def act(scene: Scene) -> None:
        async with scene.desk.reporting(style):
            words = [scene.dice.choice(("", "open")) for _ in range(scene.scale.burst)]
            kinds = (ASK_MAIL, ASK_TEXT, ESCALATION)
            await asyncio.gather(*(scene.crowd.send(kinds[at % 3], at % 2, word) for at, word in enumerate(words)))
            await lasting(scene.scale.moment / 2)

    act.__name__, act.__doc__ = name, what
    fault(act)


reported("receipts_duplicated", "Every receipt three times.", Style.DUPLICATED)
reported("receipts_reversed", "Opened before delivered.", Style.REVERSED)
reported(
    "receipts_early", "Receipts that arrive before the answer to the call, and so before our own commit.", Style.EARLY
)


@fault
async def receipts_weeks_late(scene: Scene) -> None:
    """Receipts of messages that were sent, and were over, three weeks ago."""
    async with scene.desk.reporting(Style.WITHHELD):
        sent = await scene.crowd.burst(scene.scale.burst, ASK_TEXT)
        ids = [each.id for each in sent]
        await scene.books.until(OVER, ids, is_=len(ids), within=30)
        await scene.books.rows(AGED, ids, WEEKS)
        scene.crowd.forget_keys(sent)  # they were held for a day

    async def unheard() -> list[str]:
        return [str(row) for row in await scene.books.rows(WRONG, ids, ["DELIVERED"])]

    scene.checks["receipts_weeks_late: they are obeyed"] = unheard

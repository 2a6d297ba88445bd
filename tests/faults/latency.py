"""How long sends take from the request until they are SENT, by the clock of this machine, which all processes share."""

import time
from statistics import quantiles

from tests.faults.books import Books
from tests.faults.crowd import Crowd
from tests.faults.kinds import Kind

SENT_AT = """
SELECT notification_id::text AS id, extract(epoch FROM min(at))::float8 AS at FROM event
 WHERE notification_id::text = ANY($1) AND status IN ('SENT', 'DELIVERED') GROUP BY notification_id
"""
SENT = f"SELECT count(*) FROM ({SENT_AT}) sent"


async def sent_after(books: Books, since: dict[str, float], within: float) -> list[float]:
    """Wait until all of them are SENT. Return the seconds from the given time of each."""
    ids = list(since)
    await books.until(SENT, ids, is_=len(ids), within=within)
    return [float(row["at"]) - since[row["id"]] for row in await books.rows(SENT_AT, ids)]


async def seconds_each(crowd: Crowd, books: Books, kind: Kind, count: int, within: float = 60) -> list[float]:
    """Of so many sends, one after the other."""
    seconds = []
    for _ in range(count):
        asked_at = time.time()
        sent = await crowd.send(kind)
        seconds += await sent_after(books, {sent.id: asked_at}, within)
    return seconds


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]

"""A notification whose history grows until it goes on as a new run. Saved is the run that ends so. The server says when
that is due, and the history has that."""

from tests.engine import Shop
from tests.histories.stories import Story
from tests.histories.timed import choose, quiet, until, waits_for

DYNAMIC_CONFIG = {"limit.historyCount.suggestContinueAsNew": "20"}
FIRST_CHANGE, LAST_CHANGE = 61, 90  # minutes


async def continued_as_new_in_quiet_hours(shop: Shop) -> str:
    """Woken by quiet hours that are others each time, and hold it all the same."""
    id = await quiet(shop, 60)
    handle = await shop.engine.started(id)
    first = (await handle.describe()).run_id
    for minutes in range(FIRST_CHANGE, LAST_CHANGE):
        await choose(shop, until(minutes))
        await waits_for(shop, id, "quiet_hours")
        if (await handle.describe()).run_id != first:
            break
    await choose(shop, None)
    return id


RENEWED: dict[str, Story] = {continued_as_new_in_quiet_hours.__name__: continued_as_new_in_quiet_hours}

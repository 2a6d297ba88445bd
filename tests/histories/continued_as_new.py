"""A notification whose history grows until it goes on as a new run. Saved is the run that ends so. The server says when
that is due, and the history has that."""

from tests.engine import ApiTenant
from tests.histories.stories import HistoryStory
from tests.histories.time_gates import choose, quiet, until, waits_for

DYNAMIC_CONFIG = {"limit.historyCount.suggestContinueAsNew": "20"}
FIRST_CHANGE, LAST_CHANGE = 61, 90  # minutes


async def continued_as_new_in_quiet_hours(api_tenant: ApiTenant) -> str:
    """Woken by quiet hours that are others each time, and hold it all the same."""
    id = await quiet(api_tenant, 60)
    handle = await api_tenant.engine.wait_for_start(id)
    first = (await handle.describe()).run_id
    for minutes in range(FIRST_CHANGE, LAST_CHANGE):
        await choose(api_tenant, until(minutes))
        await waits_for(api_tenant, id, "quiet_hours")
        if (await handle.describe()).run_id != first:
            break
    await choose(api_tenant, None)
    return id


RENEWED: dict[str, HistoryStory] = {continued_as_new_in_quiet_hours.__name__: continued_as_new_in_quiet_hours}

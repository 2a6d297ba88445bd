"""Record a notification whose history grows until it continues as a new run. The first run is saved. The server
suggests the end of the run, and the history contains the suggestion."""

from tests.api_tenants import ApiTenant
from tests.histories.stories import HistoryStory
from tests.histories.time_gates import hours_ending_in, send_in_quiet_hours, set_quiet_hours, waits_for

DYNAMIC_CONFIG = {"limit.historyCount.suggestContinueAsNew": "20"}
FIRST_CHANGE, LAST_CHANGE = 61, 90  # minutes


async def continued_as_new_in_quiet_hours(api_tenant: ApiTenant) -> str:
    """Wake it by changes of the quiet hours, which hold it each time."""
    id = await send_in_quiet_hours(api_tenant, 60)
    handle = await api_tenant.engine.wait_for_start(id)
    first = (await handle.describe()).run_id
    for minutes in range(FIRST_CHANGE, LAST_CHANGE):
        await set_quiet_hours(api_tenant, hours_ending_in(minutes))
        await waits_for(api_tenant, id, "quiet_hours")
        if (await handle.describe()).run_id != first:
            break
    await set_quiet_hours(api_tenant, None)
    return id


RENEWED: dict[str, HistoryStory] = {continued_as_new_in_quiet_hours.__name__: continued_as_new_in_quiet_hours}

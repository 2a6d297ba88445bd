"""One tenant's flood beside another's few, and passwords behind a backlog of bulk."""

from statistics import median, quantiles

from tests.faults.catalog.table import outage
from tests.faults.load_generator import GeneratedSend
from tests.faults.pace import wait_seconds
from tests.faults.scenario import Scenario
from tests.faults.type_specs import PASSWORD, RESEND_EMAIL

FEW = 10
SECONDS_BETWEEN_SENDS = 0.2
TIMES = """
SELECT extract(epoch FROM a.started_at - n.created_at) AS seconds FROM notification n
  JOIN attempt a ON a.notification_id = n.id AND a.number = 1 WHERE n.id::text = ANY($1)
"""
# A quiet tenant's p95 beside its own on an idle machine, while the machine is busy.
MAX_SLOWDOWN = 10
SLOWEST_RATE = 12.0  # of a machine on which a flood is to end, per second
# Seconds. A password is asked for by somebody who waits; of the flood before it forty seconds are left.
MAX_PASSWORD_SECONDS = 2.0


@outage
async def flood_of_one_tenant(scenario: Scenario) -> None:
    """1,000 of one tenant at once (10,000 in the long run): another's few, and its own passwords, pass them."""
    scenario.background_load.pause()
    await scenario.quiet()
    quiet, urgent = await measure_few_sends(scenario, 1), await measure_few_sends(scenario, 0, password=True)
    bulk = await scenario.load_generator.batch(scenario.scale.flood)
    beside, passwords = await measure_few_sends(scenario, 1), await measure_few_sends(scenario, 0, password=True)
    waiting = len(bulk) - await scenario.count(bulk, "accepted")
    assert waiting > 0, "the flood was over before the others came"
    scenario.notes.append(
        f"{waiting} of {len(bulk)} waiting; from acceptance to the attempt, beside them and alone: "
        f"another tenant {latency(beside)} and {latency(quiet)}, passwords {latency(passwords)} and {latency(urgent)}"
    )
    within = 60 + len(bulk) / SLOWEST_RATE
    await scenario.reach(bulk, len(bulk), "accepted", within=within)
    scenario.background_load.resume()
    limit = MAX_SLOWDOWN * p95(quiet)
    assert p95(beside) <= limit, f"I11: p95 {p95(beside):.3f} s beside a flood, at most {limit:.3f} s"
    limit = max(MAX_SLOWDOWN * p95(urgent), MAX_PASSWORD_SECONDS)
    assert p95(passwords) <= limit, f"passwords: p95 {p95(passwords):.3f} s behind a flood, at most {limit:.3f} s"


async def measure_few_sends(scenario: Scenario, tenant: int, *, password: bool = False) -> list[float]:
    """Seconds from the INSERT to the attempt, of a few that are sent one after the other."""
    sent: list[GeneratedSend] = []
    for _ in range(FEW):
        sent.append(await scenario.load_generator.send(PASSWORD if password else RESEND_EMAIL, tenant))
        await wait_seconds(SECONDS_BETWEEN_SENDS)
    await scenario.reach(sent, FEW, "accepted", "submitting", "unknown", "not_accepted", within=30)
    return [float(row["seconds"]) for row in await scenario.stack_database.rows(TIMES, [each.id for each in sent])]


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]


def latency(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.0f} ms (p95 {p95(seconds) * 1000:.0f})"

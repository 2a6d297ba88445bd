"""Flood one tenant and measure another's few sends, and passwords behind a bulk backlog."""

from statistics import median, quantiles

from faults.catalog.table import outage
from faults.load_generator import GeneratedSend
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.type_specs import PASSWORD, RESEND_EMAIL

FEW = 10
SECONDS_BETWEEN_SENDS = 0.2
TIMES = """
SELECT extract(epoch FROM a.started_at - n.created_at) AS seconds FROM notification n
  JOIN attempt a ON a.notification_id = n.id AND a.number = 1 WHERE n.id::text = ANY($1)
"""
# Ratio of a quiet tenant's p95 to its own on an idle machine, while the machine is busy.
MAX_SLOWDOWN = 10
SLOWEST_RATE = 12.0  # sends per second of the slowest machine on which a flood must end
# Seconds. A user waits for a password; without priority it would wait behind forty seconds of the flood.
MAX_PASSWORD_SECONDS = 2.0


@outage
async def flood_of_one_tenant(scenario: Scenario) -> None:
    """Flood one tenant with 1,000 sends (long run: 10,000): sends of another tenant, and passwords, overtake them."""
    scenario.background_load.pause()
    await scenario.wait_until_all_ended()
    quiet, urgent = await measure_few_sends(scenario, 1), await measure_few_sends(scenario, 0, password=True)
    bulk = await scenario.load_generator.batch(scenario.scale.flood)
    during, passwords = await measure_few_sends(scenario, 1), await measure_few_sends(scenario, 0, password=True)
    waiting = len(bulk) - await scenario.count(bulk, "accepted")
    assert waiting > 0, "the flood was over before the other sends began"
    scenario.notes.append(
        f"{waiting} of {len(bulk)} waiting; from acceptance to the attempt, during the flood and alone: "
        f"another tenant {latency(during)} and {latency(quiet)}, passwords {latency(passwords)} and {latency(urgent)}"
    )
    within = 60 + len(bulk) / SLOWEST_RATE
    await scenario.wait_for_attempts(bulk, len(bulk), "accepted", within=within)
    scenario.background_load.resume()
    limit = MAX_SLOWDOWN * p95(quiet)
    assert p95(during) <= limit, f"I11: p95 {p95(during):.3f} s during a flood, at most {limit:.3f} s"
    limit = max(MAX_SLOWDOWN * p95(urgent), MAX_PASSWORD_SECONDS)
    assert p95(passwords) <= limit, f"passwords: p95 {p95(passwords):.3f} s behind a flood, at most {limit:.3f} s"


async def measure_few_sends(scenario: Scenario, tenant: int, *, password: bool = False) -> list[float]:
    """Return the seconds from the INSERT to the attempt of a few consecutive sends."""
    sent: list[GeneratedSend] = []
    for _ in range(FEW):
        sent.append(await scenario.load_generator.send(PASSWORD if password else RESEND_EMAIL, tenant))
        await wait_seconds(SECONDS_BETWEEN_SENDS)
    await scenario.wait_for_attempts(sent, FEW, "accepted", "submitting", "unknown", "not_accepted", within=30)
    return [float(row["seconds"]) for row in await scenario.stack_database.rows(TIMES, [each.id for each in sent])]


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]


def latency(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.0f} ms (p95 {p95(seconds) * 1000:.0f})"

"""Sample the gauges of the installation every few seconds for the metrics page. Run by the leader."""

from collections.abc import Sequence

from dispatch.background_loops import report_failure
from metrics.samples import SampledGauges
from storage import samples
from storage.connections import DATABASE_ERRORS
from storage.database import Database

SAMPLE_INTERVAL = 10.0  # seconds; less than Prometheus waits between two scrapes


class SamplingTask:
    """Sample. `providers` are those of the settings."""

    def __init__(self, database: Database, gauges: SampledGauges, providers: Sequence[str]) -> None:
        self._database = database
        self._gauges = gauges
        self._providers = sorted(providers)

    async def sample(self) -> float:
        """Sample once. A slow database is not queried sooner: metrics have the lowest priority."""
        try:
            async with self._database.transaction() as session:
                sample = await samples.read_sample(session, self._providers)
        except DATABASE_ERRORS as error:
            self._gauges.clear()
            report_failure("samples", error)
        else:
            self._gauges.update(sample)
        return SAMPLE_INTERVAL

"""What can go wrong: importing this fills the table of faults."""

from tests.faults.catalog import (
    blocked_loops,
    code,
    devices,
    digests,
    floods,
    poison,
    postgres,
    processes,
    providers,
    races,
    receipts,
    requests,
    restores,
    temporal,
    workers,
)
from tests.faults.catalog.table import FAULTS, OUTAGES, Fault

__all__ = [
    "FAULTS",
    "OUTAGES",
    "Fault",
    "blocked_loops",
    "code",
    "devices",
    "digests",
    "floods",
    "poison",
    "postgres",
    "processes",
    "providers",
    "races",
    "receipts",
    "requests",
    "restores",
    "temporal",
    "workers",
]

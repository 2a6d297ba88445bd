"""Fill the table of faults on import."""

from faults.catalog import (
    blocked_loops,
    code,
    devices,
    digests,
    floods,
    other_vendors,
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
from faults.catalog.table import FAULTS, OUTAGES, Fault

__all__ = [
    "FAULTS",
    "OUTAGES",
    "Fault",
    "blocked_loops",
    "code",
    "devices",
    "digests",
    "floods",
    "other_vendors",
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

"""What can go wrong: importing this fills the table of faults."""

from tests.faults.acts import (
    code,
    crowds,
    digests,
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
from tests.faults.acts.table import FAULTS, OUTAGES, Act

__all__ = [
    "FAULTS",
    "OUTAGES",
    "Act",
    "code",
    "crowds",
    "digests",
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

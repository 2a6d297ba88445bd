"""What can go wrong: importing this fills the table of faults."""

from tests.faults.acts import (
    code,
    crowds,
    devices,
    digests,
    poison,
    postgres,
    processes,
    providers,
    races,
    receipts,
    requests,
    restores,
    temporal,
    wedges,
    workers,
)
from tests.faults.acts.table import FAULTS, OUTAGES, Act

__all__ = [
    "FAULTS",
    "OUTAGES",
    "Act",
    "code",
    "crowds",
    "devices",
    "digests",
    "poison",
    "postgres",
    "processes",
    "providers",
    "races",
    "receipts",
    "requests",
    "restores",
    "temporal",
    "wedges",
    "workers",
]

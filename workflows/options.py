"""Define timeouts and retry policies, one per kind of work, and the search attributes for queries by operators."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from domain import names

# A short read or write of our own: two attempts within 3 s as a local activity, then a normal activity without a limit,
# so that a database outage holds no workflow task.
LOCAL_TIMEOUT = timedelta(seconds=3)
LOCAL_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=2)
DATABASE_TIMEOUT = timedelta(seconds=20)

# For our own errors only. The outcome of a provider call is a value, and the workflow retries it.
UNLIMITED_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)

# How long a call waits in a provider's own queue before the workflow checks whether any process has the provider.
# Doubles each time, since a backlog at the provider's rate may be long.
QUEUE_TIMEOUT = timedelta(minutes=5)
MAX_QUEUE_TIMEOUT = timedelta(hours=1)

TENANT = SearchAttributeKey.for_keyword(names.TENANT_ATTRIBUTE)
TYPE = SearchAttributeKey.for_keyword(names.TYPE_ATTRIBUTE)
STATUS = SearchAttributeKey.for_keyword(names.STATUS_ATTRIBUTE)
CHANNEL = SearchAttributeKey.for_keyword_list(names.CHANNEL_ATTRIBUTE)
STEP = SearchAttributeKey.for_int(names.STEP_ATTRIBUTE)
PRIORITY = SearchAttributeKey.for_int(names.PRIORITY_ATTRIBUTE)
SCHEDULE = SearchAttributeKey.for_keyword_list(names.SCHEDULE_ATTRIBUTE)
BUILDS = SearchAttributeKey.for_keyword_list(names.BUILDS_ATTRIBUTE)

# Values of STATUS while a workflow waits. After an unsuccessful end STATUS is the notification's status.
SCHEDULED = "SCHEDULED"
RETRYING = "RETRYING"
HELD = "HELD"
RECONCILING = "RECONCILING"
WAITING = "WAITING"
COLLECTING = "COLLECTING"

# Long enough for a type with a million subscribers. The heartbeat detects a lost worker.
TICK_TIMEOUT = timedelta(hours=1)
TICK_HEARTBEAT = timedelta(seconds=60)
SINGLE_ATTEMPT = RetryPolicy(maximum_attempts=1)

# The queue ends a wait with a known end. The workflow's own timer is the fallback after this delay.
QUEUE_FALLBACK_DELAY = timedelta(minutes=2)
# Shorter waits for a goal end by their own timer, which costs less than a claim and a signal.
QUEUED_WAIT_THRESHOLD = timedelta(minutes=1)
MIN_WAIT = timedelta(seconds=1)
MAX_HISTORY_EVENTS = 3_500  # more events than this continue as a new run

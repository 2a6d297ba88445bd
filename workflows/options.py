"""Time-outs and retry policies, one per kind of work; and the search attributes an operator queries by."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from domain import names

# A short read or write of our own: twice within 3 s in place, then as a normal activity for as long as it takes, so
# that a database outage holds no workflow task.
LOCAL_TIMEOUT = timedelta(seconds=3)
LOCAL_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=2)
DATABASE_TIMEOUT = timedelta(seconds=20)

# Our own errors only; what a provider answers is a value, and its retries are the workflow's.
UNLIMITED_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)

# How long a call waits in a provider's own queue before it is asked whether any process has the provider; doubled each
# time that one has, since a backlog at the provider's rate may be long.
QUEUE_TIMEOUT = timedelta(minutes=5)
MAX_QUEUE_TIMEOUT = timedelta(hours=1)

TENANT = SearchAttributeKey.for_keyword(names.TENANT_ATTRIBUTE)
TYPE = SearchAttributeKey.for_keyword(names.TYPE_ATTRIBUTE)
STATUS = SearchAttributeKey.for_keyword(names.STATUS_ATTRIBUTE)
CHANNEL = SearchAttributeKey.for_keyword_list(names.CHANNEL_ATTRIBUTE)
STEP = SearchAttributeKey.for_int(names.STEP_ATTRIBUTE)
PRIORITY = SearchAttributeKey.for_int(names.PRIORITY_ATTRIBUTE)
SCHEDULE = SearchAttributeKey.for_keyword_list(names.SCHEDULE_ATTRIBUTE)

# Values of STATUS while a workflow waits; at an unhappy end it holds the notification's status.
SCHEDULED = "SCHEDULED"
RETRYING = "RETRYING"
HELD = "HELD"
RECONCILING = "RECONCILING"
WAITING = "WAITING"
COLLECTING = "COLLECTING"

# Of a type with a million subscribers; a worker that is lost is noticed by its heartbeat.
TICK_TIMEOUT = timedelta(hours=1)
TICK_HEARTBEAT = timedelta(seconds=60)
SINGLE_ATTEMPT = RetryPolicy(maximum_attempts=1)

# A wait until a moment ends through the queue. Its own timer ends it if the queue has not done so by then.
QUEUE_FALLBACK_DELAY = timedelta(minutes=2)
# Shorter waits for a goal end by their own timer: a claim and a signal would cost more.
QUEUED_WAIT_THRESHOLD = timedelta(minutes=1)
MIN_WAIT = timedelta(seconds=1)
MAX_HISTORY_EVENTS = 3_500  # events; then a workflow that goes on does so as a new one

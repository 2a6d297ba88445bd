"""What nobody could be reached with, and what may or may not have arrived: by reason, count and age."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.paging import SEPARATOR, Page, Paging, PagingDep, not_ours
from api.parts import PartsDep
from api.schemas.base import ChannelName, Timestamp
from api.schemas.failures import FailureGroup
from domain.clock import now
from domain.durations import shortened
from domain.reasons import first_category, line, lines
from storage import failures
from storage.failures import Failures, Place
from storage.parked import Filter

router = APIRouter(route_class=FrontDoor, tags=["redrives"], prefix="/failures")

LONGEST_COUNT = 18  # digits
OF_REASON = "A code, or that of its cause: `gave_up`, `timeout`, `gave_up: timeout`."


@router.get("")
@scope("read")
async def list_failures(
    caller: CallerDep,
    parts: PartsDep,
    paging: PagingDep,
    notification_type: Annotated[str | None, Query(max_length=255)] = None,
    status: Literal["FAILED", "IN_DOUBT"] | None = None,
    channel: ChannelName | None = None,
    failure_reason: Annotated[str | None, Query(max_length=1_000, description=OF_REASON)] = None,
    recipient_id: Annotated[str | None, Query(max_length=255)] = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    created_from: Timestamp | None = None,
    created_before: Timestamp | None = None,
) -> Page[FailureGroup]:
    """Notifications that failed alike, counted, the most frequent first; what was redriven is none of them."""
    wanted = Filter(
        notification_type=notification_type,
        status=status,
        channel=channel,
        failure_reason=failure_reason,
        recipient_id=recipient_id,
        tag=tag,
        created_from=created_from,
        created_before=created_before,
    )
    async with parts.database.transaction() as session:
        rows = await failures.page(session, caller.tenant, wanted, after=_after(paging), limit=paging.fetch)
    return paging.page(rows, _key, as_group)


def as_group(found: Failures) -> FailureGroup:
    derived = ("channel", "reason", "category", "age", "sample_ids")
    failures = found.failures
    channel = failures[0].channel if len(failures) == 1 else None
    return FailureGroup(
        **{name: getattr(found, name) for name in FailureGroup.model_fields if name not in derived},
        channel=channel,
        reason=line(failures[0].reason) if len(failures) == 1 else lines(failures) or "",
        category=first_category(failures),
        age=shortened(now() - found.oldest),
        sample_ids=list(found.sample_ids),
    )


def _key(found: Failures) -> str:
    place = found.place
    return SEPARATOR.join((str(place.count), place.notification_type, place.status, place.key))


def _after(paging: Paging) -> Place | None:
    after = paging.after_parts(4)
    if after is None:
        return None
    count, notification_type, status, key = after.split(SEPARATOR)
    if not (count.isascii() and count.isdecimal() and len(count) < LONGEST_COUNT):
        raise not_ours()
    return Place(count=int(count), notification_type=notification_type, status=status, key=key)

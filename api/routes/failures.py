"""Route of dead letters: notifications that are FAILED or IN_DOUBT, grouped by reason."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep, FilterDep
from api.paging import Page, PagingDep
from api.schemas.failures import FailureGroup
from domain.clock import now
from domain.cursors import join_texts, split_texts
from domain.durations import format_rounded
from domain.reasons import failure_line, first_category, reason_line
from storage import dead_letters
from storage.dead_letters import DeadLetterGroup, FailureGroupCursor

router = APIRouter(route_class=AuthenticatedRoute, tags=["redrives"], prefix="/failures")

MAX_COUNT_DIGITS = 18
REASON_DESCRIPTION = "A reason code, its cause, or both: `retries_exhausted`, `timeout`, `retries_exhausted: timeout`."


@router.get("")
@scope("read")
async def list_failures(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    shared_filter: FilterDep,
    status: Literal["FAILED", "IN_DOUBT"] | None = None,
    failure_reason: Annotated[str | None, Query(max_length=1_000, description=REASON_DESCRIPTION)] = None,
) -> Page[FailureGroup]:
    """List groups of FAILED and IN_DOUBT notifications with the same reason, largest first, without redriven ones."""
    wanted = replace(shared_filter, status=status, failure_reason=failure_reason)
    async with container.database.transaction() as session:
        rows = await dead_letters.list_failure_groups(
            session, caller.tenant, wanted, after=paging.parse(_parse_group_cursor), limit=paging.fetch_limit
        )
    return paging.page(rows, lambda row: join_texts(*row.cursor), failure_group)


def failure_group(found: DeadLetterGroup) -> FailureGroup:
    derived = ("channel", "reason", "category", "age", "sample_ids")
    failures = found.failures
    channel = failures[0].channel if len(failures) == 1 else None
    return FailureGroup(
        **{name: getattr(found, name) for name in FailureGroup.model_fields if name not in derived},
        channel=channel,
        reason=reason_line(failures[0].reason) if len(failures) == 1 else failure_line(failures) or "",
        category=first_category(failures),
        age=format_rounded(now() - found.oldest),
        sample_ids=list(found.sample_ids),
    )


def _parse_group_cursor(text: str) -> FailureGroupCursor:
    count, notification_type, status, key = split_texts(text, 4)
    if not (count.isascii() and count.isdecimal() and len(count) < MAX_COUNT_DIGITS):
        raise ValueError("does not begin with a count")
    return int(count), notification_type, status, key

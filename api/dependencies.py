"""Give routes the container of the application, the caller, and the filter of lists of notifications."""

from typing import Annotated

from fastapi import Depends, Query, Request

from api.schemas.base import ChannelName, Timestamp
from bootstrap import Container
from domain.audit import Caller
from storage.notifications import NotificationFilter


def container_of(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


async def _get_container(request: Request) -> Container:
    """Return the container. Asynchronous, because FastAPI runs other dependencies in a thread, which costs more than
    the call."""
    return container_of(request)


async def _get_caller(request: Request) -> Caller:
    """Return the caller that AuthenticatedRoute stored. Public routes have none."""
    caller: Caller = request.state.caller
    return caller


async def _read_filter(
    recipient_id: Annotated[str | None, Query(max_length=255)] = None,
    notification_type: Annotated[str | None, Query(max_length=255)] = None,
    channel: ChannelName | None = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    created_from: Annotated[Timestamp | None, Query(description="Accepted at or after this time.")] = None,
    created_before: Annotated[Timestamp | None, Query(description="Accepted before this time.")] = None,
) -> NotificationFilter:
    """Return the members that all lists of notifications filter by."""
    return NotificationFilter(
        recipient_id=recipient_id,
        notification_type=notification_type,
        channel=channel,
        tag=tag,
        created_from=created_from,
        created_before=created_before,
    )


ContainerDep = Annotated[Container, Depends(_get_container)]
CallerDep = Annotated[Caller, Depends(_get_caller)]
FilterDep = Annotated[NotificationFilter, Depends(_read_filter)]

"""Route of provider callbacks: verify them over the raw bytes, store them and respond. They are applied later."""

import asyncio
from functools import partial

import structlog
from fastapi import APIRouter, Request, Response

from api.authenticated_route import BATCH_THREAD, THREAD_THRESHOLD, AuthenticatedRoute, accepts_any_query, public
from api.dependencies import ContainerDep
from api.json_values import has_more_values
from api.limits.body_budget import BodyBudget
from api.limits.rate_limits import RateLimits
from api.openapi import problem_response, problem_responses
from api.problems import Problem, not_found
from bootstrap import Container
from domain.json_types import Json
from providers.base import ForgedReceipt, Provider, UnreadableReceipt
from providers.outcomes import ProviderError
from services.receipts import ParsedReceipt, TooManyEvents, parse_receipts, store_receipts

log = structlog.get_logger(__name__)
router = APIRouter(route_class=AuthenticatedRoute, tags=["receipts"])

BODY_LIMIT = 1024 * 1024
VALUE_LIMIT = 100_000
STORED: Json = {"description": "Stored; for providers that repeat a callback unless it gets 200"}
RETRY_AFTER = {"Retry-After": "5"}
FORGED_PROBLEM = ("forged", "The provider's signature is missing or wrong")


@router.post(
    "/receipts/{provider}",
    status_code=204,
    responses=problem_responses(400, 413) | {200: STORED, 401: problem_response(401, FORGED_PROBLEM[1])},
)
@public
@accepts_any_query  # vendors add parameters to the callback URL and sign them with it
async def receive_receipts(provider: str, request: Request, container: ContainerDep) -> Response:
    """Accept a provider's signed callback. 204 or 200 once it is stored, even if it matches no message yet."""
    rates: RateLimits = request.app.state.rate_limits
    async with rates.receipts.count_unverified(request):
        adapter = _get_adapter(container, provider)
        parsed = await _read_and_parse(adapter, request)
    await store_receipts(container.database, parsed, container.settings.sms_answers)
    container.wake_receipt_applier()
    container.sms_answerer.wake()
    return Response(status_code=adapter.receipt_status)


def _get_adapter(container: Container, provider: str) -> Provider:
    adapter = container.providers.get(provider)
    if adapter is None:
        raise not_found("No channel's pool has this provider.")
    if not adapter.parses_receipts():
        raise not_found("This provider sends no receipts.")
    return adapter


async def _read_and_parse(adapter: Provider, request: Request) -> list[ParsedReceipt]:
    budget: BodyBudget = request.app.state.body_budget
    async with budget.read(request, BODY_LIMIT) as body:
        return await _verify_and_parse(adapter, request, body)


async def _verify_and_parse(adapter: Provider, request: Request, body: bytes) -> list[ParsedReceipt]:
    # A body that is not JSON, such as a form, has no values: its commas and brackets are escaped.
    if has_more_values(body, VALUE_LIMIT):
        raise Problem(413, f"The body may have at most {VALUE_LIMIT} JSON values.")
    parse = partial(parse_receipts, adapter, request.headers, body, request.scope["query_string"].decode("latin-1"))
    try:
        await adapter.prepare_receipts(request.headers, body)
        if len(body) <= THREAD_THRESHOLD:
            return parse()
        return await asyncio.get_running_loop().run_in_executor(BATCH_THREAD, parse)
    except ProviderError as error:
        log.warning("receipt not verified", provider=adapter.name, reason=error.reason)
        raise Problem(503, "The receipt cannot be verified now.", headers=RETRY_AFTER) from None
    except (ForgedReceipt, UnreadableReceipt, TooManyEvents) as error:
        log.warning("receipt refused", provider=adapter.name, reason=str(error))
        if isinstance(error, TooManyEvents):
            raise Problem(413, f"A request may report at most {adapter.max_events} events.") from None
        if isinstance(error, ForgedReceipt):
            raise Problem(401, problem_type=FORGED_PROBLEM) from None
        raise Problem(400, "The body is not in the format of this provider.") from None

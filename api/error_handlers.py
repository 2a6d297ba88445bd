"""Exception handlers: every error leaves as a problem, and only our own bugs as 500."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.problems import Problem
from api.validation_issues import problem_of
from rendering.fair_queue import RenderQueueFull
from storage.outages import DATABASE_ERRORS, is_outage

RETRY_AFTER = {"Retry-After": "1"}
TOO_MANY_WAITING_DETAIL = (
    "Too many templates and payloads of this tenant are being processed; repeat the request later."
)


def install(app: FastAPI) -> None:
    """What is not handled here reaches `api/request_middleware.py`, which answers 500."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RenderQueueFull, _too_many_waiting)
    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, _database)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Problem):
        raise error
    return error.response


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_of(error, creates=request.method == "PUT").response


async def _http(_: Request, error: Exception) -> JSONResponse:
    """Starlette's own: no such path, method not allowed. Its detail repeats nothing of ours or theirs."""
    if not isinstance(error, HTTPException):
        raise error
    return Problem(error.status_code, headers=error.headers).response


async def _too_many_waiting(_: Request, __: Exception) -> JSONResponse:
    return Problem(429, TOO_MANY_WAITING_DETAIL, headers=RETRY_AFTER).response


async def _database(_: Request, error: Exception) -> JSONResponse:
    if not is_outage(error):
        raise error
    return Problem(503, "The database does not answer.", headers=RETRY_AFTER).response

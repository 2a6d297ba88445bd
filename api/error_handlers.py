"""Convert every exception to a problem response. Only our own bugs become 500."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.problems import Problem, invalid
from api.pydantic_errors import problem_of
from domain.validation_issues import InvalidInput
from rendering.fair_queue import RenderQueueFull
from storage.connections import DATABASE_ERRORS, is_outage

RETRY_AFTER = {"Retry-After": "1"}
TOO_MANY_WAITING_DETAIL = "Too many templates and payloads of this tenant are being processed; retry later."


def install(app: FastAPI) -> None:
    """Install the handlers. Exceptions without a handler reach `api/request_middleware.py`, which responds with 500."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(InvalidInput, _invalid_input)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RenderQueueFull, _too_many_waiting)
    for error_type in DATABASE_ERRORS:
        app.add_exception_handler(error_type, _database)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Problem):
        raise error
    return error.response


async def _invalid_input(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, InvalidInput):
        raise error
    return invalid(*error.issues).response


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_of(error, creates=request.method == "PUT").response


async def _http(_: Request, error: Exception) -> JSONResponse:
    """Convert Starlette's own exceptions, such as an unknown path or method. Their detail holds no data of ours or of
    the request."""
    if not isinstance(error, HTTPException):
        raise error
    return Problem(error.status_code, headers=error.headers).response


async def _too_many_waiting(_: Request, __: Exception) -> JSONResponse:
    return Problem(429, TOO_MANY_WAITING_DETAIL, headers=RETRY_AFTER).response


async def _database(_: Request, error: Exception) -> JSONResponse:
    if not is_outage(error):
        raise error
    return Problem(503, "The database is unavailable.", headers=RETRY_AFTER).response

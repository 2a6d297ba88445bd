"""Map Jinja2's exceptions to reasons that are safe to store: exception texts can quote the payload."""

import re
from collections.abc import Callable
from types import TracebackType

from jinja2 import TemplateError, TemplateRuntimeError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from rendering.messages import RenderFailure

# Exceptions that templates cause in Jinja2, its filters and Python's compiler. Any other exception ends the child,
# which `renderer` handles.
TEMPLATE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TemplateError,
    TypeError,
    ValueError,
)

TOO_SLOW = "took longer than 1 s"
TOO_MUCH_MEMORY = "needed more than 256 MiB"
TOO_LONG = "output larger than 1 MiB"
INPUT_TOO_LONG = "template and variables larger than 2 MiB"
NOT_JSON = "variables are not plain JSON"
PROCESS_DIED = "the rendering process died"
QUARANTINED = "was stopped twice and is refused for 5 minutes"
SCHEMA_TOO_LARGE = "needs more than 32 MiB once compiled"
UNSTORABLE = "output contains a NUL character or half a surrogate pair"
TOO_LARGE = "a number or range is too large"
TOO_DEEP = "nested too deeply"
WRONG_VALUE = "a value does not fit the operation, filter or function it is used with"
FORBIDDEN = "an attribute, method or function that templates may not use"

_MISSING_NAME = re.compile(r"No (filter|test) named '(.+?)'(?: found)?\.?")


class TemplateRuleError(TemplateError):
    """Signal a violation of Tocsin's own sandbox rules. Its text is fixed and so safe to show."""


def explain_error(error: BaseException, part: str, source: str, line_of: Callable[[int], int] | None) -> RenderFailure:
    if isinstance(error, TemplateSyntaxError):
        return RenderFailure(reason=f"syntax error: {_shorten(error.message or '')}", part=part, line=error.lineno)
    line = _template_line(error.__traceback__)
    return RenderFailure(
        reason=_find_reason(error, source), part=part, line=line_of(line) if line and line_of is not None else None
    )


def _find_reason(error: BaseException, source: str) -> str:
    if isinstance(error, UndefinedError):
        return _explain_undefined(str(error), source)
    if isinstance(error, TemplateRuleError):
        return str(error)
    if isinstance(error, TemplateRuntimeError) and (missing := _MISSING_NAME.fullmatch(str(error))):
        kind, name = missing.groups()
        return f"no {kind} named '{name}'" if _is_in_source(name, source) else f"no such {kind}"
    return next((reason for kind, reason in REASONS.items() if isinstance(error, kind)), WRONG_VALUE)


REASONS: dict[type[BaseException], str] = {
    SecurityError: FORBIDDEN,
    ZeroDivisionError: "division by zero",
    OverflowError: TOO_LARGE,
    MemoryError: TOO_MUCH_MEMORY,
    RecursionError: TOO_DEEP,
    # More than 20 nested loops: Python's compiler refuses the code that Jinja2 generates.
    SyntaxError: TOO_DEEP,
}


def _explain_undefined(message: str, source: str) -> str:
    kind, _, name = message.partition(" ")
    return f"undefined {kind} '{name}'" if _is_in_source(name, source) else f"undefined {kind}"


def _is_in_source(name: str, source: str) -> bool:
    """Return whether the template's author wrote the name. `order[key]` and `map(key)` fail with a name from the
    payload.
    """
    return name.isidentifier() and re.search(rf"\b{name}\b", source) is not None


def _shorten(message: str) -> str:
    return (message[:1].lower() + message[1:]).rstrip(".")[:300]


def _template_line(trace: TracebackType | None) -> int | None:
    """Return the line of the generated Python code, of the innermost template frame."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line

"""Tools: functions with a name, schemas and an effect.

    @tool("dates/workdays", effect="pure")
    def workdays(start: str, end: Annotated[str, "the first day that does not count"]) -> int:
        '''Counts the working days between two dates.'''

The parameters are the fields of the input, and their types make its schema; a parameter `key` is the name of this one call,
which stays the same when the call is repeated after a crash. The type that is returned makes the schema of the output.
"""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from reprise.types import Misfit, arguments_from, json_from, object_schema, parameters_of, schema_of

EFFECTS = ("pure", "read", "idempotent", "once")
ERROR_KINDS = ("invalid-input", "denied", "not-found", "conflict", "unavailable", "timeout", "broken", "failed", "cancelled")


class ToolError(Exception):
    """What a tool answers where it did not do what it was asked: `raise ToolError("not-found", "there is no such order")`."""

    def __init__(self, kind: str, message: str, detail: Any = None):
        super().__init__(message)
        if kind not in ERROR_KINDS:
            raise ValueError(f"{kind!r} is no kind of error; there are {', '.join(ERROR_KINDS)}")
        self.kind, self.message, self.detail = kind, message, detail


@dataclass
class Happened:
    """The call took effect, and this is what it would have answered."""

    output: Any


class DidNotHappen:
    """The call took no effect."""


@dataclass
class Tool:
    name: str
    description: str
    effect: str
    input_schema: Any
    output_schema: Any
    function: Callable
    reconcile: Callable | None = None

    def answer(self, input: Any, key: str) -> Any:
        """Calls it as the host does."""
        return json_from(_with_input(self.function, input, key))


#: The tools of this component, by name.
tools: dict[str, Tool] = {}


def tool(name: str, *, effect: str, input: Any = None, output: Any = None, reconcile: Callable | None = None) -> Callable:
    """Makes a tool of a function. Its first paragraph of documentation is the tool's description.

    `input` and `output` are JSON Schemas in place of those that follow from the types. `reconcile` is asked after a crash
    whether the call with its `key` took effect: it gives `Happened(output)`, `DidNotHappen()`, or None where it cannot tell.
    """

    def made(function: Callable) -> Callable:
        description = " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*/[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            raise ValueError(f'{name!r} is no name of a tool; one is like "orders/refund"')
        if effect not in EFFECTS:
            raise ValueError(f"{name}: {effect!r} is no effect; there are {', '.join(EFFECTS)}")
        if not description:
            raise ValueError(f"{name}: the function has no documentation, which would be the tool's description")
        if name in tools:
            raise ValueError(f"{name} stands twice")
        tools[name] = Tool(
            name,
            description,
            effect,
            object_schema(parameters_of(function)) if input is None else input,
            schema_of(get_type_hints(function, include_extras=True).get("return", Any)) if output is None else output,
            function,
            reconcile,
        )
        return function

    return made


def _with_input(function: Callable, input: Any, key: str) -> Any:
    try:
        arguments = arguments_from(parameters_of(function), input)
    except Misfit as misfit:
        raise ToolError("invalid-input", str(misfit)) from None
    if "key" in inspect.signature(function).parameters:
        arguments["key"] = key
    return function(**arguments)


def call(name: str, key: str, input: str) -> str:
    """A call of the host: JSON in, JSON out.

    Raises ToolError, whatever goes wrong.
    """
    if name not in tools:
        raise ToolError("not-found", f"this component has no tool {name}")
    try:
        return json.dumps(tools[name].answer(json.loads(input), key), allow_nan=False)
    except ToolError:
        raise
    except Exception as error:  # A mistake of the tool, and no answer that it meant.
        raise ToolError("broken", f"{type(error).__name__}: {error}") from error


def reconcile(name: str, key: str, input: str) -> Happened | DidNotHappen | None:
    """The host's question after a crash."""
    asked = tools[name].reconcile if name in tools else None
    try:
        return _with_input(asked, json.loads(input), key) if asked else None
    except Exception:
        return None

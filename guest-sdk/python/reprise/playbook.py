"""Playbooks: plain functions that outlive a crash.

    def run(document: str) -> dict:
        step("read")
        text = call_tool("fs/read", path=document)["text"]
        ...

The parameters of `run` are the fields of the job's input. After a crash it begins anew, and every question that it asked is
answered from the journal. So it must ask the same ones in the same order: time comes from `now`, and `random` is seeded
from the journal before `run` begins.
"""

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from reprise.types import Misfit, arguments_from, json_from, parameters_of


class ToolError(Exception):
    """A tool answered with an error. `kind` is "not-found", "conflict", "denied" or another of those in wit/types.wit."""

    def __init__(self, tool: str, kind: str, message: str, detail: Any = None):
        super().__init__(f"{tool}: {kind}: {message}")
        self.tool, self.kind, self.detail = tool, kind, detail


class Interruption(Exception):
    """A wait came to nothing: `kind` is "expired", "rejected" (then `answer` is what the person said) or "cancelled"."""

    def __init__(self, what: str, kind: str, answer: Any = None):
        why = {"expired": "the deadline passed first", "rejected": "a person said no", "cancelled": "the job is to be cancelled"}
        super().__init__(f"{what}: {why[kind]}")
        self.kind, self.answer = kind, answer


class ChildFailed(Exception):
    """A job that was started by this one failed."""

    def __init__(self, message: str, step: str | None = None, detail: Any = None):
        super().__init__(message)
        self.step, self.detail = step, detail


class Failure(Exception):
    """Ends the playbook as failed, with details for whoever looks: `raise Failure("no such order", {"order": order})`."""

    def __init__(self, message: str, detail: Any = None):
        super().__init__(message)
        self.detail = detail


@dataclass
class Host:
    """What stands behind the functions below: the imports of the component, or a script in tests."""

    #: `flow` and `data` of wit/playbook.wit, with JSON as text. They raise the errors above.
    flow: Any
    data: Any
    #: Of each tool: from the text of its input to the text of its output.
    tools: dict[str, Callable[[str], str]]


_host: Host
_step: str | None = None


def connect(host: Host) -> None:
    """Puts a host behind the functions below."""
    global _host
    _host = host


def call_tool(tool: str, input: Any = None, /, **fields: Any) -> Any:
    """Calls a tool that build.py lists: `call_tool("fs/read", path="a/b")`, or with the whole input as the second argument.

    Raises ToolError.
    """
    if tool not in _host.tools:
        raise Failure(f"{tool} is not among the tools that this playbook calls: add it to the list in build.py")
    return json.loads(_host.tools[tool](_text(fields if input is None else input)))


def step(
    id: str,
    *,
    tries: int | None = None,
    first_pause_ms: int | None = None,
    call_timeout_ms: int | None = None,
    step_timeout_ms: int | None = None,
) -> None:
    """Names the step that the calls from here on belong to, and says how they are made, where it is to be otherwise."""
    global _step
    _step = id
    options = (tries, first_pause_ms, call_timeout_ms, step_timeout_ms)
    if any(option is not None for option in options):
        _host.flow.step_with(id, *options)
    else:
        _host.flow.step(id)


def sleep(milliseconds: int) -> None:
    """Waits, for days if need be, without an instance in memory. Raises Interruption."""
    _host.flow.sleep(milliseconds)


def wait_signal(name: str, *, timeout_ms: int | None = None) -> Any:
    """Waits for a signal of this name; what came with it. Raises Interruption."""
    return json.loads(_host.flow.wait_signal(name, timeout_ms))


def approve(title: str, request: Any, *, timeout_ms: int | None = None) -> Any:
    """Waits for a person to approve of `request`; what they answered. Raises Interruption."""
    return json.loads(_host.flow.approve(title, _text(request), timeout_ms))


def branch() -> str | None:
    """Which part of the playbook this job is to do: None, or the name that was given to `start_branch`."""
    return _host.flow.branch()


def start_branch(name: str, input: Any) -> int:
    """Starts a job that does another branch of this component; its number, for `join` and `first`."""
    return _host.flow.start_branch(name, _text(input))


def start_playbook(playbook: str, input: Any) -> int:
    """Starts a job of another playbook; its number. Raises ChildFailed."""
    return _host.flow.start_playbook(playbook, _text(input))


def join(child: int) -> Any:
    """Waits for a child's end; its output. Raises ChildFailed."""
    return json.loads(_host.flow.join(child))


def first(children: list[int]) -> int:
    """Waits until one of the children has ended, and says which."""
    return _host.flow.first(children)


def cancel_child(child: int) -> None:
    """Asks for a child to be cancelled; `join` says what became of it."""
    _host.flow.cancel_child(child)


def compensate() -> None:
    """From here on the playbook undoes what it did: calls and waits go through though the job is to be cancelled."""
    _host.flow.compensate()


def now() -> datetime:
    """The time, as it was when it was first asked."""
    return datetime.fromtimestamp(_host.flow.now() / 1000, timezone.utc)


def random_u64() -> int:
    """64 random bits, the same after a crash."""
    return _host.flow.random_u64()


def log(level: str, message: str) -> None:
    """`level` is "debug", "info", "warn" or "error"."""
    _host.flow.log(level, message)


def misfit(value: Any, schema: Any) -> str | None:
    """What of the value does not fit a JSON Schema (2020-12), a line each; None where all does."""
    return _host.data.check(_text(value), _text(schema))


class Failed(Exception):
    """How a playbook ended that failed, as the world has it."""

    def __init__(self, step: str | None, message: str, detail: str | None):
        super().__init__(message)
        self.step, self.message, self.detail = step, message, detail


def perform(run: Callable, input: str) -> str:
    """Runs a playbook's function as the world wants it. Raises Failed."""
    global _step
    _step = None
    try:
        try:
            arguments = arguments_from(parameters_of(run), json.loads(input))
        except Misfit as misfit:
            raise Failure(f"the input does not fit: {misfit}") from None
        return _text(run(**arguments))
    except ToolError as error:
        detail = {"tool": error.tool, "kind": error.kind}
        raise _failed(error, detail if error.detail is None else {**detail, "detail": error.detail}) from error
    except Interruption as error:
        raise _failed(error, error.answer) from error
    except (ChildFailed, Failure) as error:
        raise _failed(error, error.detail) from error
    except Exception as error:  # A mistake in the playbook: say where it lies.
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        raise Failed(_step, f"{type(error).__name__}: {error}", _text({"trace": where})) from error


def _failed(error: Exception, detail: Any) -> Failed:
    return Failed(_step, str(error), None if detail is None else _text(detail))


def _text(value: Any) -> str:
    return json.dumps(json_from(value), allow_nan=False)

"""The tools of the namespace {{namespace}}."""

from dataclasses import dataclass
from typing import Annotated, Literal

from reprise.tool import ToolError, tool


@dataclass
class Bumped:
    version: Annotated[str, "the next version"]


# "pure": the same input gives the same output, and nothing is touched. The others are "read", "idempotent" and "once"; a
# parameter `key` gets the name of this one call, which stays the same when the call is repeated. The other parameters are the
# fields of the input, and their types make its schema.
@tool("{{namespace}}/bump", effect="pure")
def bump(version: Annotated[str, "three numbers joined by dots"], part: Literal["major", "minor", "patch"]) -> Bumped:
    """Raises one part of a version, and sets those behind it to 0."""
    numbers = version.split(".")
    if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ToolError("invalid-input", f"{version!r} is not three numbers joined by dots")
    at = ["major", "minor", "patch"].index(part)
    raised = [int(number) for number in numbers[:at]] + [int(numbers[at]) + 1] + [0] * (2 - at)
    return Bumped(".".join(map(str, raised)))

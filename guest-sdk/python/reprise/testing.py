"""Plays a playbook without WebAssembly: the script says what it is expected to ask for, and what it is answered."""

import json
from dataclasses import dataclass, field
from typing import Any

from reprise import playbook
from reprise.playbook import ChildFailed, Failed, Host, Interruption, ToolError


@dataclass
class Played:
    """How it ended: with an output, or with a failure."""

    output: Any = None
    failure: Failed | None = None
    steps: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def play(run: Any, input: Any, *script: tuple, now: int = 0, random: int = 0, branch: str | None = None) -> Played:
    """Runs it against a script, of which every line must be asked for, in this order:

        ("fs/read", {"path": "a"}, {"text": "b"})               a call, its input and its output,
        ("fs/read", {"path": "a"}, ToolError("fs/read", "not-found", "..."))    or an error
        ("approve", "Title?", {"the": "request"}, "yes")        or Interruption("Title?", "rejected", "no")
        ("wait_signal", "paid", {"sum": 5})                     or Interruption("paid", "expired")
        ("sleep", 1000, None)
        ("start_branch", "left", {"its": "input"}, 0)           the last is the child's number; so with start_playbook
        ("join", 0, 5)                                          or ChildFailed("...")
        ("first", [0, 1], 1), ("cancel_child", 0, None), ("compensate", None)

    Raises AssertionError where it asks for something else, or does not ask for all.
    """
    host = _Script(list(script), now, random, branch)
    playbook.connect(Host(host, host, _Tools(host)))
    played = Played(steps=host.steps, log=host.log_lines)
    try:
        played.output = json.loads(playbook.perform(run, json.dumps(input)))
    except Failed as failed:
        if isinstance(failed.__cause__, AssertionError):
            raise failed.__cause__
        played.failure = failed
    assert host.at == len(script), f"the playbook ended before line {host.at + 1} of the script; {played}"
    return played


class _Tools:
    def __init__(self, host: "_Script"):
        self.host = host

    def __contains__(self, tool: str) -> bool:
        return True

    def __getitem__(self, tool: str) -> Any:
        return lambda input: json.dumps(self.host.asked(tool, json.loads(input)))


class _Script:
    def __init__(self, script: list[tuple], now: int, random: int, branch: str | None):
        self.script, self.at = script, 0
        self.steps: list[str] = []
        self.log_lines: list[str] = []
        self.now, self.random_u64, self.branch = lambda: now, lambda: random, lambda: branch

    def asked(self, *question: Any) -> Any:
        assert self.at < len(self.script), f"the playbook asks for {question}, and the script ends before"
        *expected, answer = self.script[self.at]
        self.at += 1
        assert list(question) == expected, f"line {self.at} of the script is {expected}; the playbook asks for {list(question)}"
        if isinstance(answer, Exception):
            raise answer
        return answer

    def step(self, id: str, *options: Any) -> None:
        self.steps.append(id)

    step_with = step

    def sleep(self, milliseconds: int) -> None:
        self.asked("sleep", milliseconds)

    def wait_signal(self, name: str, timeout: int | None) -> str:
        return json.dumps(self.asked("wait_signal", name))

    def approve(self, title: str, request: str, timeout: int | None) -> str:
        return json.dumps(self.asked("approve", title, json.loads(request)))

    def start_branch(self, name: str, input: str) -> int:
        return self.asked("start_branch", name, json.loads(input))

    def start_playbook(self, name: str, input: str) -> int:
        return self.asked("start_playbook", name, json.loads(input))

    def join(self, child: int) -> str:
        return json.dumps(self.asked("join", child))

    def first(self, children: list[int]) -> int:
        return self.asked("first", children)

    def cancel_child(self, child: int) -> None:
        self.asked("cancel_child", child)

    def compensate(self) -> None:
        self.asked("compensate")

    def log(self, level: str, message: str) -> None:
        self.log_lines.append(f"{level}: {message}")

    def check(self, document: str, schema: str) -> None:
        """Schemas are checked by the host; here whatever comes fits."""

"""Builds a component of a Python module: what `build.py` of a project calls.

In build/ it leaves what it made on the way: the world (WIT) and the entry that puts your code behind it. The compiler,
componentize-py, is installed into .venv if it is not there.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

COMPILER = "componentize-py==0.25.1"
NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
LIBRARY = Path(__file__).resolve().parent


def tool(name: str, module: str = "tool", wasi: bool = False) -> None:
    """Makes NAME.wasm of a module with tools.

    `wasi`: the component imports WASI, for files, the clock and randomness; each is granted by an operator, or inert.
    """
    if not re.fullmatch(NAME, name):
        sys.exit(f"{name!r} is no name: lower-case words, joined by dashes")
    _build(name, module, _tool_world(), _TOOL_ENTRY, None, wasi)


def playbook(name: str, module: str = "playbook", calls: Sequence[str] = ()) -> None:
    """Makes NAME.wasm of a module with `run`. `calls`: every tool that it calls; it can reach nothing else."""
    for called in calls:
        if not re.fullmatch(f"{NAME}/{NAME}", called):
            sys.exit(f'build.py: {called!r} is no name of a tool; one is like "fs/read"')
    used = _used(Path(module.replace(".", "/") + ".py"))
    _build(name, module, _playbook_world(calls, used), _playbook_entry(calls, used), used, False)


def _build(name: str, module: str, world: str, entry: str, used: set[str] | None, wasi: bool) -> None:
    build = Path("build")
    shutil.rmtree(build, ignore_errors=True)
    contract = build / "wit/deps/reprise-playbook"
    contract.mkdir(parents=True)
    (build / "app").mkdir()
    # The contract lies beside this file, or at the top of the repository that this file comes from.
    source = next(path for path in (LIBRARY / "wit", LIBRARY.parents[2] / "wit") if path.is_dir())
    for file in ("types.wit", "playbook.wit", "tool.wit"):
        text = (source / file).read_text()
        (contract / file).write_text(_trimmed(text, used) if file == "playbook.wit" else text)
    (build / "wit/world.wit").write_text(world)
    (build / "app/component_entry.py").write_text(entry.replace("MODULE", module))
    command = [_compiler(), "--quiet", "--full-names", "-d", str(build / "wit"), "-w", "component", "componentize"]
    command += ["-p", str(build / "app"), "-p", ".", "-p", str(LIBRARY.parent), "component_entry", "-o", f"{name}.wasm"]
    # Nothing of WASI is imported: a playbook gets none, and a tool that does without needs no grant.
    done = subprocess.run(command + ([] if wasi else ["--stub-wasi"]))
    if done.returncode != 0:
        sys.exit(done.returncode)
    print(f"{name}.wasm: {Path(f'{name}.wasm').stat().st_size} bytes")


def _compiler() -> str:
    """The path of componentize-py, which is installed where it is not there yet."""
    place = Path(os.environ.get("REPRISE_VENV", ".venv"))
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    compiler = programs / ("componentize-py.exe" if os.name == "nt" else "componentize-py")
    if not compiler.exists():
        print(f"installing {COMPILER} into {place}", file=sys.stderr)
        venv.create(place, with_pip=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", COMPILER], check=True)
    return str(compiler)


def _used(file: Path) -> set[str] | None:
    """The functions of reprise.playbook that the modules beside `file` import; None where it may be any."""
    used: set[str] = set()
    for path in file.parent.rglob("*.py"):
        if path.parts[0] in ("build", "reprise") or any(part.startswith(".") for part in path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ImportFrom) and node.module == "reprise.playbook":
                used.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module == "reprise" or isinstance(node, ast.Import):
                if any(alias.name in ("reprise.playbook", "playbook") and alias.name != file.stem for alias in node.names):
                    return None
                used.update("random_u64" for alias in node.names if alias.name == "random")
    return None if "*" in used else used


def _functions(used: set[str] | None) -> set[str] | None:
    """The functions of `flow` and `data` behind those of reprise.playbook. None of it asks for `checks`."""
    if used is None:
        return None
    more = {"step": {"step", "step-with"}, "misfit": {"check"}}
    return set().union(*(more.get(name, {name.replace("_", "-")}) for name in used))


def _trimmed(wit: str, used: set[str] | None) -> str:
    """The contract without the functions that nothing calls: what a component does not import it cannot reach."""
    wanted = _functions(used)
    if wanted is None:
        return wit
    function = re.compile(r"(?:^    ///.*\n)*^    ([a-z0-9-]+): func\(.*;\n", re.MULTILINE)
    parts = re.split(r"(?=^interface )", wit, flags=re.MULTILINE)
    without = lambda part: function.sub(lambda found: found[0] if found[1] in wanted else "", part)
    return "".join(without(part) if re.match("interface (flow|data|checks) ", part) else part for part in parts)


def _imports(used: set[str] | None) -> tuple[bool, bool]:
    """Whether anything of `flow` and of `data` is imported."""
    wanted = _functions(used)
    return wanted is None or bool(wanted - {"check"}), wanted is None or "check" in wanted


def _tool_world() -> str:
    return "package local:generated;\nworld component {\n    export reprise:playbook/tools@0.1.0;\n}\n"


def _playbook_world(calls: Sequence[str], used: set[str] | None) -> str:
    flow, data = _imports(used)
    text = "package local:generated;\nworld component {\n"
    text += "    import reprise:playbook/flow@0.1.0;\n" * flow + "    import reprise:playbook/data@0.1.0;\n" * data
    namespaces: dict[str, list[str]] = {}
    for called in calls:
        namespace, short = called.split("/")
        text += f"    import tool:%{namespace}/%{short};\n"
        namespaces.setdefault(namespace, []).append(short)
    text += "    export reprise:playbook/playbook@0.1.0;\n}\n"
    for namespace, tools in namespaces.items():
        text += f"package tool:%{namespace} {{\n"
        for short in tools:
            text += f"    interface %{short} {{\n        use reprise:playbook/types@0.1.0.{{json, tool-error}};\n"
            text += "        call: func(input: json) -> result<json, tool-error>;\n    }\n"
        text += "}\n"
    return text


_TOOL_ENTRY = '''
"""What stands between the world and MODULE."""
import json

import MODULE
from componentize_py_types import Err
from reprise import tool
from wit_world import exports
from wit_world.exports import reprise_playbook_tools_0_1_0 as face
from wit_world.imports import reprise_playbook_types_0_1_0 as types


class ReprisePlaybookTools010(exports.ReprisePlaybookTools010):
    def describe(self):
        return [
            face.ToolInfo(t.name, t.description, json.dumps(t.input_schema), json.dumps(t.output_schema), types.Effect[t.effect.upper()])
            for t in tool.tools.values()
        ]

    def call(self, name, key, input):
        try:
            return tool.call(name, key, input)
        except tool.ToolError as error:
            kind = types.ErrorKind[error.kind.upper().replace("-", "_")]
            detail = None if error.detail is None else json.dumps(error.detail)
            raise Err(types.ToolError(kind, error.message, detail)) from None

    def reconcile(self, name, key, input):
        answer = tool.reconcile(name, key, input)
        if isinstance(answer, tool.Happened):
            return face.Reconciliation_Happened(json.dumps(tool.json_from(answer.output)))
        return face.Reconciliation_DidNotHappen() if isinstance(answer, tool.DidNotHappen) else face.Reconciliation_Unknown()
'''.lstrip()


def _playbook_entry(calls: Sequence[str], used: set[str] | None) -> str:
    has_flow, has_data = _imports(used)
    module = lambda called: "tool_" + called.replace("/", "_").replace("-", "_")
    imports = "".join(f"import wit_world.imports.{module(called)} as {module(called)}\n" for called in calls)
    table = "".join(f"    {called!r}: _tool({called!r}, {module(called)}.call),\n" for called in calls)
    flow = "import wit_world.imports.reprise_playbook_flow_0_1_0 as world_flow\n" if has_flow else "world_flow = None\n"
    data = "import wit_world.imports.reprise_playbook_data_0_1_0 as world_data\n" if has_data else "world_data = None\n"
    seed = "        random.seed(world_flow.random_u64())\n" if used is not None and "random_u64" in used else ""
    return _PLAYBOOK_ENTRY.replace("IMPORTS\n", imports + flow + data).replace("TABLE\n", table).replace("        SEED\n", seed)


_PLAYBOOK_ENTRY = '''
"""What stands between the world and MODULE."""
import json
import random

import MODULE as mine
from componentize_py_types import Err
from reprise import playbook
from wit_world import exports
from wit_world.imports import reprise_playbook_types_0_1_0 as types
IMPORTS


def _tool(name, call):
    def called(input):
        try:
            return call(input)
        except Err as error:
            told = error.value
            detail = None if told.detail is None else json.loads(told.detail)
            raise playbook.ToolError(name, told.kind.name.lower().replace("_", "-"), told.message, detail) from None

    return called


class Flow:
    def step(self, id):
        world_flow.step(id)

    def step_with(self, id, *options):
        world_flow.step_with(id, world_flow.StepOptions(*options))

    def sleep(self, milliseconds):
        self._wait("sleep", lambda: world_flow.sleep(milliseconds))

    def wait_signal(self, name, timeout):
        return self._wait(name, lambda: world_flow.wait_signal(name, timeout))

    def approve(self, title, request, timeout):
        return self._wait(title, lambda: world_flow.approve(title, request, timeout))

    def _wait(self, what, question):
        try:
            return question()
        except Err as error:
            kind = type(error.value).__name__.removeprefix("Interruption_").lower()
            raise playbook.Interruption(what, kind, json.loads(error.value.value) if kind == "rejected" else None) from None

    def start_playbook(self, name, input):
        return self._child(lambda: world_flow.start_playbook(name, input))

    def join(self, child):
        return self._child(lambda: world_flow.join(child))

    def _child(self, question):
        try:
            return question()
        except Err as error:
            told = error.value
            detail = None if told.detail is None else json.loads(told.detail)
            raise playbook.ChildFailed(told.message, told.step, detail) from None

    def log(self, level, message):
        world_flow.log(world_flow.Level[level.upper()], message)

    def __getattr__(self, name):
        return getattr(world_flow, name)


class Data:
    def check(self, document, schema):
        try:
            world_data.check(document, schema)
        except Err as error:
            return error.value


playbook.connect(playbook.Host(Flow(), Data(), {
TABLE
}))


class ReprisePlaybookPlaybook010(exports.ReprisePlaybookPlaybook010):
    def run(self, input):
        SEED
        try:
            return playbook.perform(mine.run, input)
        except playbook.Failed as failed:
            raise Err(types.Failure(failed.step, failed.message, failed.detail)) from None
'''.lstrip()

// Builds the component of the project in the current directory: `npm run build`.
//
// package.json says what it is:
//
//     "name": "tables",
//     "reprise": { "tool": "src/tool.js" }                                        a component of tools
//     "reprise": { "playbook": "src/playbook.js", "calls": ["fs/read"] }          a playbook, and every tool that it calls
//
// In build/ it leaves what it made on the way: the world (WIT) and the entry that puts your code behind it. The
// component is NAME.wasm.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const library = dirname(fileURLToPath(import.meta.url));
const project = process.cwd();
const build = join(project, "build");

const { name, reprise: { tool, playbook, calls = [] } = {} } = JSON.parse(await readFile("package.json", "utf8"));
if (!tool === !playbook) throw new Error('package.json: "reprise" has either "tool" or "playbook", the file with your code');
const wasi = process.argv.includes("--wasi");
if (playbook && wasi) throw new Error("--wasi: a playbook has no WASI; what it reaches, it reaches through tools");
if (tool && calls.length > 0) throw new Error('package.json: a tool calls no other tools; "calls" is for playbooks');
for (const called of calls) {
    if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*\/[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(called)) {
        throw new Error(`package.json: "calls" holds ${JSON.stringify(called)}; a tool is named like "fs/read"`);
    }
}

/** The functions of the contract that the playbook comes to; undefined where it may be any. */
const wanted = playbook && behind(await used(join(project, playbook)));
const checks = !wanted || wanted.has("check");

// The contract lies beside this file, or at the top of the repository that this file comes from.
const contract = [join(library, "wit"), resolve(library, "../../../wit")].find(existsSync);
await rm(build, { recursive: true, force: true });
await mkdir(join(build, "wit/deps/reprise-playbook"), { recursive: true });
for (const file of ["types.wit", "playbook.wit", "tool.wit"]) {
    const text = await readFile(join(contract, file), "utf8");
    await writeFile(join(build, "wit/deps/reprise-playbook", file), file === "playbook.wit" ? trimmed(text) : text);
}
await writeFile(join(build, "wit/world.wit"), world());
await writeFile(join(build, "entry.js"), entry());

const require = createRequire(join(project, "package.json"));
const { componentize } = await import(pathToFileURL(require.resolve("componentize-qjs")));
const { component } = await componentize({
    witPath: join(build, "wit"),
    jsSource: await readFile(join(build, "entry.js"), "utf8"),
    jsPath: join(build, "entry.js"),
    // The nearest directory that holds both your code and this library.
    moduleRoot: library.startsWith(project + sep) ? project : dirname(library),
    world: "component",
    // Nothing of WASI is imported: a playbook gets none, and a tool that does without needs no grant.
    stubWasi: !wasi,
    // The host calls a component function by function; it has no use for asynchronous ones.
    sync: true,
});
const output = `${name.split("/").pop()}.wasm`;
await writeFile(output, component);
console.log(`${output}: ${component.length} bytes`);

/** The world that the component implements: what it exports, and every import that it has. */
function world() {
    if (tool) return "package local:generated;\nworld component {\n    export reprise:playbook/tools@0.1.0;\n}\n";
    const namespaces = new Map();
    for (const called of calls) {
        const [namespace, short] = called.split("/");
        namespaces.set(namespace, [...(namespaces.get(namespace) ?? []), short]);
    }
    let text = "package local:generated;\nworld component {\n    import reprise:playbook/flow@0.1.0;\n";
    if (checks) text += "    import reprise:playbook/data@0.1.0;\n";
    for (const called of calls) text += `    import tool:%${called.replace("/", "/%")};\n`;
    text += "    export reprise:playbook/playbook@0.1.0;\n}\n";
    for (const [namespace, tools] of namespaces) {
        text += `package tool:%${namespace} {\n`;
        for (const short of tools) {
            text += `    interface %${short} {\n        use reprise:playbook/types@0.1.0.{json, tool-error};\n`;
            text += "        call: func(input: json) -> result<json, tool-error>;\n    }\n";
        }
        text += "}\n";
    }
    return text;
}

/**
 * What of playbook.js your code imports, and what that code imports in turn; undefined where that cannot be told, as with
 * `import * as`.
 */
async function used(file, seen = new Set(), names = new Set()) {
    if (seen.has(file)) return names;
    seen.add(file);
    const text = await readFile(file, "utf8");
    for (const [, what, from] of text.matchAll(/^\s*(?:import|export)\b([^;"']*?)(?:\bfrom\s*)?["']([^"']+)["']/gm)) {
        if (!from.startsWith(".")) continue;
        const target = resolve(dirname(file), from);
        if (target !== join(library, "playbook.js")) {
            if (!(await used(target, seen, names))) return undefined;
            continue;
        }
        const list = /^\s*\{([^}]*)\}\s*$/.exec(what);
        if (!list) return undefined;
        for (const name of list[1].split(",")) names.add(name.trim().split(/\s+as\s+/)[0]);
    }
    return names;
}

/** The functions of `flow` and `data` behind those of playbook.js. `Date` and `Math.random` need theirs in any case. */
function behind(names) {
    if (!names) return undefined;
    const more = { step: ["step", "step-with"], random: ["random-u64"], misfit: ["check"] };
    const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return new Set(["now", "random-u64", ...[...names].flatMap((name) => more[name] ?? [kebab(name)])]);
}

/** The contract without the functions that nothing calls: what a component does not import it cannot reach. */
function trimmed(wit) {
    if (!wanted) return wit;
    const functions = /(?:^    \/\/\/.*\n)*^    ([a-z0-9-]+): func\(.*;\n/gm;
    const parts = wit.split(/(?=^interface )/m);
    const without = (part) => part.replace(functions, (text, name) => (wanted.has(name) ? text : ""));
    return parts.map((part) => (/^interface (flow|data) /.test(part) ? without(part) : part)).join("");
}

/** The module that is made a component: your code, and what stands between it and the world. */
function entry() {
    const of = (path) => JSON.stringify(relative(build, path).split(sep).join("/").replace(/^(?!\.)/, "./"));
    if (tool) {
        return `import { provide } from ${of(join(library, "tool.js"))};
import { tools as mine } from ${of(join(project, tool))};
export const tools = provide(mine);
`;
    }
    const imports = calls.map((called, n) => `import tool${n} from "tool:${called}";\n`).join("");
    const table = calls.map((called, n) => `    ${JSON.stringify(called)}: tool${n}.call,\n`).join("");
    return `import flow from "reprise:playbook/flow";
${checks ? 'import data from "reprise:playbook/data";\n' : "const data = undefined;\n"}${imports}import { connect, perform } from ${of(join(library, "playbook.js"))};
import { run } from ${of(join(project, playbook))};
connect({ flow, data, tools: {
${table}} });
export const playbook = { run: (input) => perform(run, input) };
`;
}

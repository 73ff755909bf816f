// Tools in JavaScript: functions from JSON to JSON, with a name, schemas and an effect. See docs/GUEST-JAVASCRIPT.md.

/** What calling a tool twice does to the world; it decides what happens after a crash in the middle of a call. */
export const effects = ["pure", "read", "idempotent", "once"];

/** Why a tool did not do what it was asked. */
export const errorKinds = ["invalid-input", "denied", "not-found", "conflict", "unavailable", "timeout", "broken", "failed", "cancelled"];

/** Thrown by a tool: `throw new ToolError("not-found", "there is no such order", { order })`. */
export class ToolError extends Error {
    /**
     * @param {string} kind one of {@link errorKinds}; playbooks branch on it
     * @param {string} message for people
     * @param {unknown} [detail] anything that JSON can say
     */
    constructor(kind, message, detail) {
        super(message);
        if (!errorKinds.includes(kind)) throw new TypeError(`${JSON.stringify(kind)} is no kind of error; there are ${errorKinds.join(", ")}`);
        this.kind = kind;
        this.detail = detail;
    }
}

/**
 * What became of an earlier call: `happened(output)`, `didNotHappen`, or nothing where it is not known.
 */
export const happened = (output) => ({ tag: "happened", val: print(output) });
export const didNotHappen = { tag: "did-not-happen" };
const unknown = { tag: "unknown" };

/**
 * @typedef {object} Tool
 * @property {string} name `namespace/tool`; the namespace is the same for all tools of a component
 * @property {string} description one sentence for whoever chooses a tool
 * @property {"pure" | "read" | "idempotent" | "once"} effect
 * @property {object | boolean} input JSON Schema (2020-12); the host checks the input before it calls
 * @property {object | boolean} output JSON Schema of what it gives; the host checks that too
 * @property {(input: any, key: string) => unknown} call `key` names this one call for good: a repeat after a crash has the same
 * @property {(input: any, key: string) => unknown} [reconcile] asked after a crash whether the call with this key took effect
 */

/**
 * The face of a component of tools, `reprise:playbook/tools`. It runs when the component is built, so that a mistake in
 * the list is found then.
 * @param {Tool[]} list
 */
export function provide(list) {
    const tools = new Map();
    for (const tool of list) {
        const wrong = faultOf(tool) ?? (tools.has(tool.name) ? "stands twice" : undefined);
        if (wrong) throw new TypeError(`tool ${JSON.stringify(tool?.name)} ${wrong}`);
        tools.set(tool.name, tool);
    }
    return {
        describe: () =>
            [...tools.values()].map(({ name, description, input, output, effect }) => ({
                name,
                description,
                inputSchema: JSON.stringify(input),
                outputSchema: JSON.stringify(output),
                effect,
            })),
        call(name, key, input) {
            const tool = tools.get(name);
            if (!tool) throw told(new ToolError("not-found", `this component has no tool ${name}`));
            try {
                return print(tool.call(JSON.parse(input), key));
            } catch (error) {
                throw told(error);
            }
        },
        reconcile(name, key, input) {
            const tool = tools.get(name);
            try {
                return tool?.reconcile?.(JSON.parse(input), key) ?? unknown;
            } catch {
                return unknown;
            }
        },
    };
}

function faultOf(tool) {
    if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*\/[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(tool?.name)) return 'has no name like "orders/refund"';
    if (typeof tool.description !== "string") return "has no description";
    if (!effects.includes(tool.effect)) return `has no effect, one of ${effects.join(", ")}`;
    for (const schema of ["input", "output"]) {
        if (typeof tool[schema] !== "boolean" && (typeof tool[schema] !== "object" || tool[schema] === null)) return `has no JSON Schema "${schema}"`;
    }
    if (typeof tool.call !== "function") return "has no function call";
    if (tool.reconcile !== undefined && typeof tool.reconcile !== "function") return "has a reconcile that is no function";
    return undefined;
}

function print(value) {
    if (typeof value?.then === "function") throw new ToolError("broken", "the tool is asynchronous; the host waits for no promise");
    return JSON.stringify(value ?? null);
}

/** The error as the world has it. What was not meant as an answer is a mistake of the tool. */
function told(error) {
    const { kind, message, detail } = error instanceof ToolError ? error : new ToolError("broken", `${error?.name ?? "error"}: ${error?.message ?? error}`);
    return { kind, message, detail: detail === undefined ? null : JSON.stringify(detail) };
}

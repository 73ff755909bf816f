// Playbooks in JavaScript: plain functions that outlive a crash. See docs/GUEST-JAVASCRIPT.md.
//
// After a crash a playbook begins anew, and every question that it asked is answered from its journal. So it must ask the
// same ones in the same order; time and randomness come through here, and `Date` and `Math.random` do too.

/** What the host gives: set by `connect`. @type {{ flow: any, data: any, tools: Record<string, (input: string) => string> }} */
let host;

const RealDate = Date;

/** Puts a host behind the functions below: the real one where the component is built, a script in tests. Undone by what it returns. */
export function connect(given) {
    const before = [host, Date, Math.random];
    host = given;
    // Elsewhere a clock is a thing to ask; here the answer is kept.
    globalThis.Date = class extends RealDate {
        constructor(...parts) {
            super(...(parts.length === 0 ? [now()] : parts));
        }
        static now() {
            return now();
        }
    };
    Math.random = random;
    // There is no console where this runs; what is said goes to the job's log.
    globalThis.console ??= Object.fromEntries(
        ["debug", "log", "info", "warn", "error"].map((level) => [level, (...words) => log(level === "log" ? "info" : level, words.join(" "))]),
    );
    return () => {
        [host, globalThis.Date, Math.random] = before;
    };
}

/** A tool answered with an error. `kind` is one of those in wit/types.wit: "not-found", "conflict", "denied" and so on. */
export class ToolError extends Error {
    constructor(tool, { kind, message, detail }) {
        super(`${tool}: ${kind}: ${message}`);
        this.tool = tool;
        this.kind = kind;
        this.detail = detail == null ? undefined : JSON.parse(detail);
    }
}

/** A wait came to nothing: `kind` is "expired", "rejected" (then `answer` is what the person said) or "cancelled". */
export class Interruption extends Error {
    constructor(what, { tag, val }) {
        super(`${what}: ${{ expired: "the deadline passed first", rejected: "a person said no", cancelled: "the job is to be cancelled" }[tag]}`);
        this.kind = tag;
        this.answer = tag === "rejected" ? JSON.parse(val) : undefined;
    }
}

/** A job that was started by this one failed. */
export class ChildFailed extends Error {
    constructor({ step, message, detail }) {
        super(message);
        this.step = step ?? undefined;
        this.detail = detail == null ? undefined : JSON.parse(detail);
    }
}

/** Ends the playbook as failed, with details for whoever looks: `throw new Failure("no such order", { order })`. */
export class Failure extends Error {
    constructor(message, detail) {
        super(message);
        this.detail = detail;
    }
}

/** Calls a tool that package.json lists under "calls". @throws {ToolError} */
export function callTool(tool, input) {
    const call = host.tools[tool];
    if (!call) throw new Failure(`${tool} is not among the tools that this playbook calls: add it to "calls" in package.json`);
    return JSON.parse(asked(() => call(JSON.stringify(input ?? null)), (error) => new ToolError(tool, error)));
}

let current;

/**
 * Names the step that the calls from here on belong to.
 * @param {{ tries?: number, firstPauseMs?: number, callTimeoutMs?: number, stepTimeoutMs?: number }} [options] how they are made
 */
export function step(id, options) {
    current = id;
    if (!options) return host.flow.step(id);
    const { tries, firstPauseMs, callTimeoutMs, stepTimeoutMs } = options;
    return host.flow.stepWith(id, {
        tries: tries ?? null,
        firstPauseMilliseconds: firstPauseMs ?? null,
        callTimeoutMilliseconds: callTimeoutMs ?? null,
        stepTimeoutMilliseconds: stepTimeoutMs ?? null,
    });
}

/** Waits, for days if need be, without an instance in memory. @throws {Interruption} */
export function sleep(milliseconds) {
    asked(() => host.flow.sleep(milliseconds), (interruption) => new Interruption("sleep", interruption));
}

/** Waits for a signal of this name; what came with it. @throws {Interruption} */
export function waitSignal(name, { timeoutMs = null } = {}) {
    return JSON.parse(asked(() => host.flow.waitSignal(name, timeoutMs), (interruption) => new Interruption(name, interruption)));
}

/** Waits for a person to approve of `request`; what they answered. @throws {Interruption} */
export function approve(title, request, { timeoutMs = null } = {}) {
    const answer = asked(() => host.flow.approve(title, JSON.stringify(request ?? null), timeoutMs), (interruption) => new Interruption(title, interruption));
    return JSON.parse(answer);
}

/** Which part of the playbook this job is to do: undefined, or the name that was given to `startBranch`. */
export const branch = () => host.flow.branch() ?? undefined;

/** Starts a job that does another branch of this component; its number, for `join` and `first`. */
export const startBranch = (name, input) => host.flow.startBranch(name, JSON.stringify(input ?? null));

/** Starts a job of another playbook; its number. @throws {ChildFailed} */
export function startPlaybook(playbook, input) {
    return asked(() => host.flow.startPlaybook(playbook, JSON.stringify(input ?? null)), (failure) => new ChildFailed(failure));
}

/** Waits for a child's end; its output. @throws {ChildFailed} */
export function join(child) {
    return JSON.parse(asked(() => host.flow.join(child), (failure) => new ChildFailed(failure)));
}

/** Waits until one of the children has ended, and says which. */
export const first = (children) => host.flow.first(children);

/** Asks for a child to be cancelled; `join` says what became of it. */
export const cancelChild = (child) => host.flow.cancelChild(child);

/** From here on the playbook undoes what it did: calls and waits go through though the job is to be cancelled. */
export const compensate = () => host.flow.compensate();

/** Milliseconds since 1970, as they were when it was first asked. */
export const now = () => Number(host.flow.now());

/** A number from 0 up to 1, the same after a crash. */
export const random = () => Number(host.flow.randomU64()) / 2 ** 64;

/** @param {"debug" | "info" | "warn" | "error"} level */
export const log = (level, message) => host.flow.log(level, String(message));

class Misfit extends Error {}

/** What of the value does not fit a JSON Schema (2020-12), a line each; undefined where all does. */
export function misfit(value, schema) {
    try {
        asked(() => host.data.check(JSON.stringify(value ?? null), JSON.stringify(schema)), (why) => new Misfit(why));
        return undefined;
    } catch (error) {
        if (error instanceof Misfit) return error.message;
        throw error;
    }
}

/** Runs a playbook's function as the world wants it. */
export function perform(run, input) {
    current = undefined;
    try {
        const output = run(JSON.parse(input));
        if (typeof output?.then === "function") throw new Failure("the playbook is asynchronous; the host waits for no promise");
        return JSON.stringify(output ?? null);
    } catch (error) {
        if (error?.code === "ERR_ASSERTION") throw error;
        throw { step: current ?? null, message: error?.message ?? String(error), detail: detailOf(error) };
    }
}

function detailOf(error) {
    const detail = error instanceof ToolError ? { tool: error.tool, kind: error.kind, detail: error.detail } : (error?.answer ?? error?.detail ?? placeOf(error));
    return detail === undefined ? null : JSON.stringify(detail);
}

/** Where a mistake in the playbook lies; what it threw itself needs no such thing. */
function placeOf(error) {
    const meant = [Failure, Interruption, ChildFailed].some((kind) => error instanceof kind);
    return meant || typeof error?.stack !== "string" ? undefined : { stack: error.stack.trim().split("\n").map((line) => line.trim()) };
}

/** The answer of the host, or its error as one of ours: the host's come as `payload` of an error. */
function asked(question, asError) {
    let answer;
    try {
        answer = question();
    } catch (thrown) {
        throw thrown?.payload === undefined ? thrown : asError(thrown.payload);
    }
    return answer;
}

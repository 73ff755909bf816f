// Plays a playbook in Node, without WebAssembly: the script says what it is expected to ask for, and what it is answered.

import assert from "node:assert/strict";

import { connect, perform } from "./playbook.js";

/**
 * Runs it against a script, of which every line must be asked for, in this order:
 *
 *     { tool: "fs/read", input: { path: "a" }, output: { text: "b" } }       or error: { kind: "not-found", message: "..." }
 *     { approve: "Title?", answer: "yes" }                                   or rejected: "no", or expired: true
 *     { signal: "paid", answer: { sum: 5 } }                                 or expired: true
 *     { sleep: 1000 }
 *     { startBranch: "left", input: {}, child: 0 }                           or startPlaybook
 *     { join: 0, output: 5 }                                                 or failure: { message: "..." }
 *     { first: [0, 1], child: 1 }, { cancelChild: 0 }, { compensate: true }
 *
 * `cancelled: true` in a wait stands for a job that is to be cancelled.
 * @returns {{ output?: unknown, failure?: { step?: string, message: string, detail?: unknown }, steps: string[], log: string[] }}
 */
export function scripted(run, input, script, { now = 0, random = 0, branch = null } = {}) {
    const steps = [];
    const log = [];
    let at = 0;
    const next = (kind, what, given) => {
        const line = script[at];
        assert.ok(line, `the playbook asks for ${kind} ${JSON.stringify(what)}, and the script ends before`);
        assert.deepEqual(kind in line ? { [kind]: line[kind] } : line, { [kind]: what }, `line ${at + 1} of the script`);
        if (given !== undefined) assert.deepEqual(given, line.input ?? line.request ?? given, `line ${at + 1} of the script`);
        at += 1;
        return line;
    };
    const wait = (line) => {
        if (line.expired) throw told({ tag: "expired" });
        if (line.cancelled) throw told({ tag: "cancelled" });
        if ("rejected" in line) throw told({ tag: "rejected", val: JSON.stringify(line.rejected) });
        return JSON.stringify(line.answer ?? null);
    };
    const failing = (line) => {
        if (line.failure) throw told({ step: null, detail: null, ...line.failure });
        return line;
    };
    const tools = new Proxy(
        {},
        {
            get: (_, tool) => (given) => {
                const { output, error } = next("tool", tool, JSON.parse(given));
                if (error) throw told({ ...error, detail: error.detail === undefined ? null : JSON.stringify(error.detail) });
                return JSON.stringify(output ?? null);
            },
        },
    );
    const flow = {
        step: (id) => steps.push(id),
        stepWith: (id) => steps.push(id),
        sleep: (milliseconds) => void wait(next("sleep", milliseconds)),
        waitSignal: (name) => wait(next("signal", name)),
        approve: (title, request) => wait(next("approve", title, JSON.parse(request))),
        branch: () => branch,
        startBranch: (name, given) => next("startBranch", name, JSON.parse(given)).child,
        startPlaybook: (name, given) => failing(next("startPlaybook", name, JSON.parse(given))).child,
        join: (child) => JSON.stringify(failing(next("join", child)).output ?? null),
        first: (children) => next("first", children).child,
        cancelChild: (child) => void next("cancelChild", child),
        compensate: () => void next("compensate", true),
        now: () => now,
        randomU64: () => random * 2 ** 64,
        log: (level, message) => log.push(`${level}: ${message}`),
    };
    // Schemas are checked by the host; here whatever comes fits.
    const data = { check: () => {} };
    const restore = connect({ flow, data, tools });
    try {
        const output = JSON.parse(perform(run, JSON.stringify(input)));
        assert.equal(at, script.length, `the playbook ended before line ${at + 1} of the script`);
        return { output, steps, log };
    } catch (failure) {
        if (!("step" in failure)) throw failure;
        if (at < script.length) throw new Error(`the playbook failed before line ${at + 1} of the script: ${failure.message}`);
        return { failure: { step: failure.step ?? undefined, message: failure.message, detail: failure.detail === null ? undefined : JSON.parse(failure.detail) }, steps, log };
    } finally {
        restore();
    }
}

/** An error as the host's reach a component. */
function told(payload) {
    return Object.assign(new Error(), { payload });
}

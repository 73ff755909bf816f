import assert from "node:assert/strict";
import { test } from "node:test";

import { scripted } from "../reprise/testing.js";
import { run } from "../src/playbook.js";

const read = { tool: "fs/read", input: { path: "project/plan.md" }, output: { text: "# The plan\nSleep.\n" } };
const input = { document: "project/plan.md" };

test("what is approved is signed", () => {
    const text = '# The plan\nsigned at 1000 ms: "gladly"\n';
    const write = { tool: "fs/write", input: { path: "project/plan.md.signed", text }, output: { bytes: 30 } };
    const { output } = scripted(run, input, [read, { approve: "Sign project/plan.md?", answer: "gladly" }, write], { now: 1000 });
    assert.deepEqual(output, { signature: "project/plan.md.signed" });
});

test("what is rejected is not", () => {
    const { failure } = scripted(run, input, [read, { approve: "Sign project/plan.md?", rejected: "too short" }]);
    assert.deepEqual([failure.step, failure.detail], ["ask", "too short"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { scripted } from "../../reprise/testing.js";
import { run } from "../src/publish.js";

const input = { name: "spring" };
const now = Date.UTC(2026, 10, 20);
const read = { tool: "fs/read", input: { path: "site/drafts/spring.md" }, output: { text: "# Spring\n\nIt is here.\n" } };
const approve = { approve: 'Publish "Spring"?', request: { name: "spring", words: 5 } };
const path = "site/public/spring.md";
const write = { tool: "fs/write", input: { path, text: "# Spring\n\n*2026-11-20*\n\nIt is here.\n", create_dirs: true } };
const announce = {
    tool: "fs/replace",
    input: { path: "site/index.md", old: "<!-- newest first -->\n", new: "<!-- newest first -->\n- 2026-11-20 [Spring](public/spring.md)\n" },
};

test("what a person approves of is published and announced", () => {
    const { output, steps } = scripted(run, input, [read, { ...approve, answer: "yes" }, write, announce], { now });
    assert.deepEqual(output, { published: true, path, at: now });
    assert.deepEqual(steps, ["read", "ask", "publish", "announce"]);
});

test("what a person rejects, or nobody looks at, is not", () => {
    for (const [said, because, answer] of [[{ rejected: "no" }, "rejected", "no"], [{ expired: true }, "expired", null]]) {
        assert.deepEqual(scripted(run, input, [read, { ...approve, ...said }]).output, { published: false, because, answer });
    }
    const { failure } = scripted(run, input, [read, { ...approve, cancelled: true }]);
    assert.match(failure.message, /to be cancelled/);
});

test("what cannot be announced is taken back", () => {
    const error = { kind: "not-found", message: "no such place" };
    const undo = [{ compensate: true }, { tool: "fs/remove", input: { path } }];
    const { failure } = scripted(run, input, [read, { ...approve, answer: "yes" }, write, { ...announce, error }, ...undo], { now });
    assert.deepEqual([failure.step, failure.message], ["take back", "fs/replace: not-found: no such place"]);
});

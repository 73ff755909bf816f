import assert from "node:assert/strict";
import { test } from "node:test";

import { tools } from "../src/tool.js";

const [bump] = tools;

test("what stands behind is set to zero", () => {
    for (const [part, version] of [["major", "2.0.0"], ["minor", "1.3.0"], ["patch", "1.2.10"]]) {
        assert.deepEqual(bump.call({ version: "1.2.9", part }), { version });
    }
});

test("what is no version is refused", () => {
    for (const version of ["", "1.2", "1.2.x", "1.2.3.4", "-1.2.3"]) {
        assert.throws(() => bump.call({ version, part: "patch" }), { kind: "invalid-input" });
    }
});

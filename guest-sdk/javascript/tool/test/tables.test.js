import assert from "node:assert/strict";
import { test } from "node:test";

import { tools } from "../src/tables.js";

const [parse, format] = tools;

test("cells may hold whatever they are quoted for", () => {
    const csv = 'name,said\r\nann,"a, ""b""\nc"\nbo,\n';
    assert.deepEqual(parse.call({ csv }), { columns: ["name", "said"], rows: [{ name: "ann", said: 'a, "b"\nc' }, { name: "bo", said: "" }] });
});

test("numbers are made of what looks like one, where asked to", () => {
    const rows = (numbers) => parse.call({ csv: "a;b;c\n1.5;007;x", separator: ";", numbers }).rows;
    assert.deepEqual(rows(true), [{ a: 1.5, b: "007", c: "x" }]);
    assert.deepEqual(rows(false), [{ a: "1.5", b: "007", c: "x" }]);
});

test("what is no table is refused with the place", () => {
    for (const [csv, message] of [["", /empty/], ["a,a\n", /"a" stands twice/], ["a,b\n1,2\n3\n", /row 2 has 1 cells/], ['a\n"b', /not closed/]]) {
        assert.throws(() => parse.call({ csv }), { kind: "invalid-input", message });
    }
});

test("a table is aligned, and its cells cannot break it", () => {
    const rows = [{ item: "a|b", sum: 2 }, { item: "c\nd", sum: 10 }];
    assert.equal(format.call({ rows }).markdown, "| item | sum |\n|---|---:|\n| a\\|b | 2 |\n| c<br>d | 10 |\n");
    assert.throws(() => format.call({ rows: [] }), /a column/);
});

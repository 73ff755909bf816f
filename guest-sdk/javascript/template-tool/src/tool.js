// The tools of the namespace {{namespace}}.

import { ToolError } from "../reprise/tool.js";

export const tools = [
    {
        name: "{{namespace}}/bump",
        description: "Raises one part of a version, and sets those behind it to 0.",
        // The same input gives the same output, and nothing is touched. The others are "read", "idempotent" and "once".
        effect: "pure",
        // JSON Schemas. The host holds the input against the first before it calls, and the output against the second.
        input: {
            type: "object",
            required: ["version", "part"],
            additionalProperties: false,
            properties: {
                version: { type: "string", description: "A version: three numbers joined by dots." },
                part: { enum: ["major", "minor", "patch"], description: "Which of them is raised." },
            },
        },
        output: { type: "object", required: ["version"], properties: { version: { type: "string" } } },
        // A second argument is the name of this one call, which stays the same when the call is repeated.
        call({ version, part }) {
            const numbers = version.split(".");
            if (numbers.length !== 3 || !numbers.every((number) => /^\d{1,15}$/.test(number))) {
                throw new ToolError("invalid-input", `${JSON.stringify(version)} is not three numbers joined by dots`);
            }
            const at = ["major", "minor", "patch"].indexOf(part);
            return { version: numbers.map((number, n) => (n < at ? Number(number) : n === at ? Number(number) + 1 : 0)).join(".") };
        },
    },
];

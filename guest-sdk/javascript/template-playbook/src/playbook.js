// The playbook {{name}}: has a person sign a document, and writes down that they did.

import { approve, callTool, now, step } from "../reprise/playbook.js";

/** How long a person may take. */
const day = 24 * 60 * 60 * 1000;

// After a crash the function begins anew, and is given the same answers up to where it was, so it must ask the same again:
// time and randomness come from the host, through `Date` and `Math.random` too. The tools that it may call are in package.json.
export function run({ document }) {
    step("read");
    const { text } = callTool("fs/read", { path: document });
    const [title] = text.split("\n");

    step("ask");
    const answer = approve(`Sign ${document}?`, { document, title }, { timeoutMs: day });

    step("write");
    const signature = `${document}.signed`;
    callTool("fs/write", { path: signature, text: `${title}\nsigned at ${now()} ms: ${JSON.stringify(answer)}\n` });
    return { signature };
}

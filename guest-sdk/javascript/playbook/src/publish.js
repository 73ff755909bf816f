// A worked playbook: a draft is published once a person has approved of it, and taken back where that cannot be finished.
//
// Below a grant `site` it reads drafts/NAME.md, writes public/NAME.md, and adds a line to index.md, under the comment
// that says where.

import { Failure, Interruption, ToolError, approve, callTool, compensate, log, misfit, now, step } from "../../reprise/playbook.js";

const schema = {
    type: "object",
    required: ["name"],
    additionalProperties: false,
    properties: { name: { type: "string", pattern: "^[a-z0-9-]+$" } },
};
const place = "<!-- newest first -->\n";
const week = 7 * 24 * 60 * 60 * 1000;

export function run(input) {
    const wrong = misfit(input, schema);
    if (wrong) throw new Failure(`the input does not fit: ${wrong}`);
    const { name } = input;

    step("read");
    const { text } = callTool("fs/read", { path: `site/drafts/${name}.md` });
    const title = /^# (.+)$/m.exec(text)?.[1];
    if (!title) throw new Failure(`the draft ${name} has no heading`);

    step("ask");
    try {
        approve(`Publish "${title}"?`, { name, words: text.split(/\s+/).filter(Boolean).length }, { timeoutMs: week });
    } catch (error) {
        if (!(error instanceof Interruption) || error.kind === "cancelled") throw error;
        log("info", error.message);
        return { published: false, because: error.kind, answer: error.answer ?? null };
    }

    step("publish", { tries: 3, firstPauseMs: 500 });
    const day = new Date().toISOString().slice(0, 10);
    const path = `site/public/${name}.md`;
    callTool("fs/write", { path, text: text.replace(/^# .+$/m, `$&\n\n*${day}*`), create_dirs: true });

    step("announce");
    try {
        callTool("fs/replace", { path: "site/index.md", old: place, new: `${place}- ${day} [${title}](public/${name}.md)\n` });
    } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        // What nobody finds is not published.
        compensate();
        step("take back");
        callTool("fs/remove", { path });
        throw error;
    }
    return { published: true, path, at: now() };
}

// A worked tool: tables as text. `tables/parse` reads CSV (RFC 4180), `tables/format` writes a Markdown table.

import { ToolError } from "../../reprise/tool.js";

const cell = { type: ["string", "number", "boolean", "null"] };
const rows = { type: "array", maxItems: 10_000, items: { type: "object", additionalProperties: cell } };

export const tools = [
    {
        name: "tables/parse",
        description: "Reads CSV with a line of headings, and gives an object a row.",
        effect: "pure",
        input: {
            type: "object",
            required: ["csv"],
            additionalProperties: false,
            properties: {
                csv: { type: "string" },
                separator: { type: "string", minLength: 1, maxLength: 1, description: "a comma where it is left out" },
                numbers: { type: "boolean", description: "make numbers of cells that look like one" },
            },
        },
        output: { type: "object", required: ["columns", "rows"], properties: { columns: { type: "array", items: { type: "string" } }, rows } },
        call({ csv, separator = ",", numbers = false }) {
            const [columns, ...lines] = read(csv, separator);
            if (!columns) throw new ToolError("invalid-input", "the text is empty; a line of headings is expected");
            const twice = columns.find((column, at) => columns.indexOf(column) !== at);
            if (twice !== undefined) throw new ToolError("invalid-input", `the heading ${JSON.stringify(twice)} stands twice`);
            const value = (text) => (numbers && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) && Number.isSafeInteger(Math.trunc(Number(text))) ? Number(text) : text);
            return {
                columns,
                rows: lines.map((cells, n) => {
                    if (cells.length !== columns.length) {
                        const message = `row ${n + 1} has ${cells.length} cells, and there are ${columns.length} headings`;
                        throw new ToolError("invalid-input", message, { row: n + 1, cells });
                    }
                    return Object.fromEntries(columns.map((column, at) => [column, value(cells[at])]));
                }),
            };
        },
    },
    {
        name: "tables/format",
        description: "Writes rows as a Markdown table.",
        effect: "pure",
        input: {
            type: "object",
            required: ["rows"],
            additionalProperties: false,
            properties: { rows, columns: { type: "array", items: { type: "string" }, description: "which and in which order; those of the first row where it is left out" } },
        },
        output: { type: "object", required: ["markdown"], properties: { markdown: { type: "string" } } },
        call({ rows, columns = Object.keys(rows[0] ?? {}) }) {
            if (columns.length === 0) throw new ToolError("invalid-input", "a table has a column at least");
            const text = (value) => String(value ?? "").replaceAll("\\", "\\\\").replaceAll("|", "\\|").replaceAll("\n", "<br>");
            const line = (cells) => `| ${cells.map(text).join(" | ")} |\n`;
            // Numbers stand at the right, if there is nothing else in the column.
            const isNumeric = (column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number");
            const rule = `|${columns.map((column) => (isNumeric(column) ? "---:|" : "---|")).join("")}\n`;
            return { markdown: line(columns) + rule + rows.map((row) => line(columns.map((column) => row[column]))).join("") };
        },
    },
];

/** The cells of each line. Cells in quotation marks may hold separators, line breaks and doubled quotation marks. */
function read(csv, separator) {
    const lines = [];
    let cells = [];
    let cell = "";
    let quoted = false;
    const endCell = () => {
        cells.push(cell);
        cell = "";
    };
    for (let at = 0; at < csv.length; at++) {
        const character = csv[at];
        if (quoted) {
            if (character !== '"') cell += character;
            else if (csv[at + 1] === '"') cell += csv[at++];
            else quoted = false;
        } else if (character === '"' && cell === "") {
            quoted = true;
        } else if (character === separator) {
            endCell();
        } else if (character === "\n" || (character === "\r" && csv[at + 1] === "\n")) {
            if (character === "\r") at++;
            endCell();
            lines.push(cells);
            cells = [];
        } else {
            cell += character;
        }
    }
    if (quoted) throw new ToolError("invalid-input", "a quotation mark is opened and not closed");
    if (cell !== "" || cells.length > 0) {
        endCell();
        lines.push(cells);
    }
    return lines;
}

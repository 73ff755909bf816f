"""The playbook {{name}}: has a person sign a document, and writes down that they did."""

import json
from dataclasses import dataclass

from reprise.playbook import approve, call_tool, now, step

#: How long a person may take, in milliseconds.
DAY = 24 * 60 * 60 * 1000


@dataclass
class Output:
    #: Where the signature is.
    signature: str


# The parameters are the fields of the job's input. After a crash the function begins anew, and is given the same answers up to
# where it was, so it must ask the same again: time comes from `now`.
def run(document: str) -> Output:
    step("read")
    text = call_tool("fs/read", path=document)["text"]
    title = text.split("\n")[0]

    step("ask")
    answer = approve(f"Sign {document}?", {"document": document, "title": title}, timeout_ms=DAY)

    step("write")
    signature = f"{document}.signed"
    signed = f"{title}\nsigned at {now().isoformat()}: {json.dumps(answer)}\n"
    call_tool("fs/write", path=signature, text=signed)
    return Output(signature)

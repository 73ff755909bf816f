"""A worked playbook: an order is reserved, waits for its payment, and is shipped or let go.

Below a grant `shop` it reads orders/ID.json and writes reserved/ID.json and shipped/ID.json. The payment comes as a signal
`paid` with the amount. Where it does not come in time, or somebody cancels the job, the reservation is taken back.
"""

import json
from dataclasses import dataclass
from decimal import Decimal

from reprise.playbook import Failure, Interruption, call_tool, compensate, log, now, step, wait_signal

THREE_DAYS = 3 * 24 * 60 * 60 * 1000


@dataclass
class Outcome:
    shipped: bool
    because: str | None = None
    paid: Decimal | None = None


def run(order: str) -> Outcome:
    step("read")
    wanted = call_tool("fs/read", {"path": f"shop/orders/{order}.json", "as": "json"})["json"]
    due = Decimal(wanted["sum"])

    step("reserve", tries=3, first_pause_ms=500)
    reservation = f"shop/reserved/{order}.json"
    call_tool("fs/write", path=reservation, text=json.dumps({"order": order, "since": now().isoformat()}), create_dirs=True)

    step("wait")
    paid = Decimal(0)
    try:
        while paid < due:
            paid += Decimal(wait_signal("paid", timeout_ms=THREE_DAYS)["amount"])
            log("info", f"{paid} of {due} are paid")
    except Interruption as interruption:
        # Calls of a job that is to be cancelled go through again once it says that it undoes what it did.
        compensate()
        step("let go")
        call_tool("fs/remove", path=reservation)
        if interruption.kind == "cancelled":
            raise
        return Outcome(shipped=False, because=interruption.kind, paid=paid)
    if paid > due:
        raise Failure(f"{paid} were paid, and {due} were due: somebody has to look", {"order": order})

    step("ship")
    call_tool("fs/write", path=f"shop/shipped/{order}.json", text=json.dumps(wanted), create_dirs=True)
    call_tool("fs/remove", path=reservation)
    return Outcome(shipped=True, paid=paid)

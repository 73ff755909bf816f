"""A worked tool: sums of money, exact to the cent.

Amounts are decimal numbers in strings, since 0.1 + 0.2 is not 0.3 in binary ones.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_FLOOR, Decimal
from typing import Annotated

from reprise.tool import ToolError, tool

CENT = Decimal("0.01")


@dataclass
class Line:
    what: str
    price: Annotated[Decimal, "of one, without tax"]
    count: int = 1
    tax: Annotated[Decimal, "in percent"] = Decimal(0)


@dataclass
class Total:
    net: Decimal
    #: Of each rate, rounded to the cent once.
    tax: dict[str, Decimal]
    gross: Decimal


@tool("money/total", effect="pure")
def total(lines: list[Line]) -> Total:
    """Adds up an invoice: net, tax by rate, and gross."""
    net: dict[Decimal, Decimal] = {}
    for line in lines:
        if line.count < 0 or line.tax < 0:
            raise ToolError("invalid-input", f"{line.what}: a count and a rate are 0 at least", {"what": line.what})
        net[line.tax] = net.get(line.tax, Decimal(0)) + line.price * line.count
    tax = {rate: (base * rate / 100).quantize(CENT, ROUND_HALF_EVEN) for rate, base in sorted(net.items()) if rate}
    sum_net = sum(net.values(), Decimal(0)).quantize(CENT, ROUND_HALF_EVEN)
    return Total(sum_net, {f"{rate.normalize():f}": amount for rate, amount in tax.items()}, sum_net + sum(tax.values()))


@tool("money/split", effect="pure")
def split(amount: Decimal, shares: Annotated[list[int], "how many parts each gets"]) -> list[Decimal]:
    """Splits an amount by shares without losing a cent: whoever loses most by rounding gets the next one."""
    if sum(shares) <= 0 or min(shares) < 0:
        raise ToolError("invalid-input", "shares are 0 at least, and not all of them 0")
    if amount != amount.quantize(CENT):
        raise ToolError("invalid-input", f"{amount} is not a number of whole cents")
    exact = [amount * share / sum(shares) for share in shares]
    parts = [part.quantize(CENT, ROUND_FLOOR) + 0 for part in exact]
    left = int((amount - sum(parts)) / CENT)
    by_loss = sorted(range(len(parts)), key=lambda n: parts[n] - exact[n])
    for n in by_loss[:left]:
        parts[n] += CENT
    return parts

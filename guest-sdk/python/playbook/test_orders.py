"""`python3 -m unittest`"""

import json
import sys
import unittest

sys.path.insert(0, "..")
import orders
from reprise.playbook import Interruption
from reprise.testing import play

ORDER = {"sum": "12.50", "items": ["a lamp"]}
READ = ("fs/read", {"path": "shop/orders/7.json", "as": "json"}, {"json": ORDER})
SINCE = json.dumps({"order": "7", "since": "1970-01-01T00:00:01+00:00"})
RESERVE = ("fs/write", {"path": "shop/reserved/7.json", "text": SINCE, "create_dirs": True}, {"bytes": 1})
SHIP = ("fs/write", {"path": "shop/shipped/7.json", "text": json.dumps(ORDER), "create_dirs": True}, {"bytes": 1})
LET_GO = ("fs/remove", {"path": "shop/reserved/7.json"}, {})


def paid(amount):
    return ("wait_signal", "paid", {"amount": amount})


def interrupted(kind):
    return ("wait_signal", "paid", Interruption("paid", kind))


class Orders(unittest.TestCase):
    def played(self, *script):
        return play(orders.run, {"order": "7"}, READ, RESERVE, *script, now=1000)

    def test_what_is_paid_in_parts_is_shipped(self):
        played = self.played(paid("10"), paid("2.50"), SHIP, LET_GO)
        self.assertEqual(played.output, {"shipped": True, "because": None, "paid": "12.50"})
        self.assertEqual(played.steps, ["read", "reserve", "wait", "ship"])
        self.assertEqual(played.log[-1], "info: 12.50 of 12.50 are paid")

    def test_what_is_not_paid_in_time_is_let_go(self):
        played = self.played(paid("10"), interrupted("expired"), ("compensate", None), LET_GO)
        self.assertEqual(played.output, {"shipped": False, "because": "expired", "paid": "10"})

    def test_a_cancelled_order_is_let_go_too(self):
        played = self.played(interrupted("cancelled"), ("compensate", None), LET_GO)
        self.assertIn("to be cancelled", str(played.failure))

    def test_too_much_is_for_somebody_to_look_at(self):
        failure = self.played(paid("13")).failure
        self.assertEqual((failure.step, json.loads(failure.detail)), ("wait", {"order": "7"}))

    def test_the_input_is_held_against_the_parameters(self):
        failure = play(orders.run, {"oder": "7"}).failure
        self.assertEqual(str(failure), "the input does not fit: /oder: there is no such field; there are order")


if __name__ == "__main__":
    unittest.main()

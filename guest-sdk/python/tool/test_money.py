"""`python3 -m unittest`"""

import sys
import unittest
from decimal import Decimal

sys.path.insert(0, "..")
import money
from reprise.tool import ToolError, tools


class Money(unittest.TestCase):
    def answer(self, name, **input):
        return tools[name].answer(input, key="k")

    def test_an_invoice_is_added_up_by_rate(self):
        lines = [
            {"what": "chairs", "price": "19.99", "count": 3, "tax": "19"},
            {"what": "books", "price": "0.1", "count": 3, "tax": "7.0"},
            {"what": "stamps", "price": "0.85"},
        ]
        expected = {"net": "61.12", "tax": {"7": "0.02", "19": "11.39"}, "gross": "72.53"}
        self.assertEqual(self.answer("money/total", lines=lines), expected)
        self.assertEqual(self.answer("money/total", lines=[]), {"net": "0.00", "tax": {}, "gross": "0.00"})

    def test_no_cent_is_lost_when_an_amount_is_split(self):
        self.assertEqual(self.answer("money/split", amount="100.00", shares=[1, 1, 1]), ["33.34", "33.33", "33.33"])
        self.assertEqual(self.answer("money/split", amount="-0.05", shares=[1, 2, 0]), ["-0.02", "-0.03", "0.00"])
        for amount in ("0.01", "17.23", "99999999999999.99"):
            parts = money.split(Decimal(amount), [3, 5, 7, 11])
            self.assertEqual(sum(parts), Decimal(amount))

    def test_what_does_not_fit_is_refused_with_its_place(self):
        for input, words in [
            ({"lines": [{"what": "x", "price": 1.5}]}, "/lines/0/price: 1.5 is not a decimal number in a string"),
            ({"lines": [{"what": "x"}]}, "/lines/0/price: is missing"),
            ({"lines": [], "total": 1}, "/total: there is no such field"),
            ({"lines": [{"what": "x", "price": "1", "count": -1}]}, "0 at least"),
        ]:
            with self.assertRaisesRegex(ToolError, words) as raised:
                self.answer("money/total", **input)
            self.assertEqual(raised.exception.kind, "invalid-input")

    def test_schemas_follow_from_the_types(self):
        line = tools["money/total"].input_schema["properties"]["lines"]["items"]
        self.assertEqual(line["required"], ["what", "price"])
        self.assertEqual(line["properties"]["price"]["description"], "of one, without tax")


if __name__ == "__main__":
    unittest.main()

"""`python3 -m unittest`"""

import unittest

import playbook
from reprise.playbook import Interruption
from reprise.testing import play

READ = ("fs/read", {"path": "project/plan.md"}, {"text": "# The plan\nSleep.\n"})
ASK = ("approve", "Sign project/plan.md?", {"document": "project/plan.md", "title": "# The plan"})


class Playbook(unittest.TestCase):
    def played(self, *script):
        return play(playbook.run, {"document": "project/plan.md"}, *script, now=1000)

    def test_what_is_approved_is_signed(self):
        text = '# The plan\nsigned at 1970-01-01T00:00:01+00:00: "gladly"\n'
        write = ("fs/write", {"path": "project/plan.md.signed", "text": text}, {"bytes": 30})
        self.assertEqual(self.played(READ, (*ASK, "gladly"), write).output, {"signature": "project/plan.md.signed"})

    def test_what_is_rejected_is_not(self):
        failure = self.played(READ, (*ASK, Interruption(ASK[1], "rejected", "too short"))).failure
        self.assertEqual((failure.step, failure.detail), ("ask", '"too short"'))


if __name__ == "__main__":
    unittest.main()

"""`python3 -m unittest`"""

import unittest

import tool
from reprise.tool import ToolError, tools


class Tools(unittest.TestCase):
    def test_what_stands_behind_is_set_to_zero(self):
        for part, version in [("major", "2.0.0"), ("minor", "1.3.0"), ("patch", "1.2.10")]:
            # A tool is a function: call it.
            self.assertEqual(tool.bump("1.2.9", part), tool.Bumped(version))

    def test_what_is_no_version_is_refused(self):
        for version in ["", "1.2", "1.2.x", "1.2.3.4", "-1.2.3"]:
            # Or call it with JSON, as the host does.
            with self.assertRaises(ToolError) as raised:
                tools["{{namespace}}/bump"].answer({"version": version, "part": "patch"}, key="a-key")
            self.assertEqual(raised.exception.kind, "invalid-input")


if __name__ == "__main__":
    unittest.main()

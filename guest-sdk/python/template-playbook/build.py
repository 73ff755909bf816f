#!/usr/bin/env python3
"""Makes {{name}}.wasm: `python3 build.py`."""

import os
from pathlib import Path

os.chdir(Path(__file__).parent)
from reprise import build

# The tools that it calls. They become the imports of the component, and it can reach nothing else.
build.playbook("{{name}}", module="playbook", calls=["fs/read", "fs/write"])

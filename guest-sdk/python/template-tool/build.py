#!/usr/bin/env python3
"""Makes {{name}}.wasm: `python3 build.py`."""

import os
import sys
from pathlib import Path

os.chdir(Path(__file__).parent)
from reprise import build

# With "--wasi" the tools may ask for files, the clock and randomness, which an operator grants.
build.tool("{{name}}", module="tool", wasi="--wasi" in sys.argv)

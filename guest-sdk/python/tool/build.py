#!/usr/bin/env python3
"""Makes money.wasm: `python3 build.py`."""

import os
import sys
from pathlib import Path

os.chdir(Path(__file__).parent)
sys.path.insert(0, "..")
from reprise import build

build.tool("money", module="money")

#!/usr/bin/env python3
"""Makes orders.wasm: `python3 build.py`."""

import os
import sys
from pathlib import Path

os.chdir(Path(__file__).parent)
sys.path.insert(0, "..")
from reprise import build

build.playbook("orders", module="orders", calls=["fs/read", "fs/remove", "fs/write"])

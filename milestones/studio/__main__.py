"""The desk's process. A file of its own, so that desk.py is one module and not two."""

from __future__ import annotations

import sys

from .desk import main

main(sys.argv[1:])

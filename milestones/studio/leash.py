"""`python -m milestones.studio.leash WORDS`: `milestones WORDS`, ended when the process that started it ends: its
standard input closes then, however that process ended."""

from __future__ import annotations

import os
import runpy
import sys
import threading


def wait() -> None:
    """End this process at the end of standard input."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=wait, daemon=True).start()
    sys.argv[0] = "milestones"
    runpy.run_module("milestones", run_name="__main__", alter_sys=False)

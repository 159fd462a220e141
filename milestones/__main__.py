"""python -m milestones"""

import sys

from .cli import main

sys.exit(main())

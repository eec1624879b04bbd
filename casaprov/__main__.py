"""``python -m casaprov``: the same as the ``casaprov`` command."""

from __future__ import annotations

import sys

from casaprov.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m qtui` is the command `qtui`."""

import sys

from qtui.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

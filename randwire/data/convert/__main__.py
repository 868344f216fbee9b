"""`python -m randwire.data.convert`."""

import sys

from randwire.data.convert.command import main

if __name__ == "__main__":
    sys.exit(main())

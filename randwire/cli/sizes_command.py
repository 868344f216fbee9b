"""`studies/sizes.py`: the table of sizes."""

import argparse
import sys
from collections.abc import Sequence

from randwire.arguments import Parser, guarded, positive_int
from randwire.stdio import delivered


def sizes(description: str | None, arguments: Sequence[str] | None = None) -> int:
    """Print the tables; returns 1 if a mean is further from the printed one than chance explains."""
    parser = Parser(
        prog="studies/sizes.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=positive_int, default=200, help="graph seeds of each row, 2 or more [200]")
    parser.add_argument("--start", type=int, default=0, help="the first of them [0]")

    def main() -> int:
        from tqdm import tqdm

        from randwire.study.sizes import MAX_STANDARD_ERRORS, compare, markdown, settings

        options = parser.parse_args(arguments)
        if options.seeds < 2 or options.start < 0:
            parser.error("--seeds must be 2 or more, and --start 0 or more")
        compared = list(tqdm(compare(options.seeds, options.start), "tables", leave=False, disable=None))
        figure_4 = list(tqdm(settings(options.seeds, options.start), "settings", leave=False, disable=None))
        print(markdown(compared, figure_4), end="")
        wrong = [row.printed for row in compared if not row.fits]
        for printed in wrong:
            where = f"{printed.table}, {printed.preset}"
            print(
                f"{where}: {printed.quantity} are off by more than {MAX_STANDARD_ERRORS:g} standard errors",
                file=sys.stderr,
            )
        delivered()
        return 1 if wrong else 0

    return guarded(main)

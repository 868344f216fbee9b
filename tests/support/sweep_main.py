"""A sweep of the digits in a process of its own, from Python: only there are all of its waits options.

sweep_main.py JSON, with the `values` of the configuration and the arguments of `design`, `cluster` and `timeouts`.
"""

import json
import sys

from randwire import config, sweep
from randwire.arguments import guarded
from randwire.study.design import Design


def main() -> int:
    options = json.loads(sys.argv[1])
    design = Design(config.load("digits", options["values"]), **options["design"])
    cluster = sweep.Cluster(**options["cluster"], timeouts=sweep.Timeouts(**options["timeouts"]))
    return 1 if sweep.run(design, cluster) else 0


if __name__ == "__main__":
    sys.exit(guarded(main))

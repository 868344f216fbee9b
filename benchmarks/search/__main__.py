"""Does TPE find better settings than random search, and are trainings better spent on settings or on seeds?

python -m benchmarks.search [--repetitions 200] [--json FILE] [--figure docs/search.png]

Nothing is trained. The truth is a landscape over the whole search space that passes through the paper's Figure 4; a
simulated training draws its top-1 around it, with the figure's spread. The code that suggests settings and takes
outcomes is the one that a sweep runs: `SettingSearch` and, for early stopping, `Pruner` of `randwire.study`. One
setting is trained at a time. Cases of one repetition see the same noise, so differences are taken within repetitions.

Regret is how far the truth of the setting that a study would recommend lies below the best truth of the space, in
points of top-1. In the cases of searches that is the setting of the highest mean; what a smooth fit makes of the same
means is measured beside the race.

    blind       the study has no idea where to begin
    paper       it begins with the paper's best settings, as sweeps do; on this landscape one of them is the optimum
    mirrored    it begins so, but every parameter axis is reversed: data whose optimum lies elsewhere

Beside searches there are the race and the paper's grid, at the cost of a race (92 trainings): how good what they choose
is, by their means or by a smooth fit of these, by how much what they say of it is too high, and what a confirmation of
the best of each generator on fresh graphs makes of it.
They have the 29 settings of Figure 4 to choose from, searches the whole space.

Early stopping needs curves: the top-1 after an epoch is the final one plus a deviation that walks at random and ends at
zero, with its size set by the rank correlation between the values after the pruner's first look and the final ones over
the space. A common rise over the epochs is left out: successive halving compares trials at one epoch, so it would
change no decision.

Tried with Optuna 5.0.0 and left out, in simulations as these (30 settings of two seeds; 60 of one for Hyperband):

    GPSampler       takes no conditional parameters: those of generators come from its RandomSampler, and it suggests
                    144 known settings on the way to 30 (n = 3)
    CmaEsSampler    (cmaes 0.13.1) takes neither these nor a categorical one, so all are random: 11.5 known settings on
                    the way to 30, random search 11.3 (n = 6)
    WilcoxonPruner  stops a setting between its seeds: never with 2 or 3, saves 13 % with 5 and 45 % with 10 (n = 15),
                    and pairs graphs that have only the number of a seed in common; a race adds seeds instead
    HyperbandPruner saves 73 %, successive halving 89 % (correlation 0.7, n = 15), but stops the best in 7 of 15, too (9
                    of 15); what it shows TPE are the trials of one bracket, so few that TPE would rarely begin
"""

import argparse
import json
from pathlib import Path

from benchmarks.search.cases import SEEDS, cases, measure
from benchmarks.search.choices import measure_choices, report_choices, show_choices
from benchmarks.search.picture import draw
from benchmarks.search.report import report, show


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=200, help="simulated studies of each case [%(default)s]")
    parser.add_argument("--trials", type=int, default=60, help="trainings that a study may cost [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other repetitions [%(default)s]")
    parser.add_argument("--processes", type=int, default=2, help="at once [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it there, as PNG")
    arguments = parser.parse_args()
    if arguments.repetitions < 1 or arguments.trials < max(SEEDS) or arguments.seed < 0:
        parser.error(f"--repetitions must be at least 1, --trials {max(SEEDS)}, --seed 0")
    results = measure(cases(), arguments.repetitions, arguments.trials, arguments.seed, arguments.processes)
    choices = measure_choices(arguments.repetitions, arguments.seed, arguments.processes)
    show(results, arguments.repetitions, arguments.trials)
    show_choices(choices)
    if arguments.json:
        content = report(results, arguments.repetitions, arguments.trials, arguments.seed)
        content["choices"] = report_choices(choices)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    if arguments.figure:
        draw(results, arguments.repetitions, arguments.trials).savefig(arguments.figure, dpi=100)


if __name__ == "__main__":
    main()

"""Have the networks the sizes that the paper prints, and what are the graphs of Figure 4? (Tables 2 to 4; no training.)

python studies/sizes.py               the tables of docs/sizes.md, in under a minute; exit 1 if a mean does not fit
python studies/sizes.py --seeds 1000  over more graphs
"""

from randwire.cli import sizes

if __name__ == "__main__":
    raise SystemExit(sizes(__doc__))

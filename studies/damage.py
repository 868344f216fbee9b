"""What do trained networks lose with one node or one edge of their graphs? (Paper, section 4.1 and Figure 5.)

python studies/damage.py run                  a small network of each generator on the digits, trained first; in minutes
python studies/damage.py run RECORD RECORD    trained networks, by the folders of their records; again: go on
python studies/damage.py report               one self-contained page from the results
"""

from randwire.cli import damage

if __name__ == "__main__":
    raise SystemExit(damage(__doc__))

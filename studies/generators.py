"""Which random graph generator is better, and by how much? (Paper, section 4.1 and Figure 4.)

python studies/generators.py plan      the trials, their graphs and sizes
python studies/generators.py sweep     search and train, on this machine or a Ray cluster; again: go on
python studies/generators.py status    where it stands
python studies/generators.py trial 3   one trial of the plan, in this process, without Ray
python studies/generators.py report    one self-contained page from the records
"""

from randwire.cli import study

if __name__ == "__main__":
    raise SystemExit(study("generators", __doc__))

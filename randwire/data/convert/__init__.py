"""Convert a source to the form that training reads: `python -m randwire.data.convert SOURCE [INPUT] OUTPUT`.

OUTPUT becomes a folder with train.beton, val.beton and dataset.json. They appear when all is written; a conversion that
ends in any other way leaves what was there, and the next one clears what is left of a killed one.

    conversion.py     the two files and dataset.json, in steps
    image.py          one image of a source, as it is written
    processes.py      the same for many images, in several processes
    summary.py        what is counted of a split
    estimate.py       the space that the files will take
    output.py         the folder, whose files appear when all are whole
    command.py        the command line
    check.py          a converted set looked at: check_command.py is the command line
    read_back.py      all images of a converted file, each once
    figures.py        what is counted of them
    contact_sheet.py  a picture of some of them, with names by lettering.py
"""

from randwire.data.convert.command import main
from randwire.data.convert.conversion import convert

__all__ = ["convert", "main"]

"""Train one randomly wired network: `python train.py digits`. `--help` lists all keys."""

from randwire.cli import train

if __name__ == "__main__":
    raise SystemExit(train())

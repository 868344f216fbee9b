"""`train.py RECORD --evaluate | --predict | --export`: a trained network in use."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from randwire import config as configuration
from randwire import storage
from randwire.errors import ConfigError
from randwire.metrics import EVALUATION, TEST
from randwire.names import printable
from randwire.stdio import delivered

TOP = 5
"""Classes that a prediction shows, unless --top says how many."""


def evaluate(options: argparse.Namespace, keys: Mapping[str, object]) -> int:
    """Scores on the validation split, as one JSON object on stdout; under torchrun on all ranks."""
    from randwire import inference
    from randwire.training.worker import ProcessWorker, process_group

    _trained_only(options.config, "--evaluate")
    with process_group(_device(keys)) as (device, rank, world_size):
        row = inference.evaluate(options.config, keys, ProcessWorker(device, rank, world_size))
        if rank == 0:
            shown = ", ".join(metric.text(row[metric.key]) for metric in (*EVALUATION, *TEST) if metric.key in row)
            print(
                f"{options.config} after epoch {row['epoch']}: {row['images']} images of {row['source']} at "
                f"{row['resolution']} pixels: {shown}",
                file=sys.stderr,
            )
            print(json.dumps(row))
            if not inference.is_recorded(options.config, row) and not delivered():
                print("error: the result is neither recorded nor printed: standard output was closed", file=sys.stderr)
                return 1
    return 0


def predict(options: argparse.Namespace, keys: Mapping[str, object]) -> int:
    """The most probable classes of each file, a line each; with --json all probabilities, an object a line.

    A file that cannot be used is a line on standard error, and all others are predicted; the exit status is 1 then.
    """
    from randwire import inference, prediction
    from randwire.training.worker import pick_device

    _trained_only(options.config, "--predict")
    _only(keys, "--predict", "runtime.device")
    device = pick_device(_device(keys))
    trained = inference.open_trained(options.config)
    paths = [_local(name) for name in options.predict]
    unusable = 0
    for number, result in enumerate(prediction.predictions(trained, paths, device)):
        if isinstance(result, prediction.Unusable):
            unusable += 1
            print(f"error: {result.error}", file=sys.stderr)
            if options.json:
                print(json.dumps({"path": str(result.path), "error": result.error}), flush=True)
        elif options.json:
            print(json.dumps({"path": str(result.path), "probabilities": result.probabilities}), flush=True)
        else:
            top = result.top(options.top or TOP)
            shown = "  ".join(f"{printable(name)} {share:.4f}" for name, share in top)
            print(f"{printable(result.path)}  {shown}", flush=True)
        if not delivered():
            print(f"error: standard output was closed after {number} of {len(paths)} predictions", file=sys.stderr)
            return 1
    if unusable and len(paths) > 1:
        print(f"{unusable} of {len(paths)} images have no prediction", file=sys.stderr)
    return 1 if unusable else 0


def _local(name: str) -> Path:
    if not name:
        raise ConfigError("--predict: an empty name; name image files")
    if storage.is_url(name):
        raise ConfigError(f"--predict: {printable(name)} is a URL; copy the image to this machine and name the copy")
    return Path(name)


def export(options: argparse.Namespace, keys: Mapping[str, object]) -> int:
    """One file for other programs; its path on stdout."""
    from randwire import deploy

    _trained_only(options.config, "--export")
    _only(keys, "--export", "data.resolution")
    resolution = keys.get("data.resolution")
    if resolution is not None:
        resolution = configuration.build({}, {"data.resolution": resolution}).data.resolution
    difference = deploy.export(options.config, options.export, resolution)
    print(f"logits differ by {difference:.1e} of the largest", file=sys.stderr)
    print(options.export)
    return 0


def _trained_only(name: str, option: str) -> None:
    if not Path(name).exists():
        raise ConfigError(f"{name}: no such record; {option} takes the folder of a record, or a checkpoint file")


def _only(keys: Mapping[str, object], option: str, allowed: str) -> None:
    if others := [key for key in keys if key != allowed]:
        raise ConfigError(f"{others[0]}: is not for {option}, which takes the network as it is; only {allowed} is")


def _device(keys: Mapping[str, object]) -> configuration.Device:
    """The device of the keys; that of the training may be of another machine."""
    return configuration.build({}, {"runtime.device": keys.get("runtime.device", "auto")}).runtime.device

"""A trained network as one file for other programs, checked for equal outputs before it gets its name."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn

from randwire import machine
from randwire.errors import ExportError
from randwire.header import SUFFIX
from randwire.inference import Trained, check_resolution, open_trained
from randwire.training import weights
from randwire.training.evaluate import full_precision

MAX_LOGIT_DIFFERENCE = 1e-3
"""Largest difference of a logit, as a share of the largest logit."""


def export(source: str | Path, target: str | Path, resolution: int | None = None) -> float:
    """Write the network of a record or a checkpoint to `target`, as its suffix says; returns how far logits differ.

    .pt2          torch.export: `torch.export.load(target).module()`, and `.to("cuda")` for a GPU; extra files
                  `classes.json`, `reading.json` and `encoding.json`
    .onnx         ONNX; the same, as JSON, are its metadata `classes`, `reading` and `encoding`
    .safetensors  weights, with all that it takes to build the network again (see training/weights.py)

    `reading` and `encoding` tell how the images of its set were read and stored (`inference.Trained`).
    The first two are programs, with the normalisation in them. Input `images`: uint8 (B, 3, R, R), RGB, any B, R being
    `resolution` or the one of evaluation. Output `logits`: float32 (B, classes). Each file is read back and run beside
    the network on a batch of another size; if a logit differs by more than MAX_LOGIT_DIFFERENCE of the largest, nothing
    is written. Raises ExportError for that, for another suffix, a `resolution` of weights, and a path that cannot be
    written, CheckpointError for an unusable network, and ConfigError for a resolution that a published
    network does not work at.
    """
    target = Path(target)
    write = _WRITERS.get(target.suffix)
    if write is None:
        raise ExportError(f"{target}: the suffix must be one of {', '.join(_WRITERS)}")
    if resolution is not None and target.suffix == SUFFIX:
        raise ExportError(f"{target}: holds weights, and no program of one resolution; leave data.resolution out")
    trained = open_trained(source)
    side = resolution or trained.config.data.evaluation.resolution
    check_resolution(trained, side)
    network = nn.Sequential(trained.normalise, trained.network).eval()
    stream = torch.Generator().manual_seed(0)
    example, check = (torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=stream) for n in (2, 3))
    try:
        with _replacing(target) as partial:
            with _quiet():
                run = write(trained, network, example, partial)
            with torch.no_grad(), full_precision(check.device):
                expected = network(check)
                difference = float((run(check) - expected).abs().max() / expected.abs().max())
            if not difference <= MAX_LOGIT_DIFFERENCE:
                raise ExportError(f"{target}: not written: its logits differ by {difference:.2g} of the largest")
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror}") from None
    return difference


def _torch_export(trained: Trained, network: nn.Module, example: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    program = _of_any_device(_program(network, example))
    torch.export.save(program, path, extra_files={f"{name}.json": text for name, text in _texts(trained).items()})
    module = torch.export.load(path).module()
    return lambda images: module(images)


def _onnx(trained: Trained, network: nn.Module, example: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    program: Any = torch.onnx.export(
        _program(network, example), dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
    )
    program.model.metadata_props.update(_texts(trained))
    program.save(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.cpus()  # by itself one for each CPU of the computer, bound to it
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def _safetensors(trained: Trained, network: nn.Module, example: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    state = {
        "network": trained.network.state_dict(),
        "epoch": trained.epoch,
        "config": trained.config.model_dump(mode="json", exclude={"runtime"}),
        "graphs": trained.graphs,
        "data": {"mean": trained.mean, "std": trained.std, **_about(trained)},
    }
    weights.write(path, state)
    again = open_trained(path)
    return nn.Sequential(again.normalise, again.network)


def _about(trained: Trained) -> dict[str, Any]:
    """What a network is used with beside its weights and the normalisation, in plain containers."""
    return {
        "classes": trained.classes,
        "reading": trained.reading.model_dump(mode="json"),
        "encoding": dict(trained.encoding),
    }


def _texts(trained: Trained) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in _about(trained).items()}


_WRITERS = {".pt2": _torch_export, ".onnx": _onnx, SUFFIX: _safetensors}


def _program(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def _of_any_device(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program without what says that it was exported on a CPU: `module().to("cuda")` moves all the rest of it.

    Where a type is changed, torch.export asserts type, layout and device of what it was.
    """
    for node in program.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": None}
    program.graph_module.recompile()
    return program


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A path beside `target`, with its suffix, whose file replaces it when the block ends well."""
    partial = target.with_name(f".{target.stem}.{uuid4().hex}.partial{target.suffix}")
    partial.touch(exist_ok=False)  # torch raises no OSError for a path that cannot be written
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say of packages that are not needed here."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)

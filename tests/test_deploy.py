"""Exported networks: the same logits in other programs."""

import json
from pathlib import Path
from typing import Any

import commands
import onnxruntime
import pytest
import torch
from data_helpers import seen_in_evaluation
from trained_helpers import refused

import randwire
from randwire import config as configuration
from randwire import inference
from randwire.errors import ExportError


@pytest.fixture(scope="module")
def raw(pictures: tuple[list[Path], list[int]]) -> torch.Tensor:
    """Pixels as the exported file takes them: a batch of a size that the exporter never saw."""
    return seen_in_evaluation(pictures[0][:7], configuration.load("digits").data).contiguous()


def test_a_torch_export_gives_the_same_logits(trained: Path, tmp_path: Path, raw: torch.Tensor) -> None:
    assert randwire.export(trained, tmp_path / "net.pt2") < 1e-6
    extra = {"classes.json": ""}
    program = torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    trained_network = inference.open_trained(trained)
    with torch.no_grad():
        expected = trained_network.network(trained_network.normalise(raw))
        for batch in (raw, raw[:1]):
            torch.testing.assert_close(program.module()(batch), expected[: len(batch)], rtol=1e-5, atol=1e-5)
    assert json.loads(extra["classes.json"]) == list("0123456789")


def test_an_onnx_export_gives_the_same_logits(trained: Path, tmp_path: Path, raw: torch.Tensor) -> None:
    done = commands.run("train.py", str(trained), "--export", str(tmp_path / "net.onnx"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "net.onnx")
    assert len(done.stderr.strip().splitlines()) == 1
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    trained_network = inference.open_trained(trained)
    with torch.no_grad():
        expected = trained_network.network(trained_network.normalise(raw))
    for batch in (raw, raw[:1]):
        logits = torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0])
        torch.testing.assert_close(logits, expected[: len(batch)], rtol=1e-4, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list("0123456789")
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


def test_an_export_at_another_resolution(trained: Path, tmp_path: Path) -> None:
    randwire.export(trained, tmp_path / "net.pt2", resolution=40)
    program = torch.export.load(tmp_path / "net.pt2").module()
    assert program(torch.zeros(2, 3, 40, 40, dtype=torch.uint8)).shape == (2, 10)


def test_a_wrong_export_gets_no_name(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from randwire import deploy

    def writes_another(_: Any, network: torch.nn.Module, example: torch.Tensor, path: Path) -> Any:
        path.write_text("half")
        return lambda images: network(images) + 1

    monkeypatch.setitem(deploy._WRITERS, ".pt2", writes_another)
    with pytest.raises(ExportError, match="not written: its logits differ"):
        randwire.export(trained, tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_and_unknown_suffixes_are_lines(trained: Path, tmp_path: Path) -> None:
    assert "the suffix must be one of .pt2, .onnx" in refused(str(trained), "--export", str(tmp_path / "net.h5"))
    with pytest.raises(ExportError, match="cannot be written"):
        randwire.export(trained, tmp_path / "no" / "net.pt2")


def test_a_torch_export_is_of_no_device(trained: Path, tmp_path: Path, raw: torch.Tensor) -> None:
    """Nothing in it says cpu, and all tensors that it holds move with it."""
    randwire.export(trained, tmp_path / "net.pt2")
    module = torch.export.load(tmp_path / "net.pt2").module()
    asserted = [node for node in module.graph.nodes if str(node.target) == "aten._assert_tensor_metadata.default"]
    assert asserted, "what torch.export asserts has changed: see that no device is in it"
    for node in module.graph.nodes:
        values = [*node.args, *node.kwargs.values()]
        assert not [value for value in values if isinstance(value, torch.device)], node.format_node()
    module.to("meta")
    held = [value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor)]
    tensors = [*module.parameters(), *module.buffers(), *held]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert module(raw.to("meta")).shape == (7, 10)

"""randwire: a distributed study of randomly wired neural networks (Xie, Kirillov, Girshick, He 2019).

    import randwire

    record = randwire.train("digits", {"train.epochs": 20})
    randwire.evaluate(record, {"data.resolution": 40})
    randwire.predict(record, ["seven.png"])[0].top(3)
    network = randwire.load(record)  # a torch.nn.Module
    randwire.export(record, "digits.onnx")

Importing this package imports nothing else; torch comes with the first use of a function.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from randwire.deploy import export
    from randwire.inference import evaluate, load
    from randwire.prediction import predict
    from randwire.run import train

__version__ = "0.1.0"
__all__ = ["evaluate", "export", "load", "predict", "train"]

_HOMES = {"evaluate": "inference", "export": "deploy", "load": "inference", "predict": "prediction", "train": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"randwire.{_HOMES[name]}"), name)

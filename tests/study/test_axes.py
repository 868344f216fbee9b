"""Where settings lie: in widths of the domain of a generator or of a user's range, never by a seed."""

import numpy as np
import pytest

from randwire.study.axes import coordinates
from randwire.study.setting import Setting


def points(*texts: str, space: tuple[str, ...] = ()) -> list[list[float]] | None:
    found = coordinates([Setting.parse(text) for text in texts], {"space": list(space)})
    return None if found is None else found.round(6).tolist()


def test_parameters_are_in_widths_of_their_domains_and_each_generator_has_its_own() -> None:
    """The axes are ba.m (1 to 8), er.p (0.1 to 0.9), ws.k (2 to 8) and ws.p (0 to 1)."""
    assert points("ba:m=8", "er:p=0.3", "ws:k=4,p=0.75") == [
        [1, 0, 0, 0],
        [0, 0.25, 0, 0],
        [0, 0, pytest.approx(1 / 3, abs=1e-6), 0.75],
    ]


def test_a_range_takes_the_place_of_a_domain_and_numbers_lie_by_rank() -> None:
    space = ("network.channels=8,16,64", "ws.k=4:8:2")
    texts = [f"ws:k={k},p=0.5 network.channels={channels}" for k, channels in ((4, 8), (6, 16), (8, 64))]
    assert points(*texts, space=space) == [[0, 0, 0.5], [0.5, 0.5, 0.5], [1, 1, 0.5]]


def test_what_is_no_number_has_an_axis_for_each_value() -> None:
    texts = ["chain network.op=conv", "chain network.op=sepconv", "chain network.op=conv"]
    assert points(*texts, space=("network.op=conv,sepconv",)) == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("chain graph.seed=3", "graph.seed=0:9"),
        ("chain train.seed=3", "train.seed=0:9"),
        ("chain network.channels=7", "network.channels=8,16"),
        ("chain network.channels=7", "network.nothing"),
        ("chain a-variant", "network.channels=8,16"),
        ("gone:p=1", "network.channels=8,16"),
    ],
)
def test_seeds_are_no_axes_and_what_is_outside_of_the_space_has_no_place(text: str, space: str) -> None:
    assert points(text, space=(space,)) is None


def test_settings_without_parameters_are_points_without_axes() -> None:
    found = coordinates([Setting("chain"), Setting("complete")], {})
    assert found is not None
    assert found.shape == (2, 0)
    assert found.dtype == np.float64

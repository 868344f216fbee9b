"""The emulated CUDA device tells what makes the host wait, and nothing else."""

from emulated_results import results_of

EXPECTED = {"WAITS": 29, "NO_WAITS": 9, "FAULTS": 2, "NO_FAULTS": 1, "MISMATCHES": 5, "NOT_CAPTURED": 3}


def _of(kind: str) -> dict[str, dict[str, object]]:
    found = {name: dict(case) for name, case in results_of("planted").items() if name.startswith(f"{kind}: ")}
    assert len(found) == EXPECTED[kind]
    return found


def test_a_wait_of_each_kind_is_found_once() -> None:
    for name, case in _of("WAITS").items():
        assert case["error"] is None, name
        assert isinstance(case["waits"], list)
        assert len(case["waits"]) == 1, name


def test_what_does_not_wait_is_not_told() -> None:
    assert {name: case["waits"] for name, case in _of("NO_WAITS").items() if case["waits"] or case["error"]} == {}


def test_tensors_of_several_devices_or_types_are_refused() -> None:
    for name, case in _of("MISMATCHES").items():
        assert "tensors of several" in str(case["error"]), name


def test_what_a_graph_cannot_hold_is_refused_in_a_capture() -> None:
    errors = [str(case["error"]) for case in _of("NOT_CAPTURED").values()]
    assert ["not permitted" in error or "in a graph" in error for error in errors] == [True] * 3


def test_streams_that_do_not_wait_for_each_other_are_found() -> None:
    used, freed = (case["faults"] for case in _of("FAULTS").values())
    assert used == ["stream 0 uses what stream 1 has not yet written"]
    assert freed == ["memory of stream 1 is used by stream 0 unrecorded"]
    assert [case["faults"] for case in _of("NO_FAULTS").values()] == [[]]

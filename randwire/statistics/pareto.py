"""Which of several points no other one beats."""

from collections.abc import Sequence

Point = Sequence[float]


def front(points: Sequence[Point]) -> list[bool]:
    """Of each point, whether it is in the Pareto set: no other is below it in one coordinate, and above it in none.

    Of equal points all are in it, or none.
    """
    kept: list[Point] = []
    inside = [False] * len(points)
    for k in sorted(range(len(points)), key=lambda k: tuple(points[k])):  # what beats a point comes before it
        point = points[k]
        if not any(_beats(other, point) for other in kept):
            kept.append(point)
            inside[k] = True
    return inside


def _beats(one: Point, other: Point) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))

"""DAG -> picture: layered drawings of the random stages, with their unique input and output nodes, as SVG and PNG."""

from collections.abc import Mapping

from randwire.dag import DAG
from randwire.drawing.vector import svg, thumbnail_svg

__all__ = ["png", "svg", "thumbnail_svg"]


def png(dags: Mapping[str, DAG], title: str = "", width: int = 900) -> bytes:
    """The picture that `svg` draws, as a PNG of `width` pixels; the same bytes for the same arguments."""
    from randwire.drawing import raster  # matplotlib takes its time to import

    return raster.png(dags, title, width)

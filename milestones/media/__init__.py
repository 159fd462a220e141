"""What people put in and get out: pictures, texts, numbers, table rows, rankings, curves. Imports only
core."""

from .files import read
from .history import history
from .image import Image, mosaic, tiles
from .records import Curve, Heat, Listing, Media, Number, Ranking, Row, Surface, Text

__all__ = [
    "Curve", "Heat", "Image", "Listing", "Media", "Number", "Ranking", "Row", "Surface", "Text",
    "history", "mosaic", "read", "tiles",
]  # fmt: skip

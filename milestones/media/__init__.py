"""What people put in and get out: pictures, texts, numbers, table rows, rankings, curves. Imports only
core."""

from .files import read
from .history import history
from .image import Image, mosaic, tiles
from .records import Curve, Heat, Media, Number, Ranking, Row, Text

__all__ = ["Curve", "Heat", "Image", "Media", "Number", "Ranking", "Row", "Text", "history", "mosaic", "read", "tiles"]

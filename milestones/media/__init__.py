"""What people put in and get out: pictures, sounds, texts, numbers, table rows, boards, films, rankings, curves.
Imports only core."""

from .board import Board, Move
from .files import read
from .film import Video
from .history import history
from .image import Image, lit, mosaic, tiles
from .pinned import pinned
from .recording import Recording
from .records import Curve, Heat, Listing, Media, Number, Ranking, Row, Surface, Text
from .series import Series
from .sound import Audio

__all__ = [
    "Audio", "Board", "Curve", "Heat", "Image", "Listing", "Media", "Move", "Number", "Ranking", "Recording", "Row",
    "Series", "Surface", "Text", "Video", "history", "lit", "mosaic", "pinned", "read", "tiles",
]  # fmt: skip

"""From a user's recording to the same recording in another voice; here are the names that others use."""

from moksori.conversion.many import SongFile, SongsProgress
from moksori.conversion.options import ConvertOptions, Progress, Report
from moksori.conversion.voice import SHIPPED_VOICE, Voice, load

__all__ = ["SHIPPED_VOICE", "ConvertOptions", "Progress", "Report", "SongFile", "SongsProgress", "Voice", "load"]

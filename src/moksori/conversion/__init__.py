"""From a user's recording to the same recording in another voice; here are the names that others use."""

from moksori.conversion.many import SongFile, SongsProgress
from moksori.conversion.options import ConvertOptions, Progress, Report
from moksori.conversion.voice import Voice, load
from moksori.run_files import SHIPPED_VOICE

__all__ = ["SHIPPED_VOICE", "ConvertOptions", "Progress", "Report", "SongFile", "SongsProgress", "Voice", "load"]

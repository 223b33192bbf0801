"""From a user's recording to the same recording in another voice; here are the names that others use."""

from moksori.conversion.many import SongFile
from moksori.conversion.options import ConvertOptions, Report
from moksori.conversion.voice import Voice, load
from moksori.progress import OnProgress, Progress
from moksori.run_files import SHIPPED_VOICE

__all__ = ["SHIPPED_VOICE", "ConvertOptions", "OnProgress", "Progress", "Report", "SongFile", "Voice", "load"]

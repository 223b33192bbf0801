"""Environment of a process: caches in a folder of our own, and nothing from the working folder.

Songs lie in folders that others filled. A file there must not run as code, and must not be obeyed:

    onnxruntime   looks up a telemetry host and writes a device id into the home folder, unless its variable forbids it
    numba         keeps compiled code with an index that is a pickle; it is read only from a folder that is ours alone
    numba         obeys a `.numba_config.yaml` of the working folder
    matplotlib    obeys a `matplotlibrc` of the working folder
    ray           puts the working folder before all others on its workers' path, see `workers.actors`

Nor do names of files depend on the language that the environment names: they are UTF-8 in any locale.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import io
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CACHE_VARIABLE = "MOKSORI_CACHE"
"""Environment variable that names the folder of what can be computed again, of the machine and not of any data."""

_COMPILED = "engine"  # below the cache folder
_NUMBA_CACHE = "NUMBA_CACHE_DIR"
_TERMINAL = "moksori-terminal"  # an option of the interpreter's: which letters the terminal knows
_OBEYED = {"numba": ".numba_config.yaml", "matplotlib": "matplotlibrc"}  # package -> file of the working folder


def forbid_telemetry() -> None:
    """Keep packages from telling anybody that they run; they read their variables when they are first imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # of a voice that is fetched the hub learns no more


_is_without_a_team = threading.Event()
"""Set in a child that was forked from a process with torch, whose threads did not come along."""


@functools.cache
def one_thread_after_a_fork() -> None:
    """Let torch work with one thread in children that are forked from this process (Pool, joblib, gunicorn).

    Its team of OpenMP threads does not come along, and the first piece of work in a child would wait for it for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_without_a_team)


def _without_a_team() -> None:
    if "torch" in sys.modules:
        _is_without_a_team.set()
        keep_to_one_thread()


def torch_threads(wanted: int) -> int:
    """How many threads torch may have where so many are wanted: one in a forked child, see above."""
    return 1 if _is_without_a_team.is_set() else wanted


def keep_to_one_thread() -> None:
    """In a forked child, take back what its program asked of torch since, which would wait for ever."""
    if _is_without_a_team.is_set():
        torch: Any = importlib.import_module("torch")
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)


def in_utf8() -> None:
    """Start the interpreter anew, in UTF-8 mode (PEP 540), where a locale would make other letters of files' names.

    Under a locale of ASCII or Latin-1 a Korean name is bytes that are no text: pages would lose it, and a manifest
    could not hold it. What goes to the terminal stays in the letters that the terminal knows. For the command line:
    this does not return where it starts anew.
    """
    asked: dict[str, Any] = sys._xoptions
    if _TERMINAL in asked:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding=str(asked[_TERMINAL]), errors="backslashreplace")
    if sys.getfilesystemencoding() == "utf-8" or _TERMINAL in asked or not sys.executable or not sys.orig_argv:
        return
    letters = getattr(sys.stdout, "encoding", None) or "ascii"
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-X", "utf8", "-X", f"{_TERMINAL}={letters}", *sys.orig_argv[1:]])


def cache_folder() -> Path:
    """Where things of the machine are remembered: what the environment names, or the user's cache."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # nobody knows a home
        return compiled_folder().parent
    return Path(base).absolute() / "moksori"


@functools.cache
def compiled_folder() -> Path:
    """The folder of compiled code, and of the verdict on it: nobody else can write there.

    Below the cache folder if that can be had; else a new temporary one, which is gone when the process ends.
    """
    if CACHE_VARIABLE in os.environ or "XDG_CACHE_HOME" in os.environ or _has_home():
        folder = cache_folder() / _COMPILED
        with contextlib.suppress(OSError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            if is_ours_alone(folder):
                return folder
    base = Path(tempfile.mkdtemp(prefix="moksori-"))  # mode 0700
    process = os.getpid()
    atexit.register(lambda: shutil.rmtree(base, ignore_errors=True) if os.getpid() == process else None)
    (base / _COMPILED).mkdir(mode=0o700)
    return base / _COMPILED


def is_temporary() -> bool:
    """Whether compiled code cannot be kept from one call to the next."""
    return compiled_folder().parent != cache_folder()


def is_ours_alone(folder: Path) -> bool:
    """Whether a folder is one, not a link, belongs to this user, and can be written by this user and nobody else."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "getuid"):  # Windows: the user's own folders are closed to others by what is inherited
        return os.access(folder, os.W_OK)
    is_closed = status.st_uid == os.getuid() and not status.st_mode & 0o077
    return is_closed and os.access(folder, os.W_OK | os.X_OK)


def before_numba() -> None:
    """Settle where numba keeps compiled code, whatever the environment says, and that it obeys no working folder.

    Call it before a module is imported that compiles at import.
    """
    folder = str(compiled_folder())
    os.environ[_NUMBA_CACHE] = folder
    os.environ.pop("NUMBA_CACHE_LOCATOR_CLASSES", None)  # would choose another place, or none
    with _blind(), contextlib.suppress(ImportError):
        config: Any = importlib.import_module("numba.core.config")
        config._config_fname = os.devnull  # read again before anything is compiled; a device is passed over
        config.CACHE_DIR = folder  # numba may have been imported before


def before_pictures() -> None:
    """Keep matplotlib from the settings of a working folder, and its list of fonts in our cache; for the command line.

    Only where there are such settings does it load matplotlib now.
    """
    if "MPLCONFIGDIR" not in os.environ:
        os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")
    if os.path.lexists(_OBEYED["matplotlib"]):
        with _blind(), contextlib.suppress(ImportError):
            importlib.import_module("matplotlib")


@contextlib.contextmanager
def _blind() -> Iterator[None]:
    """While packages load, the files of the working folder that they would obey are not there."""
    unseen = {*_OBEYED.values()}
    with contextlib.suppress(OSError):  # the working folder may be gone
        unseen |= {os.path.join(os.getcwd(), name) for name in _OBEYED.values()}
    exists = os.path.exists
    os.path.exists = lambda path: path not in unseen and exists(path)
    try:
        yield
    finally:
        os.path.exists = exists


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:
        return False
    return True

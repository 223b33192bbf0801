"""Imports point downwards, and dangerous doors stay shut: read from the source, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "moksori"
FILES = sorted(SRC.rglob("*.py"))
STUDIES = sorted((SRC.parent / "moksori_studies").glob("*.py"))  # a side room

# A room may import rooms of lower floors, and itself.
FLOORS = {
    "errors": 0,
    "progress": 0,
    "documents": 0,
    "settings": 0,
    "arguments": 0,
    "atomic": 0,
    "ownership": 0,
    "run_files": 0,
    "surroundings": 0,
    "language": 0,
    "workers": 1,
    "audio": 1,
    "presets": 1,
    "hub": 1,
    "whisper_files": 1,
    "data": 2,
    "models": 2,
    "checkpoint": 3,
    "generation": 3,
    "training": 4,
    "conversion": 4,
    "soloist": 4,
    "export": 4,
    "sharing": 4,
    "evaluation": 5,
    "benchmark": 5,
    "checkup": 5,
    "studio": 6,
    "workflow": 6,
    "sweep": 7,
    "cli": 8,
    "__main__": 9,
}

# Inside a room a module may import those that stand before it.
ORDER = {
    "workers": "places mirror pool actors",
    "audio": (
        "clip frames mels mulaw bands traces highpass level mixdown parts containers decoders files resample spectral "
        "whisper_mel levelling pitch phase f0_file score notes octaves overlap_add pitch_synchronous envelopes shapes "
        "features transposition breaths mark live_pitch polyphony reverberation signals"
    ),
    "data": (
        "index corpus threads layouts rights sources rows splits stretches spool prepare_config takes clips "
        "splits_file prepare doctor augment repitch "
        "flat_cache feature_cache segments excerpts batches"
    ),
    "models": (
        "conditions layers notes ear mel_encoder encoder separator wavenet synthesiser source_filter expectation "
        "whisper_encoder classifier critic singers autoencoder source_filter_model solo kinds roster"
    ),
    "generation": "backends engine generator priming songs",
    "generation.backends": ("sampling stepwise reference streaming cuda_graph graphed fused_kernels fused calibration"),
    "generation.songs": "windows latents chunks base scheduler codes features detail live solo",
    "generation.engine": "cpu exponential tile yardstick product encoder_kernel kernel packing encoder backend trial",
    "training": (
        "schedules losses perturb learner average guard ranks shards plateau phases choose recipe logging vectors "
        "teacher media folder loop horizon enrol warm_start run"
    ),
    "training.phases": "base mixup schedule predict reconstruct adversarial backtranslate",
    "training.logging": "events validation journal tensorboard",
    "training.media": "base codes features solo",
    "conversion": "options analysis acoustics instant ear song many preview voice separation mix live catalogue",
    "evaluation": (
        "measures judges report held_out leaks pairs scorer conversions retrieval analyses scoring sounds folder runner"
    ),
    "evaluation.measures": "bootstrap melody sound mel_cepstrum syllables characters harmonics",
    "evaluation.judges": "fitting vowels probe singer resemblyzer whisper distill_mos discriminant panel",
    "evaluation.report": "data verdict next_steps scales gather arms figures pages song_page listening compare",
    "studio": (
        "words store events uploads guard schemas tasks worker client songs jobs voices enrolments trainer trainings "
        "app server"
    ),
}

# The side room stands beside the house: of the package its studies know only what all stand on, and nobody knows them
# but the command that starts them.
STUDIES_ORDER = (
    "commands subwords corpora toy seq2seq training recurrent pages bleu comparison memory translation bayes "
    "back_translation jamo espeak mels tacotron speech"
)
STUDIES_MAY_IMPORT = {"moksori.errors", "moksori.atomic"}
STARTS_STUDIES = "moksori.cli.study"

# The one room whose names are imported from the room itself: users write `from moksori.conversion import ...`.
HAS_PUBLIC_NAMES = "moksori.conversion"

# Two rooms of one floor do not know each other, but for errors, whole files, and what stands in JSON and TOML.
NEIGHBOURS = {
    ("settings", "errors"),
    ("language", "errors"),
    ("language", "documents"),
    ("ownership", "errors"),
    ("ownership", "atomic"),
    ("ownership", "documents"),
    ("run_files", "documents"),
}


def _name(path: Path) -> str:
    """`moksori.audio.clip`; a package's `__init__` has the package's name."""
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules of the project that a file imports, by full name, and whether that happens when it is loaded."""
    modules = {_name(other) for other in FILES}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_load = {id(node) for statement in tree.body for node in _walk_outside_functions(statement)}
    for node in ast.walk(tree):
        is_at_load = id(node) in at_load
        if isinstance(node, ast.Import):
            yield from ((alias.name, is_at_load) for alias in node.names if alias.name.split(".")[0] == "moksori")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno}: a relative import; name the module"
            if node.module and node.module.split(".")[0] == "moksori":
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield (full if full in modules else node.module), is_at_load


def _walk_outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _walk_outside_functions(child)


def _room(module: str) -> str:
    return module.split(".")[1]


MODULES = [path for path in FILES if path != SRC / "__init__.py"]


def test_there_is_something_to_read() -> None:
    assert len(MODULES) > 30
    assert sum(1 for path in MODULES for _ in _imports(path)) > 100


def test_every_room_has_a_floor() -> None:
    assert {_room(_name(path)) for path in MODULES} <= FLOORS.keys()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_downwards(path: Path) -> None:
    room = _room(_name(path))
    for module, _ in _imports(path):
        if module == "moksori" or _room(module) == room:
            continue
        is_lower = FLOORS[_room(module)] < FLOORS[room] or (room, _room(module)) in NEIGHBOURS
        assert is_lower, f"{_name(path)} (floor {FLOORS[room]}) imports {module} (floor {FLOORS[_room(module)]})"


@pytest.mark.parametrize("room", ORDER)
def test_every_module_of_a_room_has_its_place(room: str) -> None:
    folder = SRC.joinpath(*room.split("."))
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert modules - {"__init__"} <= set(ORDER[room].split())


@pytest.mark.parametrize("path", [path for path in MODULES if _room(_name(path)) in ORDER], ids=_name)
def test_modules_import_only_those_above_them(path: Path) -> None:
    name = _name(path)
    for module, _ in _imports(path):
        for room, places in ORDER.items():  # a room, and perhaps a room within it
            prefix = f"moksori.{room}."
            if not (module.startswith(prefix) and name.startswith(prefix)):
                continue
            order = places.split()
            own, other = (each.removeprefix(prefix).split(".")[0] for each in (name, module))
            is_above = order.index(other) < order.index(own) or (own == other and f"{room}.{own}" in ORDER)
            assert is_above, f"{name} imports {module}, which stands below it"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nobody_inside_imports_the_bare_package(path: Path) -> None:
    # The front doors may: they ask the package for its version, and convert by the public name.
    if _room(_name(path)) not in ("cli", "studio", "workflow"):
        assert "moksori" not in [module for module, _ in _imports(path)]


def test_no_circles() -> None:
    graph = {_name(path): {module for module, at_load in _imports(path) if at_load} for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_inits_hold_only_a_docstring_or_public_names() -> None:
    for path in FILES:
        if path.name == "__init__.py" and path.parent != SRC:
            docstring, *others = ast.parse(path.read_text(encoding="utf-8")).body
            assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant), path
            if _name(path) == HAS_PUBLIC_NAMES:
                *imports, names = others
                assert all(isinstance(statement, ast.ImportFrom) for statement in imports), path
                assert isinstance(names, ast.Assign) and ast.unparse(names.targets[0]) == "__all__", path
            else:
                assert not others, path


def _all_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, whosever it is, and whether that happens when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_load = {id(node) for statement in tree.body for node in _walk_outside_functions(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", id(node) in at_load) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_imports_a_study_but_the_command_that_starts_them_and_that_lazily(path: Path) -> None:
    found = [at_load for module, at_load in _all_imports(path) if module.startswith("moksori_studies")]
    assert not any(found)
    assert bool(found) == (_name(path) == STARTS_STUDIES)


@pytest.mark.parametrize("path", STUDIES, ids=_name)
def test_a_study_imports_little_of_the_package_and_only_studies_above_it(path: Path) -> None:
    ours = {
        f"{module.rsplit('.', 1)[0]}" if module.split(".")[-1][0].isupper() else module for module, _ in _imports(path)
    }
    assert ours <= STUDIES_MAY_IMPORT
    order = STUDIES_ORDER.split()
    for module, _ in _all_imports(path):
        if module.startswith("moksori_studies."):
            other = module.split(".")[1]
            assert order.index(other) < order.index(path.stem), f"{path.stem} imports {other}, which stands below it"


def test_every_study_has_its_place() -> None:
    assert {path.stem for path in STUDIES} == {"__init__", *STUDIES_ORDER.split()}


# Doors that stay shut

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "code", "pty"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "breakpoint"}
FORBIDDEN_CALLS = {
    "torch.load",
    "torch.save",
    "torch.hub.load",
    "np.load",
    "numpy.load",
    "np.fromfile",
    "os.system",
    "os.popen",
    "os.execv",
    "os.spawnv",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "tempfile.mktemp",
    "torch.manual_seed",
    "np.random.seed",
    "random.seed",
}
# The weights' first values come from PyTorch's global generator, which is put back afterwards.
EXCEPTIONS = {
    ("moksori.training.run", "torch.manual_seed"),
    ("moksori.surroundings", "os.execv"),  # this interpreter, by the arguments it has, with other letters
    ("moksori.evaluation.judges.fitting", "torch.manual_seed"),
    ("moksori_studies.training", "torch.manual_seed"),
}


def _calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _where(path: Path, node: ast.expr) -> str:
    return f"{path.relative_to(SRC.parent)}, line {node.lineno}"


@pytest.mark.parametrize("path", FILES + STUDIES, ids=_name)
def test_no_module_that_can_run_what_it_reads(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not FORBIDDEN_MODULES & {name.split(".")[0] for name in names}, f"{path}: {names}"


@pytest.mark.parametrize("path", FILES + STUDIES, ids=_name)
def test_no_call_that_can_run_what_it_reads(path: Path) -> None:
    for call in _calls(path):
        name = ast.unparse(call.func)
        assert name not in FORBIDDEN_NAMES, _where(path, call)
        assert name not in FORBIDDEN_CALLS or (_name(path), name) in EXCEPTIONS, f"{_where(path, call)}: {name}"
        for keyword in call.keywords:
            assert keyword.arg not in ("allow_pickle", "weights_only"), _where(path, call)
            is_shell = keyword.arg == "shell" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            )
            assert not is_shell, f"{_where(path, call)}: a shell"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_json_and_toml_are_read_in_one_place(path: Path) -> None:
    """The plain readers leave by other errors than ValueError; see `documents`."""
    for call in _calls(path):
        is_reader = ast.unparse(call.func) in ("json.loads", "json.load", "tomllib.loads", "tomllib.load")
        assert not is_reader or _name(path) == "moksori.documents", _where(path, call)


@pytest.mark.parametrize("path", FILES + STUDIES, ids=_name)
def test_text_files_name_their_encoding(path: Path) -> None:
    for call in _calls(path):
        name = ast.unparse(call.func).rpartition(".")[2]
        is_text = name in ("read_text", "write_text")
        if ast.unparse(call.func) != "os.open" and name in (
            "open",
            "fdopen",
            "NamedTemporaryFile",
            "TemporaryFile",
            "SpooledTemporaryFile",
        ):
            is_text = not _is_binary(call, name) and not _is_audio(call)
        if is_text:
            assert "encoding" in [keyword.arg for keyword in call.keywords], _where(path, call)


def _is_binary(call: ast.Call, name: str) -> bool:
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    constants = [node.value for node in [*call.args, *modes] if isinstance(node, ast.Constant)]
    if name.endswith("TemporaryFile") and not constants:
        return True  # their default
    return any(isinstance(value, str) and "b" in value for value in constants)


def _is_audio(call: ast.Call) -> bool:
    """Libraries that open their own kind of file, or bytes."""
    return ast.unparse(call.func) in ("self._av.open", "safe_open", "webbrowser.open", "archive.open")


# Defaults that are computed although they may not be needed: `cache.setdefault(key, expensive())` caches nothing.
CHEAP = {"len", "repr", "str", "type", "set", "list", "dict"}


@pytest.mark.parametrize("path", FILES + STUDIES, ids=_name)
def test_no_default_is_computed_before_it_is_needed(path: Path) -> None:
    for call in _calls(path):
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("setdefault", "get", "pop"):
            for default in call.args[1:]:
                called = [ast.unparse(node.func) for node in ast.walk(default) if isinstance(node, ast.Call)]
                assert set(called) <= CHEAP, f"{_where(path, call)}: {ast.unparse(call)}"

"""The documents are true: the tree names every module and no other, links lead somewhere, versions agree."""

import re
import tomllib
from pathlib import Path

from moksori.training.media.base import Medium

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "moksori"
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def the_tree() -> set[str]:
    """Files that the architecture's tree names, as paths below src/moksori."""
    block = re.search(r"```\nsrc/moksori/\n(.*?)```", ARCHITECTURE.read_text(encoding="utf-8"), re.S)
    assert block is not None, "docs/architecture.md has no tree"
    named, folder, parent = set(), "", ""
    for line in block[1].splitlines():
        indent = len(line) - len(line.lstrip())
        words = line.split()
        if indent == 0:
            break  # demo/, tests/, docs/
        if words[0].endswith("/"):
            folder = words[0] if indent == 2 else parent + words[0]
            parent = folder if indent == 2 else parent
        elif indent == 2:
            folder = ""
        elif indent == 4:
            folder = parent
        files = [word.rstrip(",") for word in words if re.fullmatch(r"\w+\.(py|toml),?", word)]
        named |= {folder + file for file in (files if folder in ("recipes/", "cli/") else files[:1])}
    return named


def test_the_clock_is_read_where_the_architecture_says() -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    said = set(re.findall(r"`([a-z_/]+\.py)`", page[page.index("The clock is read in") :]))
    reads = re.compile(r"\btime\.(time|monotonic|perf_counter|process_time|thread_time)\b|\.today\(\)|\.now\(")
    there = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(("cli/", "studio/")) and reads.search(path.read_text(encoding="utf-8")):
            there.add(name)
    assert said == there


def test_the_contract_of_a_medium_names_all_that_is_asked_of_one() -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| medium |")]
    asked = {name for name in vars(Medium) if not name.startswith("_") and callable(getattr(Medium, name))}
    assert set(re.findall(r"`(\w+)`", row)) == asked


def test_the_tree_names_every_module_and_no_other():
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.suffix in (".py", ".toml")}
    assert the_tree() == {name for name in there if not name.endswith("__init__.py")}


def test_local_links_of_the_documents_lead_somewhere():
    folders = (ROOT, ROOT / "docs", ROOT / "docs" / "studies")
    for page in (page for folder in folders for page in folder.glob("*.md")):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


def test_the_tree_names_every_study_and_no_other():
    block = re.search(r"^src/moksori_studies/.*?^(?=\S)", ARCHITECTURE.read_text(encoding="utf-8"), re.S | re.M)
    assert block is not None, "the tree has no studies"
    named = re.findall(r"^  (\w+\.py) ", block[0], re.M)
    there = {path.name for path in (ROOT / "src" / "moksori_studies").glob("*.py")} - {"__init__.py"}
    assert sorted(named) == sorted(there)


def test_citation_and_change_log_know_the_version():
    version = re.search(r'^__version__ = "(.+)"', (PACKAGE / "__init__.py").read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version[1]}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_tree_and_the_floors_have_the_same_rooms():
    block = re.search(r"```\nerrors, (.*?)```", ARCHITECTURE.read_text(encoding="utf-8"), re.S)
    assert block is not None
    rooms = set(re.findall(r"\w+", block[0])) - {"n"}
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms == there - {"__init__", "__main__"}


def test_guards_of_the_table_of_trust_stand_in_the_source_and_their_tests_exist() -> None:
    # A guard that was written anew would leave the table with a promise that nobody can try.
    threats = tomllib.loads((ROOT / "docs" / "trust.toml").read_text(encoding="utf-8"))["threat"]
    guards = [guard for threat in threats for guard in threat.get("guards", ())]
    assert len(guards) > 30
    for guard in guards:
        assert (ROOT / guard["file"]).read_text(encoding="utf-8").count(guard["old"]) == 1, guard
        assert guard["new"] != guard["old"]
    for test in [guard["test"] for guard in guards] + [test for threat in threats for test in threat["tests"]]:
        file, *names = test.partition("[")[0].split("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert all(re.search(rf"(def|class) {name}\b", text) for name in names), test

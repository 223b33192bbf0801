"""The README is true: its tree names every module, and names none that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "moksori"


def tree_of_readme() -> set[str]:
    """Files that the README's tree names, as paths below src/moksori."""
    block = re.search(r"```\nsrc/moksori/\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert block is not None, "the README has no tree"
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


def test_the_tree_names_every_module_and_no_other():
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.suffix in (".py", ".toml")}
    assert tree_of_readme() == {name for name in there if not name.endswith("__init__.py")}


def test_local_links_of_the_documents_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "studies").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


def test_the_tree_names_every_study_and_no_other():
    block = re.search(r"^src/moksori_studies/.*?^(?=\S)", (ROOT / "README.md").read_text(encoding="utf-8"), re.S | re.M)
    assert block is not None, "the README's tree has no studies"
    named = re.findall(r"^  (\w+\.py) ", block[0], re.M)
    there = {path.name for path in (ROOT / "src" / "moksori_studies").glob("*.py")} - {"__init__.py"}
    assert sorted(named) == sorted(there)

"""clang-format agrees with every file."""
import concurrent.futures
import shutil
import subprocess

from .tree import File, Problem, Tree

TOOL = "clang-format-14"


def check(tree: Tree) -> list[Problem]:
    if shutil.which(TOOL) is None:
        print(f"tidy: {TOOL} is not installed; formatting is not looked at")
        return []
    style = tree.by_path.get(".clang-format")
    with concurrent.futures.ThreadPoolExecutor(tree.jobs) as pool:
        found = pool.map(lambda file: check_file(tree, file, style), tree.code)
        return [problem for problems in found for problem in problems]


def check_file(tree: Tree, file: File, style: File | None) -> list[Problem]:
    note = tree.seen_good("format", style.text if style else "", file.text)
    if note and note.exists():
        return []
    formatted = subprocess.run([TOOL, f"--assume-filename={tree.root / file.path}"],
                               input=file.text, capture_output=True, text=True, check=False).stdout
    if formatted == file.text:
        if note:
            note.touch()
        return []
    lines = zip(file.lines, formatted.split("\n"))
    line = next((number for number, (a, b) in enumerate(lines, 1) if a != b), 1)
    return [Problem(file.path, line, "format", f"run {TOOL} -i {file.path}")]

"""Every header compiles by itself.

A header with a .cc of the same name is proved by it, which must include it first. The others are
compiled here, and a good result is remembered by content.
"""
import concurrent.futures
import subprocess

from .tree import File, Problem, Tree

FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-pragma-once-outside-header",
         "-DBOOST_ASIO_NO_DEPRECATED", "-DBOOST_ASIO_DISABLE_BOOST_COROUTINE"]


def check(tree: Tree) -> list[Problem]:
    problems = []
    alone = []
    for header in tree.code:
        if not header.is_header:
            continue
        twin = tree.by_path.get(header.path[:-2] + ".cc")
        if twin is None:
            alone.append(header)
            continue
        first = twin.includes[0][1] if twin.includes else ""
        if first != header.path and not twin.excused(twin.includes[0][0], "own-header"):
            problems.append(Problem(twin.path, 1, "own-header",
                                    f'include "{header.path}" first: that proves it is complete'))
    if tree.build:
        with concurrent.futures.ThreadPoolExecutor(tree.jobs) as pool:
            for found in pool.map(lambda header: compile_alone(tree, header), alone):
                problems += found
    return problems


def closure(tree: Tree, file: File) -> list[str]:
    """Paths of the project's headers that a file sees, itself first."""
    seen = [file.path]
    for path in seen:
        for _, name, quoted in tree.by_path[path].includes:
            if quoted and name in tree.by_path and name not in seen:
                seen.append(name)
    return seen


def compile_alone(tree: Tree, header: File) -> list[Problem]:
    contents = [tree.by_path[path].text for path in sorted(closure(tree, header))]
    note = tree.seen_good("header", *FLAGS, *contents)
    if note and note.exists():
        return []
    command = ["g++", *FLAGS, "-I", str(tree.root)]
    for folder in tree.includes:
        command += ["-isystem", str(folder)]
    command += ["-x", "c++", str(tree.root / header.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        if note:
            note.touch()
        return []
    reason = next((line for line in result.stderr.splitlines() if "error:" in line),
                  result.stderr.strip().split("\n")[0])
    return [Problem(header.path, 1, "header-alone", f"does not compile by itself: {reason}")]

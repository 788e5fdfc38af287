"""What the documents promise exists: commands, files, links."""
import os
import re

from .tree import File, Problem, Tree

OURS = r"(?:deploy|tests|\.ci|proto|base|raft|server|agent|proxy|app)"
COMMAND = re.compile(r"(?<![\w/.-])((?:deploy|tests|\.ci)/[\w./-]*\w)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def check(tree: Tree) -> list[Problem]:
    problems = []
    for file in tree.files:
        if file.path.endswith(".md"):
            problems += check_document(tree, file)
    return problems


def check_document(tree: Tree, file: File) -> list[Problem]:
    problems = []

    def report(offset: int, message: str) -> None:
        problems.append(Problem(file.path, file.line_of(offset), "documents", message))

    for block in CODE.finditer(file.text):
        for match in COMMAND.finditer(block[0]):
            path = tree.root / match[1]
            offset = block.start() + match.start()
            before = block[0][:match.start()].rstrip(" ")
            is_command = not before or before[-1] in "`\n|;&"
            if not path.exists():
                report(offset, f"{match[1]} does not exist")
            elif is_command and path.is_file() and path.suffix == "" and \
                    not os.access(path, os.X_OK):
                report(offset, f"{match[1]} cannot be executed: chmod +x")
    folder = tree.root / file.folder
    for match in LINK.finditer(file.text):
        if not (folder / match[1]).exists():
            report(match.start(), f"the link to {match[1]} leads nowhere")
    return problems

"""co_await stands alone in its statement: GCC 12 destroys some temporaries twice otherwise.

Good are `co_await f(names);`, `auto x = co_await f(names);`, `co_return co_await f(names);`.
"""
import re

from .tree import File, Problem, Tree

ALONE = re.compile(
    r"^(co_return\s+|(const\s+)?[\w:<>,*&\s]+?\s[&*]*\w+\s*=\s*|[\w.>-]+\s*=\s*)?co_await\s+[^\[\]{}]*$")
CONDITION = re.compile(r"\b(if|while|switch|for)\s*\([^{};]*\bco_await\b")


def check(tree: Tree) -> list[Problem]:
    problems = []
    for file in tree.code:
        if "co_await" in file.code:
            problems += check_file(file)
    return problems


def check_file(file: File) -> list[Problem]:
    problems = []
    for match in re.finditer(r"\bco_await\b", file.code):
        line = file.line_of(match.start())
        if file.excused(line, "co_await"):
            continue
        begin = max(file.code.rfind(c, 0, match.start()) for c in ";{}") + 1
        end = file.code.find(";", match.start())
        statement = " ".join(file.code[begin:end].split())
        if CONDITION.search(statement) or not ALONE.match(statement) or \
                statement.count("co_await") > 1:
            problems.append(Problem(
                file.path, line, "co_await",
                "must stand alone: name the arguments first, then `auto x = co_await f(names);`"))
    return problems

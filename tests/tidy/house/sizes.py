"""Files under 800 lines, functions under 60."""
import re

from .tree import File, Problem, Tree

MAX_FILE = 800
MAX_FUNCTION = 60
SOURCES = (".cc", ".h", ".py", ".cpp", ".proto", ".txt", ".cmake", ".sh")


def check(tree: Tree) -> list[Problem]:
    problems = []
    for file in tree.files:
        if not file.path.endswith(SOURCES):
            continue
        count = len(file.lines) - 1
        if count > MAX_FILE and not any(file.excused(line, "file-size")
                                        for line in range(1, min(20, count))):
            problems.append(Problem(file.path, 1, "file-size",
                                    f"{count} lines (at most {MAX_FILE}): split it by what it knows"))
        if file.is_code:
            problems += check_functions(file)
    return problems


def check_functions(file: File) -> list[Problem]:
    problems = []
    for name, first, last in functions(file):
        length = last - first + 1
        if length > MAX_FUNCTION and not file.excused(first, "function-size"):
            problems.append(Problem(
                file.path, first, "function-size",
                f"{name}: {length} lines (at most {MAX_FUNCTION}): keep the branching, move the "
                "leaves out"))
    return problems


def functions(file: File) -> list[tuple[str, int, int]]:
    """(name, first line, last line) of each function with a body, lambdas counted in theirs."""
    code = re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]),
                  file.code)
    found = []
    stack: list[tuple[str, int, str]] = []  # kind, offset of the head, name
    head = 0          # where the text before the next brace begins
    resumed = None    # a constructor whose member initialisers hold braces
    for match in re.finditer(r"[{};]", code):
        at, brace = match.start(), match[0]
        inside = any(kind == "function" for kind, _, _ in stack)
        if brace == ";":
            if not inside and (not stack or stack[-1][0] == "scope"):
                head = at + 1
                resumed = None
        elif brace == "{":
            text = code[head:at]
            begin = head + len(text) - len(text.lstrip())
            if inside:
                stack.append(("block", begin, ""))
            elif resumed is not None:
                stack.append(("function", *resumed))
            else:
                kind, name = classify(text)
                stack.append((kind, begin, name))
            head = at + 1
            resumed = None
        elif stack:
            kind, begin, name = stack.pop()
            following = code[at + 1:].lstrip()[:1]
            if kind == "function":
                if following in (",", "{"):
                    resumed = (begin, name)
                else:
                    found.append((name, file.line_of(begin), file.line_of(at)))
            head = at + 1
    return found


def classify(text: str) -> tuple[str, str]:
    """What a brace opens outside functions: a scope, a function or data."""
    text = re.sub(r"\[\[.*?\]\]", " ", text.strip())
    text = re.sub(r"^(public|private|protected)\s*:\s*", "", text)
    if re.search(r"\b(namespace|class|struct|union|enum|extern)\b(?![^(]*\))", text) and not \
            re.search(r"\)\s*(const|noexcept|override|final|->.*)*\s*$", text):
        return "scope", ""
    call = re.search(r"([\w:~]+|operator\s*\S+?)\s*\(", text)
    if call and not re.search(r"(?<![=!<>])=\s*$|=\s*\[", text):
        return "function", call[1]
    return "data", ""

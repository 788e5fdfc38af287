"""The files of the project as every rule sees them."""
import dataclasses
import functools
import hashlib
import pathlib
import re
import subprocess

# Kept as they came: recorded data, licence text, samples for the fuzzers.
FOREIGN = ("tests/conformance/kit/", "tests/fuzz/corpus/", "LICENSE")
CODE = (".cc", ".h")


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


@dataclasses.dataclass
class File:
    path: str  # from the root, with slashes
    text: str

    @property
    def is_code(self) -> bool:
        return self.path.endswith(CODE)

    @property
    def is_header(self) -> bool:
        return self.path.endswith(".h")

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @functools.cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @functools.cached_property
    def code(self) -> str:
        """The text with comments and the inside of literals blanked, same length."""
        return blank_out(self.text)

    @functools.cached_property
    def includes(self) -> list[tuple[int, str, bool]]:
        """(line, name, in quotes) of each #include."""
        found = []
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if match:
                found.append((number, match[2], match[1] == '"'))
        return found

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def excused(self, line: int, rule: str) -> bool:
        """Whether the line, or the comment above it, gives a reason for breaking the rule."""
        marker = re.compile(r"(?://|#)\s*tidy:\s*" + re.escape(rule) + r":\s*\S.{9,}")
        if marker.search(self.lines[line - 1]):
            return True
        above = line - 2
        while above >= 0 and re.match(r"\s*(//|#\s)", self.lines[above]):
            if marker.search(self.lines[above]):
                return True
            above -= 1
        return False


def blank_out(text: str) -> str:
    """Replaces comments and literal contents by blanks; line ends stay where they are."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"([^(\s"\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.DOTALL)

    def blank(match: re.Match) -> str:
        found = match[0]
        keep = found[0] if found[0] in "\"'" else ""
        inner = re.sub(r"[^\n]", " ", found[len(keep):len(found) - len(keep)])
        return keep + inner + keep

    return pattern.sub(blank, text)


class Tree:
    def __init__(self, root: pathlib.Path, build: pathlib.Path | None = None,
                 includes: list[pathlib.Path] | None = None, jobs: int = 2):
        self.root = root
        self.includes = includes or []
        self.jobs = jobs
        self.build = build
        self.cache = build / "tidy-cache" if build else None
        if self.cache:
            self.cache.mkdir(parents=True, exist_ok=True)
        self.files = [File(path, text) for path in self._paths()
                      if (text := self._read(path)) is not None]
        self.by_path = {file.path: file for file in self.files}

    def _paths(self) -> list[str]:
        listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "-z"],
                                capture_output=True, text=True, check=False)
        if listed.returncode == 0 and listed.stdout:
            paths = listed.stdout.strip("\0").split("\0")
        else:
            paths = [str(path.relative_to(self.root)) for path in self.root.rglob("*")
                     if path.is_file() and not path.is_relative_to(self.root / "build")]
        return sorted(path for path in paths if not path.startswith(FOREIGN))

    def _read(self, path: str) -> str | None:
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            return None  # not text, or removed and not committed yet

    @property
    def code(self) -> list[File]:
        return [file for file in self.files if file.is_code]

    def seen_good(self, *parts: str) -> pathlib.Path | None:
        """Where it is noted that these contents passed an expensive rule."""
        if not self.cache:
            return None
        return self.cache / hashlib.sha256("\0".join(parts).encode()).hexdigest()

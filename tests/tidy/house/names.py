"""Names that are not used here, each with what takes its place."""
import re

from .tree import File, Problem, Tree

CLOCKS = ("base/time.", "base/io/", "proxy/event_loop.cc", "tests/")  # Asio has timers of its own
THREADS = ("base/io/runtime.cc", "raft/", "server/leader/duties.cc", "proxy/log_writer.", "tests/",
           "app/")
PRINTS = ("app/", "tests/", "base/check.cc")

# (rule in messages and markers, pattern, what to do instead, path prefixes where it is fine)
BANNED = [
    ("random", r"\bstd::(random_device|default_random_engine)\b|(?<![\w.>])(s?rand|drand48)\(",
     "take a Random& (base/random.h)", ()),
    ("random", r"\bstd::mt19937(_64)?\b", "take a Random& (base/random.h)", ("tests/",)),
    ("sleep", r"\b(sleep_for|sleep_until)\b|(?<![\w.>])(::)?(usleep|nanosleep|sleep)\(",
     "await the event, or schedule a Timer", ()),
    # gRPC's deadlines are times of day.
    ("clock", r"(?<!set_deadline\()(?<!Shutdown\()"
              r"\bstd::chrono::(steady|system|high_resolution)_clock\b"
              r"|\b(clock_gettime|gettimeofday)\(|\b(std::)?time\((nullptr|0|NULL)\)",
     "take an Instant; drivers call now() or wall_now() (base/time.h)", CLOCKS),
    ("thread", r"\bstd::(thread(?!::)|jthread|async)\b|\bpthread_create\(",
     "use the io threads (base/io/runtime.h)", THREADS),
    ("assert", r"(?<![\w_])assert\(|<cassert>|<assert\.h>", "use CHECK (base/check.h)", ()),
    ("namespace", r"\busing namespace std;", "name what you use", ()),
    ("print", r"\bstd::(cout|cerr|clog)\b|(?<![\w:])(std::|::)?(printf|fprintf|puts|fputs|putchar)\(",
     "log through base/log.h, or return the text", PRINTS),
    ("endl", r"\bstd::endl\b", "write '\\n'; flush when it matters", ()),
    ("c-string", r"(?<![\w.>])(std::|::)?(strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca)\(",
     "use std::string and std::string_view", ()),
    ("number", r"(?<![\w.>])(std::|::)?(atoi|atol|atof|stoi|stol|stoul|stoull|stod|strtol|strtoul)\(",
     "use std::from_chars: it neither throws nor guesses", ("tests/",)),
    ("delete", r"(?<!= )\bdelete\b(?! this;)", "let a unique_ptr own it", ()),
    ("null", r"\bNULL\b", "write nullptr", ()),
    ("terminate", r"(\bstd::|(?<![\w:])::)(abort|terminate|exit|_exit|quick_exit)\(",
     "use CHECK, or return an Error", ("base/check.cc", "app/", "tests/")),
    ("spdlog", r"\b(spdlog|fmt)::", "log through base/log.h", ("base/log.cc",)),
    ("setlocale", r"\bsetlocale\(|\bstd::locale::global\b", "formats do not follow the locale", ()),
    ("expected", r"\bstd::(expected|format)\b", "GCC 12 has neither: Result<T> and log's {}", ()),
]
COMPILED = [(rule, re.compile(pattern), advice, fine) for rule, pattern, advice, fine in BANNED]

# In any text file of ours.
MACHINE = re.compile(r"(?<![\w.])/(?:work|home/\w+|root|tmp/bash_jobs)(?:/|\b)")
LEFTOVER = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b|#\s*T[E]MP\b")

# Where the order of a hash map would reach the outside: replicas, logs, seeds.
ORDERED = ("raft/", "server/state/", "server/watch/", "agent/swim/", "agent/checks/", "proto/")
UNORDERED = re.compile(r"\bunordered_\w+<.*>\s+(\w+)\s*(?:;|=|\{|\()")


def check(tree: Tree) -> list[Problem]:
    problems = []
    for file in tree.files:
        problems += check_text(file)
        if file.is_code:
            problems += check_code(file)
    return problems + check_iteration(tree)


def check_text(file: File) -> list[Problem]:
    problems = []
    for number, line in enumerate(file.lines, 1):
        if MACHINE.search(line) and not file.excused(number, "machine-path"):
            problems.append(Problem(file.path, number, "machine-path",
                                    "a path of one machine: use a relative or temporary one"))
        if LEFTOVER.search(line) and not file.excused(number, "leftover"):
            problems.append(Problem(file.path, number, "leftover",
                                    "finish it, or write an issue and remove the note"))
    return problems


def check_code(file: File) -> list[Problem]:
    problems = []
    for number, line in enumerate(file.code.split("\n"), 1):
        for rule, pattern, advice, fine in COMPILED:
            if file.path.startswith(fine) if fine else False:
                continue
            found = pattern.search(line)
            if found and not file.excused(number, rule):
                problems.append(Problem(file.path, number, rule, f"`{found[0].strip()}`: {advice}"))
    if file.is_header:
        if "#pragma once" not in file.text:
            problems.append(Problem(file.path, 1, "pragma", "add `#pragma once`"))
        if not file.text.startswith(("//", "/*")):
            problems.append(Problem(file.path, 1, "purpose",
                                    "begin with a comment: purpose, units, errors, threading"))
    if file.path.startswith("tests/unit/") and file.path.endswith(".cc"):
        if not file.path.endswith(("_test.cc", "_main.cc")) and re.search(r"\bTEST(_F|_P)?\(", file.code):
            problems.append(Problem(file.path, 1, "test-name", "tests live in name_test.cc"))
    return problems


def check_iteration(tree: Tree) -> list[Problem]:
    problems = []
    files = [file for file in tree.code if file.path.startswith(ORDERED)]
    containers: dict[str, set[str]] = {}
    for file in files:
        names = containers.setdefault(file.folder, set())
        names.update(match[1] for match in UNORDERED.finditer(file.code))
    for file in files:
        for match in re.finditer(r"\bfor\s*\([^;()]*:\s*\*?(?:\w+(?:\.|->))*(\w+)\)", file.code):
            line = file.line_of(match.start())
            if match[1] in containers[file.folder] and not file.excused(line, "hash-order"):
                problems.append(Problem(
                    file.path, line, "hash-order",
                    f"`{match[1]}` is unordered: its order differs between machines; use std::map "
                    "or sort"))
    return problems

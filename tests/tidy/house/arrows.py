"""Arrows between the parts, by #include and by what each target links (ARCHITECTURE.md).

A file belongs to the target that compiles it; a header to the target of its .cc, else to the pure
target of its folder if that reaches it, else to the other one.
"""
import posixpath
import re

from .tree import File, Problem, Tree

# Each target and the targets it may know, themselves and what those may know included. An arrow
# that is not here does not exist: think before adding one.
ARROWS = {
    "fyr_base": [],
    "fyr_filter": ["fyr_base"],
    "fyr_proto": [],
    "fyr_proto_grpc": ["fyr_proto"],
    "fyr_io": ["fyr_base"],
    "fyr_registry_json": ["fyr_filter", "fyr_proto"],
    "fyr_node_digest": ["fyr_base", "fyr_proto"],
    "fyr_raft_core": ["fyr_base"],
    "fyr_raft_wire": ["fyr_raft_core", "fyr_proto"],
    "fyr_raft_transport": ["fyr_raft", "fyr_raft_wire", "fyr_proto_grpc"],
    "fyr_raft": ["fyr_raft_core", "fyr_io", "fyr_proto"],
    "fyr_state": ["fyr_base", "fyr_proto"],
    "fyr_query": ["fyr_state"],
    "fyr_watch": ["fyr_state"],
    "fyr_fsm": ["fyr_state", "fyr_watch", "fyr_raft", "fyr_io"],
    "fyr_leader": ["fyr_state", "fyr_raft_core", "fyr_io"],
    "fyr_server": ["fyr_fsm", "fyr_leader", "fyr_raft", "fyr_io"],
    "fyr_api": ["fyr_server", "fyr_query", "fyr_registry_json"],
    "fyr_rpc": ["fyr_server", "fyr_node_digest", "fyr_proto_grpc"],
    "fyr_dns": ["fyr_base"],
    "fyr_dns_server": ["fyr_dns", "fyr_io"],
    "fyr_swim": ["fyr_base"],
    "fyr_membership": ["fyr_swim", "fyr_io"],
    "fyr_checks": ["fyr_base", "fyr_proto"],
    "fyr_local": ["fyr_base", "fyr_proto", "fyr_node_digest", "fyr_checks"],
    "fyr_agent": ["fyr_local", "fyr_checks", "fyr_membership", "fyr_registry_json",
                  "fyr_proto_grpc", "fyr_io"],
    "fyr_proxy_core": ["fyr_filter"],
    "fyr_proxy": ["fyr_proxy_core", "fyr_io"],
}
# Folders that may know everything.
TOP = ("app", "tests")

# These decide and do nothing else: no sockets, clocks, threads, files or log lines.
PURE = {"fyr_raft_core", "fyr_raft_wire", "fyr_state", "fyr_query", "fyr_watch", "fyr_dns", "fyr_swim", "fyr_checks",
        "fyr_proxy_core", "fyr_node_digest", "fyr_registry_json", "fyr_filter"}

HEAVY = re.compile(r"(boost/(asio|beast)|grpcpp|grpc|rocksdb)/|.*\.grpc\.pb\.h$")
IMPURE = re.compile(
    r"(boost/(asio|beast)|grpcpp|grpc|rocksdb|spdlog|sys|netinet|openssl)/|.*\.grpc\.pb\.h$"
    r"|(thread|mutex|shared_mutex|condition_variable|future|atomic|random|iostream|fstream"
    r"|filesystem|unistd\.h|fcntl\.h|signal\.h|poll\.h)$")
IMPURE_OF_US = re.compile(r"base/(log|metrics)\.h$|base/io/")
# Third-party code and the targets that may include it.
FENCED = [
    (re.compile(r"spdlog/|fmt/"), {"fyr_base"}, "log through base/log.h"),
    (re.compile(r"rocksdb/"), {"fyr_raft", "fyr_fsm"}, "keep RocksDB behind raft and server/fsm"),
    (re.compile(r"boost/beast/"), set(), "use base/io/http_codec.h"),
    (re.compile(r"(grpcpp|grpc)/|.*\.grpc\.pb\.h$"),
     {"fyr_rpc", "fyr_agent", "fyr_raft_transport", "fyr_proto_grpc"},
     "gRPC stays in server/rpc, agent and raft's transport"),
    (re.compile(r"boost/asio"), {"fyr_io", "fyr_membership", "fyr_proxy", "fyr_dns_server"},
     "use base/io"),
]
GENERATED = re.compile(r"^(\w+)(\.grpc)?\.pb\.h$")
PRIVATE = re.compile(r"[Oo]nly[\s/]+for[\s/]+the[\s/]+files[\s/]+of[\s/]+this[\s/]+folder")


def read_targets(tree: Tree) -> dict[str, tuple[str, list[str], list[str]]]:
    """name -> (CMake file, sources, dependencies) of every fyr_library."""
    targets = {}
    for file in tree.files:
        if not file.path.endswith(("CMakeLists.txt", ".cmake")):
            continue
        text = re.sub(r"#[^\n]*", "", file.text)
        for name, arguments in re.findall(r"\bfyr_library\(\s*(fyr_\w+)([^)]*)\)", text):
            sources, _, dependencies = arguments.partition("DEPS")
            folder = file.folder + "/" if file.folder else ""
            targets[name] = (file.path,
                             [posixpath.normpath(folder + word)
                              for word in sources.split() if word != "SOURCES"],
                             dependencies.split())
    return targets


def reach(target: str) -> set[str]:
    known = {target}
    for other in ARROWS.get(target, []):
        known |= reach(other)
    return known


def owners(tree: Tree, targets) -> dict[str, str]:
    """path -> target, for every file that is not in a folder at the top."""
    owner = {source: name for name, (_, sources, _) in targets.items() for source in sources}
    headers = [file for file in tree.code if file.is_header and not file.path.startswith(TOP)]
    for header in headers:
        twin = header.path[:-2] + ".cc"
        if twin in owner:
            owner[header.path] = owner[twin]
    in_folder: dict[str, list[str]] = {}
    for path, name in sorted(owner.items()):
        names = in_folder.setdefault(path.rpartition("/")[0], [])
        if name not in names:
            names.append(name)
    changed = True
    while changed:
        changed = False
        for header in headers:
            if header.path in owner:
                continue
            for path, name in list(owner.items()):
                file = tree.by_path.get(path)
                if file and name in PURE and file.folder == header.folder and any(
                        quoted and include == header.path for _, include, quoted in file.includes):
                    owner[header.path] = name
                    changed = True
                    break
    for header in headers:
        if header.path not in owner:
            names = in_folder.get(header.folder, [])
            impure = [name for name in names if name not in PURE]
            if names:
                owner[header.path] = (impure or names)[0]
    return owner


def check(tree: Tree) -> list[Problem]:
    targets = read_targets(tree)
    owner = owners(tree, targets)
    problems = check_targets(targets)
    for file in tree.code:
        target = owner.get(file.path)
        if file.path.startswith(TOP):
            target = None
        elif target is None:
            what = "is in no folder of a target" if file.is_header else "is compiled by no target"
            problems.append(Problem(file.path, 1, "arrows", f"{what}: name it in CMakeLists.txt"))
            continue
        problems += check_file(tree, file, target, owner)
    return problems


def check_targets(targets) -> list[Problem]:
    problems = []
    for name, (path, _, dependencies) in targets.items():
        if path.startswith(TOP):
            continue
        if name not in ARROWS:
            problems.append(Problem(path, 1, "arrows",
                                    f"{name} is new: add it to tests/tidy/house/arrows.py"))
            continue
        allowed = reach(name)
        for dependency in dependencies:
            if dependency in ARROWS and dependency not in allowed:
                problems.append(Problem(path, 1, "arrows", f"{name} must not link {dependency}"))
            if name in PURE and dependency in ("fyr_io", "fyr_grpc", "fyr_rocksdb"):
                problems.append(Problem(path, 1, "arrows",
                                        f"{name} is pure: it must not link {dependency}"))
    return problems


def check_file(tree: Tree, file: File, target: str | None, owner: dict[str, str]):
    problems = []

    def report(line: int, message: str) -> None:
        if not file.excused(line, "arrows"):
            problems.append(Problem(file.path, line, "arrows", message))

    allowed = reach(target) if target else None
    private = PRIVATE.search(file.text[:2000]) if file.is_header else None
    for line, name, quoted in file.includes:
        if target and not (file.path == "base/log.cc" and "spdlog" in name):
            for pattern, users, advice in FENCED:
                if pattern.match(name) and (target not in users or "spdlog" in name):
                    report(line, f"<{name}> is not for {target}: {advice}")
        if target in PURE and (IMPURE.match(name) or (quoted and IMPURE_OF_US.match(name))):
            advice = "use base/guarded.h" if "mutex" in name else "belongs in a driver"
            report(line, f"{target} is pure: {name}: {advice}")
        if file.is_header and HEAVY.match(name) and not private and not file.path.startswith(TOP):
            report(line, f"<{name}> in a header: hide it behind an interface, or say in the "
                         "header's comment: Only for the files of this folder.")
        if not quoted:
            continue
        problems += check_project_include(tree, file, line, name, allowed, target, owner)
    return problems


def check_project_include(tree, file, line, name, allowed, target, owner):
    if file.excused(line, "arrows"):
        return []
    generated = GENERATED.match(name)
    if generated:
        needed = "fyr_proto_grpc" if generated[2] else "fyr_proto"
        # Messages of the gRPC files travel with their services.
        if allowed is not None and needed not in allowed:
            return [Problem(file.path, line, "arrows", f"{target} must not know {name}")]
        return []
    if name.startswith("."):
        return [Problem(file.path, line, "arrows", f"write {name} as a path from the root")]
    included = tree.by_path.get(name)
    if included is None:
        return [Problem(file.path, line, "arrows", f"{name} is not in the tree (paths start at "
                                                   "the root)")]
    problems = []
    private = PRIVATE.search(included.text[:2000])
    if private and file.folder != included.folder and not file.path.startswith("tests/"):
        problems.append(Problem(file.path, line, "arrows", f"{name} is private to its folder"))
    if target is None:
        if name.startswith("tests/") and not file.path.startswith("tests/"):
            problems.append(Problem(file.path, line, "arrows", "the product must not know tests"))
        return problems
    other = owner.get(name)
    if name.startswith(TOP) or (other and other not in allowed):
        problems.append(Problem(file.path, line, "arrows",
                                f"{target} must not know {name} ({other or name.split('/')[0]}): "
                                "let the needing side declare an interface, app plugs it in"))
    return problems

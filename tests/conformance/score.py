"""Runs the kit area by area and compares its failures with the list in differences.md.

A case may fail only if differences.md names it as `area/case` in a heading or list item; a listed
case that passes is reported too, so that the list cannot outlive its reason.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
KIT = os.path.join(HERE, "kit", "conformance")
# All that are complete; the others belong to later parts.
DEMANDED = ["catalog", "health", "kv", "agent", "blocking", "dns", "http", "badinput", "txn",
            "event", "query", "ui", "config", "coordinate",
            "operator", "session", "status", "snapshot", "acl-off"]


def listed_differences():
    with open(os.path.join(HERE, "differences.md"), encoding="utf-8") as file:
        return set(re.findall(r"^[#*-]+ +`([a-z-]+/[a-z0-9_]+)`", file.read(), re.M))


def replay(binary, area):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        run = subprocess.run(
            [sys.executable, KIT, "replay", "--start", binary + " agent -config-file {config}",
             "--area", area, "--json", out.name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
        return run.stdout, read_failures(out.name, run.stdout)


def read_failures(path, text):
    """Cases the kit calls failed, as {area/case}, and the number that passed."""
    failures = set(re.findall(r"^ *FAIL ([a-z-]+/[a-z0-9_]+)", text, re.M))
    totals = re.search(r"^(\d+) passed, (\d+) failed", text, re.M)
    if totals is None:
        return None, 0, 0
    return failures, int(totals.group(1)), int(totals.group(2))


def main():
    binary, areas = sys.argv[1], sys.argv[2:] or DEMANDED
    allowed = listed_differences()
    passed = failed = 0
    wrong = False
    for area in areas:
        text, (failures, area_passed, area_failed) = replay(binary, area)
        if failures is None:
            print(text)
            print("area %s: the kit did not finish" % area)
            wrong = True
            continue
        passed += area_passed
        failed += area_failed
        unexpected = failures - allowed
        stale = {case for case in allowed if case.startswith(area + "/")} - failures
        print("%-10s %3d passed, %d failed (%d listed in differences.md)"
              % (area, area_passed, area_failed, area_failed - len(unexpected)))
        if unexpected or (area_failed and not failures):
            wrong = True
            print(text)
        for case in sorted(stale):
            wrong = True
            print("differences.md lists %s, but it passes: remove the entry" % case)
    print("conformance: %d passed, %d failed, of which %s"
          % (passed, failed, "some are not in differences.md" if wrong else "all are in differences.md"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

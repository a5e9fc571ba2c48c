"""Asks the advisory service about the installed packages; fails on findings, never for want of a network."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "MaxRetryError", "NameResolutionError")
TIMEOUT_S = 300


def main() -> int:
    """Print one line on the outcome, and the findings; 1 on findings or when the audit itself is broken."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "audit.json"
        command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner=off"]
        command += ["--format=json", f"--output={report}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"audit: not done, the advisory service gave no answer in {TIMEOUT_S} s")
            return 0
        if report.exists():
            return judge(json.loads(report.read_text())["dependencies"])
    if any(name in done.stderr for name in UNREACHABLE):
        print("audit: not done, the advisory service cannot be reached")
        return 0
    print(f"audit: pip-audit failed with status {done.returncode}\n{done.stderr}", file=sys.stderr)
    return 1


def judge(dependencies: list[dict]) -> int:
    """Print what a report of pip-audit says; 1 if it names a vulnerability."""
    known = [dependency for dependency in dependencies if "vulns" in dependency]
    if not known:
        print(f"audit: not done, the advisory service knows none of the {len(dependencies)} packages")
        return 0
    findings = [(package, advisory) for package in known for advisory in package["vulns"]]
    for package, advisory in findings:
        mended = ", ".join(advisory["fix_versions"]) or "no version yet"
        print(f"audit: {package['name']} {package['version']}: {advisory['id']}, mended in {mended}")
    unknown = len(dependencies) - len(known)
    print(f"audit: {len(findings)} known vulnerabilities in {len(known)} packages; {unknown} unknown to it")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

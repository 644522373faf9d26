"""What holds a run in place: its manifest, its audit hash, its signature."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interplay as ip
from interplay.cli.manifest import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    check_files,
    read_manifest,
    write_manifest,
)
from tests.cli.test_hostile_recipes import call
from tests.text.servers import Reply, serving, truthful

pytestmark = pytest.mark.slow

ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of an honest run with a confirmation, and what the command printed."""
    folder = tmp_path_factory.mktemp("anchor")
    (folder / "text.txt").write_text("One is here. Two is there. Three is gone. Four is new.")
    with serving(lambda body, _: Reply(truthful(body))) as server:
        code, said = call("text", "--model", "m", "--file", folder / "text.txt", "--question",
                          "It is", "--response", " good", "--base-url", server.url,
                          "--confirm", 2, "--out", folder / "run")  # fmt: skip
    assert code == 0, said
    return folder / "run", said


@pytest.fixture
def copied(run: tuple[Path, str], tmp_path: Path) -> Path:
    shutil.copytree(run[0], tmp_path / "run")
    return tmp_path / "run"


def audited(folder: Path, *arguments: object) -> tuple[int, str]:
    return call("verify", folder, "--sample", 0, *arguments)


def test_a_run_prints_its_audit_hash(run: tuple[Path, str]) -> None:
    folder, said = run
    content = (folder / MANIFEST).read_bytes()
    audit_hash = hashlib.sha256(content).hexdigest()
    assert f"audit hash: {audit_hash}" in said
    listed = {line.split("  ", 1)[1] for line in content.decode().splitlines()}
    assert listed == {
        *("explanation.interplay", "explanation.html", "recipe.json", "inputs/file-text.txt")
    }
    code, said = audited(folder, "--expect", audit_hash.upper())
    assert code == 0
    assert "audit hash: match (1 of 1)" in said
    assert "files: match (4 of 4)" in said
    assert "page: match (1 of 1)" in said
    assert "MATCH as far as was asked for (" in said
    assert f"audit hash: {audit_hash}" in said


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_manifest_is_checked_without_interplay(copied: Path) -> None:
    (copied / "inputs" / "a\\b\n.txt").write_text("an odd name")
    write_manifest(copied)

    def status() -> int:
        done = subprocess.run(["sha256sum", "--strict", "-c", MANIFEST], cwd=copied,
                              capture_output=True, check=False)  # fmt: skip
        return done.returncode

    assert status() == 0
    manifest = read_manifest(copied)
    assert manifest is not None
    assert "inputs/a\\b\n.txt" in manifest.hashes
    (copied / "explanation.html").write_text("another page")
    assert status() == 1


def faked_page(folder: Path) -> None:
    page = folder / "explanation.html"
    page.write_text(page.read_text().replace("</body>", "<p>Approved.</p></body>"))


def reported(folder: Path) -> None:
    (folder / "report.md").write_text("R2 = 1.000")


@pytest.mark.parametrize(
    ("edit", "status", "message"),
    [
        (faked_page, 1, "page: mismatch"),
        (lambda folder: (folder / "explanation.html").unlink(), 1, "files: mismatch (3 of 4)"),
        (lambda folder: (folder / MANIFEST).unlink(), 3, "files: not checked: there is no"),
        (reported, 3, "does not cover 'report.md'"),
        (lambda folder: (folder / "link.html").symlink_to("/etc/hostname"), 3, "'link.html'"),
        (lambda folder: os.mkfifo(folder / "pipe"), 3, "does not cover 'pipe'"),
        (lambda folder: (folder / "ablations.db").unlink(), 3, "there is no store"),
        (
            lambda folder: (folder / "inputs" / "file-text.txt").write_text("Another text."),
            1,
            "mismatch: inputs/file-text.txt",
        ),
        (
            lambda folder: (folder / "recipe.json").write_text(
                (folder / "recipe.json").read_text() + "\n"
            ),
            1,
            "mismatch: recipe.json",
        ),
    ],
)
def test_a_changed_folder(copied: Path, edit: Edit, status: int, message: str) -> None:
    edit(copied)
    code, said = audited(copied)
    assert code == status, said
    assert message in said


def test_a_faked_page_with_a_new_manifest(copied: Path) -> None:
    """The page is made again from the explanation, so that the manifest need not be trusted."""
    before = read_manifest(copied)
    assert before is not None
    faked_page(copied)
    write_manifest(copied)
    code, said = audited(copied)
    assert code == 1
    assert "files: match" in said
    assert "page: mismatch" in said
    code, said = audited(copied, "--expect", before.audit_hash)
    assert code == 1
    assert "audit hash: mismatch" in said


@pytest.mark.parametrize(
    "content",
    ["nonsense\n", f"{'0' * 64}  ../text.txt\n", f"{'0' * 64}  /etc/passwd\n",
     f"{'0' * 64}  b\n{'0' * 64}  a\n", f"{'0' * 64}  a\n{'1' * 64}  a\n", f"{'0' * 64}  a",
     f"{'0' * 64}  {MANIFEST}\n", f"{'0' * 64}  a//b\n{'0' * 64}  a\n", "x" * (2 << 20)],
)  # fmt: skip
def test_what_is_no_manifest(copied: Path, content: str) -> None:
    (copied / MANIFEST).write_text(content)
    code, said = audited(copied)
    assert code == 2
    assert "manifest" in said


@given(content=st.binary(max_size=300), more=st.text("0a /\\\n.é", max_size=90))
@settings(max_examples=300, deadline=None)
def test_any_manifest(tmp_path_factory: pytest.TempPathFactory, content: bytes, more: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    for written in (content, f"{'0' * 64}  {more}\n".encode(), f"\\{'0' * 64}  {more}\n".encode()):
        (folder / MANIFEST).write_bytes(written)
        try:
            manifest = read_manifest(folder)
            assert manifest is not None
            assert manifest.content == written
            check_files(folder, manifest)
        except ValueError:
            pass
    shutil.rmtree(folder)


@given(names=st.sets(st.text(min_size=1, max_size=8).filter(lambda name: "/" not in name)))
@settings(max_examples=200, deadline=None)
def test_a_manifest_holds_any_names(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    manifest = Manifest(dict.fromkeys(names - {".", "..", MANIFEST}, "0" * 64))
    (folder / MANIFEST).write_bytes(manifest.content)
    assert read_manifest(folder) == manifest
    shutil.rmtree(folder)


def test_a_manifest_that_names_what_may_not_be_read(copied: Path) -> None:
    secret = copied.parent / "secret.txt"
    secret.write_text("secret")
    (copied / "link").symlink_to(secret)
    manifest = read_manifest(copied)
    assert manifest is not None
    listed = {**manifest.hashes, "link": hashlib.sha256(b"secret").hexdigest()}
    (copied / MANIFEST).write_bytes(type(manifest)(listed).content)
    code, said = audited(copied)
    assert code == 2
    assert "outside of that folder" in said


@pytest.mark.parametrize("name", ["explanation.interplay", "ablations.db", "explanation.html"])
def test_a_link_that_leads_out_of_the_folder(copied: Path, name: str) -> None:
    elsewhere = (copied / name).rename(copied.parent / name)
    (copied / name).symlink_to(elsewhere)
    for sample in (0, 1):
        code, said = call("verify", copied, "--sample", sample)
        assert code == 2
        assert "lies outside of that folder" in said


def test_a_hash_that_is_none(copied: Path) -> None:
    code, said = audited(copied, "--expect", "abc")
    assert code == 2
    assert "'abc' is not an audit hash" in said
    (copied / MANIFEST).unlink()
    code, said = audited(copied, "--expect", "0" * 64)
    assert code == 1
    assert "audit hash: mismatch" in said


# --- signatures ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Private keys of two people."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "eve"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name],
            check=True,
        )
    return {name: folder / name for name in ("ada", "eve")}


@pytest.fixture
def signers(keys: dict[str, Path], tmp_path: Path) -> Path:
    """A file of allowed signers: Ada, for runs only, and Bob, whose key is nobody's here."""
    path = tmp_path / "signers"
    public = keys["ada"].with_suffix(".pub").read_text()
    path.write_text(f'ada@example.org,ada@home namespaces="interplay-run" {public}')
    return path


@ssh
def test_a_signed_run(copied: Path, keys: dict[str, Path], signers: Path) -> None:
    code, said = call("sign", copied, "--key", keys["ada"])
    assert code == 0, said
    manifest = read_manifest(copied)
    assert manifest is not None
    assert f"audit hash: {manifest.audit_hash}" in said
    assert "added" not in said
    for more in (), ("--identity", "ada@example.org"), ("--identity", "ada@home"):
        code, said = audited(copied, "--signers", signers, *more)
        assert code == 0, said
        assert "signature: match (1 of 1)" in said
    # without Interplay
    done = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "ada@home", "-n", "interplay-run",
         "-s", copied / SIGNATURE],
        input=(copied / MANIFEST).read_bytes(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    code, said = audited(copied)
    assert "taken on trust: signature: manifest.sha256.sig" in said


@ssh
def test_signatures_that_do_not_hold(
    copied: Path, keys: dict[str, Path], signers: Path, tmp_path: Path
) -> None:
    code, said = audited(copied, "--signers", signers)
    assert code == 3
    assert "signature: not checked: there is no manifest.sha256.sig: nobody signed" in said
    assert call("sign", copied, "--key", keys["eve"])[0] == 0
    code, said = audited(copied, "--signers", signers)
    assert code == 1
    assert "signature: mismatch (0 of 1): it does not hold: none of the allowed" in said
    assert call("sign", copied, "--key", keys["ada"])[0] == 0
    code, said = audited(copied, "--signers", signers, "--identity", "bob")
    assert code == 1
    assert "signature: mismatch" in said
    # the manifest of a faked page, under the signature of the true one
    signature = (copied / SIGNATURE).read_bytes()
    faked_page(copied)
    write_manifest(copied)
    assert not (copied / SIGNATURE).exists()
    (copied / SIGNATURE).write_bytes(signature)
    code, said = audited(copied, "--signers", signers)
    assert code == 1
    assert "signature: mismatch" in said
    (copied / SIGNATURE).write_text("-----BEGIN SSH SIGNATURE-----\nnonsense\n")
    assert audited(copied, "--signers", signers)[0] == 1
    # of something else, by the same key
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", keys["ada"], "-n", "file"],
        input=(copied / MANIFEST).read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    (copied / SIGNATURE).write_bytes(done.stdout)
    anywhere = tmp_path / "anywhere"
    anywhere.write_text(f"ada {keys['ada'].with_suffix('.pub').read_text()}")
    code, said = audited(copied, "--signers", anywhere)
    assert code == 1
    assert "signature: mismatch" in said


@ssh
def test_what_is_signed(copied: Path, keys: dict[str, Path]) -> None:
    reported(copied)
    code, said = call("sign", copied, "--key", keys["ada"])
    assert code == 0
    assert "added: report.md" in said
    assert audited(copied)[0] == 0
    faked_page(copied)
    code, said = call("sign", copied, "--key", keys["ada"])
    assert code == 2
    assert "is not what its manifest says, so that it is not signed: 'explanation.html'" in said
    (copied / MANIFEST).unlink()
    (copied / "ada").write_text("no key")
    code, said = call("sign", copied, "--key", copied / "ada")
    assert code == 2
    assert "ssh-keygen could not sign with" in said


@ssh
def test_signing_writes_through_no_link(copied: Path, keys: dict[str, Path]) -> None:
    mine = copied.parent / "mine"
    mine.write_text("mine")
    for name in ("manifest.sha256.part", "manifest.sha256.sig.part", "manifest.sha256.sig"):
        (copied / name).symlink_to(mine)
    code, said = call("sign", copied, "--key", keys["ada"])
    assert code == 0, said
    assert mine.read_text() == "mine"
    assert not (copied / "manifest.sha256.sig").is_symlink()
    with (copied / "large").open("wb") as file:
        file.truncate(1 << 40)
    code, said = call("sign", copied, "--key", keys["ada"])
    assert code == 2
    assert "above the 2,147,483,648 that a manifest covers" in said


def test_a_run_from_python_is_signed(tmp_path: Path, keys: dict[str, Path]) -> None:
    game = ip.FunctionGame(lambda masks: 1.0 * (masks[:, 0] & masks[:, 1]), 3, fingerprint="f")
    explanation = ip.explain(game, store=tmp_path / "ablations.db")
    explanation.save(tmp_path / "explanation.interplay")
    assert audited(tmp_path)[0] == 3
    assert call("sign", tmp_path, "--key", keys["ada"])[0] == 0
    assert audited(tmp_path)[0] == 0


def test_without_ssh_keygen(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("")
    (tmp_path / "signers").write_text("")
    (copied / SIGNATURE).write_text("")
    monkeypatch.setenv("PATH", "")
    for arguments in (
        ("sign", copied, "--key", tmp_path / "key"),
        ("verify", copied, "--sample", 0, "--signers", tmp_path / "signers"),
    ):
        code, said = call(*arguments)
        assert code == 2
        assert "need the program ssh-keygen" in said
        assert "apt-get install openssh-client" in said
    code, said = audited(copied, "--identity", "ada")
    assert code == 2
    assert "give their file by --signers" in said
    code, said = audited(copied, "--signers", tmp_path / "none")
    assert code == 2
    assert "there is no file of allowed signers" in said


def test_the_verdicts_and_their_exit_statuses(copied: Path) -> None:
    record = copied / "record.json"
    edits: list[tuple[Edit, int, str]] = [
        (lambda folder: None, 0, "match"),
        (lambda folder: (folder / "ablations.db").unlink(), 3, "incomplete"),
        (faked_page, 1, "mismatch"),
    ]
    for edit, status, verdict in edits:
        edit(copied)
        code, _ = audited(copied, "--record", record)
        assert code == status
        (result,) = json.loads(record.read_text())
        assert result["verdict"] == verdict
        assert result["matches"] is (verdict == "match")
        assert {entry["what"] for entry in result["trusted"]} >= {"created", "seconds"}


def test_what_the_manifest_alone_covers_is_taken_on_trust(copied: Path) -> None:
    """A forged report, hashed anew, and a page that is gone: neither passes without a word."""
    (copied / "report.md").write_text("R2 = 1.0 for everything\n", encoding="utf-8")
    (copied / "explanation.html").unlink()
    write_manifest(copied)
    _, said = audited(copied)
    assert "taken on trust: report.md: a file (its hash at most is compared" in said
    assert "taken on trust: page: none (nothing shows whether there was one)" in said


def test_the_neighbours_of_one_explanation_are_nobodys_evidence(copied: Path) -> None:
    (copied / "diary.txt").write_text("mine", encoding="utf-8")
    _, of_folder = audited(copied)
    assert "taken on trust: diary.txt" in of_folder
    _, of_file = audited(copied / "explanation.interplay")
    assert "taken on trust: diary.txt" not in of_file

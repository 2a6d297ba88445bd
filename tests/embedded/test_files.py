import json
import re
import stat
from pathlib import Path

import pytest

from embedded.datadir import DataDir
from embedded.errors import StackError
from embedded.files import generate_api_key, generate_secret, load_or_create_secret, write_private
from embedded.runfile import RunInfo

INFO = RunInfo(
    api_url="http://127.0.0.1:8000",
    temporal_address="127.0.0.1:7233",
    temporal_ui_url="http://127.0.0.1:8233",
    database_url="postgresql+asyncpg://postgres:hidden@127.0.0.1:5433/tocsin",
    api_key="tk_dev_hidden",
    pids={"api": 1, "worker": 2, "temporal": 3, "postgres": None},
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_run_file_is_private_and_reads_back_as_written(tmp_path: Path) -> None:
    INFO.write(tmp_path / "run.json")
    assert mode(tmp_path / "run.json") == 0o600
    assert RunInfo.read(tmp_path / "run.json") == INFO
    assert json.loads((tmp_path / "run.json").read_text())["pids"]["postgres"] is None


def test_a_run_file_is_replaced_whole_even_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_private(path, "old")
    before = path.open()
    write_private(path, "new")
    assert (before.read(), path.read_text()) == ("old", "new")  # another file has its name now
    before.close()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_private(path, "newer")
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
    assert path.read_text() == "new"


def test_run_info_shows_no_secrets_when_printed() -> None:
    assert "hidden" not in repr(INFO)


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    first = load_or_create_secret(path, generate_secret)
    path.chmod(0o644)
    assert load_or_create_secret(path, generate_secret) == first
    assert mode(path) == 0o600


def test_an_empty_secret_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    assert len(load_or_create_secret(tmp_path / "key", generate_secret)) > 20


def test_api_keys_have_the_documented_shape() -> None:
    assert re.fullmatch(r"tk_dev_[A-Za-z0-9_-]{32}", generate_api_key())


def test_the_data_directory_is_made_private_without_touching_its_parents(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    data_dir = DataDir.at(tmp_path / "deep" / "data")
    data_dir.make()
    assert mode(data_dir.root) == 0o700
    assert mode(tmp_path) == 0o755


def test_a_directory_with_other_files_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    tmp_path.chmod(0o755)
    DataDir.at(tmp_path).make()
    assert mode(tmp_path) == 0o755


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    with data_dir.hold_lock(), pytest.raises(StackError, match="already running"), data_dir.hold_lock():
        pass
    with data_dir.hold_lock():
        assert data_dir.lock.exists()

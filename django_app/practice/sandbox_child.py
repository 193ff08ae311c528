"""Runs a solution in a process of its own; `practice.sandbox` starts it with `python -I -S`.

Standard input is the job. Standard output carries one JSON line per fact, standard error what the
solution prints. A warden stays outside and ends the solution when its time is up.
Nothing of the solution may be believed: the warden alone says how it ended.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

NOBODY = 65534

MOST_ROWS = 1000
"""Rows that a query may give."""

LONGEST_CELL = 1024 * 1024
"""Bytes of one value, and of one statement, in a database of SQL tests."""

ASKING = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
"""What an SQL solution may do."""

MAKING = ASKING | {
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_REINDEX,
    sqlite3.SQLITE_TRANSACTION,
}
"""What the tables of SQL tests may be made with."""

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 0x1, 0x2
SYS_MOUNT_SETATTR = 442  # the same number on every architecture
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    results = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # The first and the last line are the warden's, whatever the solution writes between them.
    _tell(results, {"isolation": _isolate(job["room"])})
    pid = os.fork()
    if pid == 0:
        _run(job, results)
    _tell(results, {"late": _watch(pid, wall=job["wall"])})


def _watch(pid: int, *, wall: float) -> bool:
    """Wait for the solution, end it when its time is up or we are told to, and return whether it was late."""
    late = False

    def end(*_: object) -> None:
        nonlocal late
        late = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.setitimer(signal.ITIMER_REAL, wall)
    os.waitpid(pid, 0)
    return late


def _run(job: dict[str, Any], results: Any) -> NoReturn:
    try:
        _give_up_privileges()
        _limit(job)
        for fact in _sql_facts(job) if "create" in job else _facts(job):
            _tell(results, fact)
    finally:
        # Not sys.exit: whatever the solution left behind must not run.
        os._exit(0)


def _facts(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    namespace: dict[str, Any] = {"__name__": "solution"}
    try:
        exec(compile(job["solution"], "solution.py", "exec"), namespace)  # noqa: S102 - what this process is for
    except BaseException as error:  # noqa: BLE001 - the boundary of the process, SystemExit included
        yield {"broken": _described(error)}
        return
    for number, expression in enumerate(job["inputs"]):
        yield {"begun": number}
        try:
            value = eval(compile(expression, "test", "eval"), namespace)  # noqa: S307 - the same
            yield {"case": number, "value": json.loads(json.dumps(value, allow_nan=False))}
        except BaseException as error:  # noqa: BLE001 - the same
            yield {"case": number, "error": _described(error), "memory": isinstance(error, MemoryError)}


def _sql_facts(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number, tables in enumerate(job["inputs"]):
        yield {"begun": number}
        try:
            database = _furnished(job["create"], tables)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            yield {"broken": f"The tables cannot be made: {error}", "forbidden": _is_forbidden(error)}
            return
        try:
            yield {"case": number, "value": _asked(database, job["solution"])}
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, TypeError) as error:
            yield {
                "case": number,
                "error": str(error) or type(error).__name__,
                "memory": isinstance(error, MemoryError),
                "forbidden": _is_forbidden(error),
            }
        finally:
            database.close()


def _furnished(create: str, tables: list[dict[str, Any]]) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("PRAGMA temp_store = MEMORY")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_CELL)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    database.set_authorizer(_only(MAKING))
    database.executescript(create)
    for table in tables:
        name = table["table"].replace('"', '""')
        for row in table["rows"]:
            places = ", ".join("?" * len(row))
            database.execute(f'INSERT INTO "{name}" VALUES ({places})', row)  # noqa: S608 - the name is quoted
    return database


def _asked(database: sqlite3.Connection, query: str) -> list[list[Any]]:
    database.set_authorizer(_only(ASKING))
    rows = database.execute(query).fetchmany(MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise ValueError(f"It gives more than {MOST_ROWS} rows.")
    listed: list[list[Any]] = json.loads(json.dumps(rows, allow_nan=False))
    return listed


def _only(allowed: frozenset[int]) -> Callable[..., int]:
    return lambda action, *_: sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY


def _is_forbidden(error: BaseException) -> bool:
    return "not authorized" in str(error) or "prohibited" in str(error)


def _described(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "solution.py"
    ]
    place = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error)[:500]}{place}"


def _tell(results: Any, fact: dict[str, Any]) -> None:
    results.write(json.dumps(fact).encode() + b"\n")


def _limit(job: dict[str, Any]) -> None:
    for name, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(job["wall"]) + 1),
        (resource.RLIMIT_AS, job["memory"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(name, (most, most))


def _isolate(room: str) -> str:
    """Leave the network, the other processes and every file but Python's own, where the system lets us."""
    if sys.platform != "linux":
        return "limits"
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    spaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS
    try:
        _checked(libc.unshare(spaces | (CLONE_NEWUSER if user else 0)), "unshare")
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _enter(libc, Path(room))
    except OSError:  # a container's or distribution's policy; some of it may still have worked
        return "limits"
    return "namespaces"


def _enter(libc: Any, room: Path) -> None:
    """Make `room` the root of a read-only file system that holds Python and its libraries."""
    _mount(libc, None, Path("/"), None, MS_REC | MS_PRIVATE)
    _mount(libc, "tmpfs", room, "tmpfs", MS_NOSUID | MS_NODEV)
    for path in ("/usr", "/lib", "/lib64", sys.base_prefix):
        _furnish(libc, room, Path(path))
    old = room / "old"
    old.mkdir()
    _checked(libc.syscall(SYS_PIVOT_ROOT[os.uname().machine], bytes(room), bytes(old)), "pivot_root")
    os.chdir("/")
    _checked(libc.umount2(b"/old", MNT_DETACH), "umount2")
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _checked(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, size), "mount_setattr")


def _furnish(libc: Any, room: Path, path: Path) -> None:
    inside = room / path.relative_to("/")
    if path.is_symlink():
        inside.symlink_to(path.readlink())
    elif path.is_dir() and not inside.is_dir():
        inside.mkdir(mode=0o755, parents=True)
        _mount(libc, str(path), inside, None, MS_BIND | MS_REC)


def _give_up_privileges() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        _checked(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
        _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def _mount(libc: Any, source: str | None, target: Path, kind: str | None, flags: int) -> None:
    texts = [text.encode() if text else None for text in (source, str(target), kind)]
    _checked(libc.mount(*texts, ctypes.c_ulong(flags), None), f"mount {target}")


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()

"""Shutting a process in, with what Linux has: namespaces, a root folder, limits. What runs there is not known.

Two steps. `enter_own_root` once, in the process that will be the parent of all students' processes: nothing of the
machine's files is left but Python and its packages, read-only. `give_up_everything` for each student's process: a
memory disk of its own, no rights, limits, no system calls but ordinary ones.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

NEW_MOUNTS, NEW_USER, NEW_PIDS = 0x0002_0000, 0x1000_0000, 0x2000_0000
NEW_NAMES, NEW_IPC, NEW_NETWORK, NEW_CGROUP = 0x0400_0000, 0x0800_0000, 0x4000_0000, 0x0200_0000
NEW_ANYTHING = NEW_MOUNTS | NEW_USER | NEW_PIDS | NEW_NAMES | NEW_IPC | NEW_NETWORK | NEW_CGROUP
READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
SCRATCH = "/scratch"  # where a student's process may write; not /tmp, where a checkout or its Python may lie
MOUNT_SETATTR = 442  # the same number on every architecture; Linux 5.12
NO_NEW_PRIVILEGES, SECCOMP, SECCOMP_FILTER = 38, 22, 2
DEVICES = ("null", "zero", "full", "random", "urandom")
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")  # for shared libraries

# System calls that map no arrays: into other processes, the kernel, namespaces, key rings, and any network. Sockets are
# among them because some kinds (AF_VSOCK) know no namespaces. (x86_64, aarch64)
REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "socket": (41, 198),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, audit number, clone


class NotIsolated(OSError):
    """This machine doesn't give what a sandbox is made of."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | ctypes.Structure | None) -> None:
    """Call a function of the C library that returns -1 on failure."""
    as_c = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc(), name)(*as_c) == -1:
        number = ctypes.get_errno()
        raise NotIsolated(number, f"{name}: {os.strerror(number)}")


def unshare(namespaces: int) -> None:
    _call("unshare", namespaces)


def _mount(source: str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    _call("mount", source.encode(), str(target).encode(), kind.encode(), flags, options.encode())


# --- a root folder of its own -------------------------------------------------------------------------------


def enter_own_root(root: Path, shown: Sequence[Path], emptied: Path, kept: Sequence[str]) -> None:
    """Leave the machine's files: `/` holds the folders `shown`, at their places, and nothing can be written.

    Parameters
    ----------
    root : Path
        An empty folder, to build in.
    shown : sequence of Path
        Files and folders that stay, read-only.
    emptied : Path
        A folder in one of them of which only the files named `kept` stay.

    Raises
    ------
    NotIsolated
        If this machine doesn't allow it.
    """
    _become_master_of_namespaces()
    _mount("none", "/", flags=RECURSIVE | PRIVATE)
    _mount("tmpfs", root, "tmpfs", NO_SETUID | NO_DEVICES, "size=1m,mode=755")
    for path in _outermost(shown):
        _show(path, root)
    inside = root / emptied.relative_to("/")
    _mount("tmpfs", inside, "tmpfs", NO_SETUID | NO_DEVICES, "size=1m,mode=755")
    for name in kept:
        _show(emptied / name, root, source=emptied / name)
    (root / SCRATCH[1:]).mkdir()
    _set_attributes(root, READ_ONLY | NO_SETUID)
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", DETACH)
    os.chdir("/")


def _become_master_of_namespaces() -> None:
    """Get the right to mount: root has it; anybody else has it in a user namespace, where the system allows these."""
    wanted = NEW_MOUNTS | NEW_NETWORK | NEW_IPC | NEW_NAMES
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        unshare(wanted)
        return
    unshare(wanted | NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """The paths that exist and lie in no other one, links of the system's folders as they are."""
    found: list[Path] = []
    for path in sorted({Path(p) for p in paths}, key=lambda p: len(p.parts)):
        if path.exists() and not any(path.is_relative_to(other) for other in found if not other.is_symlink()):
            found.append(path)
    return found


def _show(path: Path, root: Path, source: Path | None = None) -> None:
    """Put a file, folder or link of the machine at the same place under `root`."""
    place = root / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if source is None and path.is_symlink():
        place.symlink_to(os.readlink(path))
        return
    if path.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    _mount(str(source or path), place, flags=BIND | RECURSIVE)


def _set_attributes(path: Path, attributes: int) -> None:
    """Set flags on a mount and on all below it."""
    structure = struct.pack("=QQQQ", attributes, 0, 0, 0)
    at_recursive, here = 0x8000, -100
    arguments = (MOUNT_SETATTR, here, str(path).encode(), at_recursive, structure, len(structure))
    if _libc().syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]) == -1:
        number = ctypes.get_errno()
        raise NotIsolated(number, f"mount_setattr (Linux 5.12 or newer): {os.strerror(number)}")


# --- no rights, and limits ----------------------------------------------------------------------------------


def give_up_everything(user: int, disk: int, limits: dict[str, int]) -> None:
    """In the first process of new namespaces: a memory disk at SCRATCH, another user, no rights, limits, fewer calls.

    Parameters
    ----------
    user : int
        The number of a user that nobody is; taken on if this process is root.
    disk : int
        Bytes that may be written there.
    limits : dict
        As in `limit`.
    """
    flags = NO_SETUID | NO_DEVICES | NO_PROGRAMS
    _mount("tmpfs", SCRATCH, "tmpfs", flags, f"size={disk},nr_inodes=1000,mode=1777")
    _call("sethostname", b"sandbox", 7)
    os.chdir(SCRATCH)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    limit(limits)
    _drop_capabilities()
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _refuse_calls()


def limit(limits: dict[str, int]) -> None:
    """Set resource limits by their names in the module resource, as {"AS": bytes}; what can't be set stays."""
    if sys.platform == "win32":
        return
    import resource

    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            if sys.platform == "linux":
                raise


def _drop_capabilities() -> None:
    version_3, this_process = 0x20080522, 0
    if _libc().capset(struct.pack("=Ii", version_3, this_process), struct.pack("=6I", *[0] * 6)) == -1:
        number = ctypes.get_errno()
        raise NotIsolated(number, f"capset: {os.strerror(number)}")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _refuse_calls() -> None:
    """Let the kernel answer EPERM to the calls in REFUSED, and to clone where it asks for a namespace."""
    if platform.machine() not in ARCHITECTURES:
        return  # the namespaces and limits hold without it
    column, audit, clone = ARCHITECTURES[platform.machine()]
    load, equal, above, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown, kill = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x8000_0000  # EPERM, ENOSYS
    clone3 = 435  # its flags lie in memory, where a filter can't look: the C library then uses clone

    def instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("=HBBI", code, then, otherwise, value)

    program = [instruction(load, 4), instruction(equal, audit, 1, 0), instruction(answer, kill), instruction(load, 0)]
    program += [instruction(above, 0x4000_0000, 0, 1), instruction(answer, refuse)]  # x32
    for number in [numbers[column] for numbers in REFUSED.values()]:
        program += [instruction(equal, number, 0, 1), instruction(answer, refuse)]
    program += [instruction(equal, clone3, 0, 1), instruction(answer, unknown)]
    program += [instruction(equal, clone, 0, 3), instruction(load, 16)]
    program += [instruction(any_bit, NEW_ANYTHING, 0, 1), instruction(answer, refuse), instruction(answer, allow)]
    code = b"".join(program)
    wrapped = _Program(len(program), code)
    pointer = ctypes.addressof(wrapped)
    _call("prctl", SECCOMP, SECCOMP_FILTER, pointer, 0, 0)

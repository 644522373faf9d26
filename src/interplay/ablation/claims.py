"""Claims: which process evaluates which masks of a store."""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import psutil

LEASE_SECONDS = 15 * 60.0
"""How long a claim from another host is valid, since this host cannot see if its owner lives."""
_CLOCK_SECONDS = 2.0
"""Times closer than this are the same: creation times are derived from the wall clock."""
_HOSTS_CLOCK_SECONDS = 60.0
"""How far the clock of another host may be ahead of this one's."""
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Owner:
    """Who claims masks: one :class:`~interplay.ablation.store.Store` object in one process.

    Attributes:
        id: identifies the object.
        host: the machine and, on Linux, its namespace of process ids.
        pid: the id of the process.
        started: when that process was created, in seconds since 1970.
    """

    id: str
    host: str
    pid: int
    started: float

    @classmethod
    def new(cls) -> Owner:
        """Make an owner in this process. It lives until it is removed from :data:`open_owners`."""
        return cls(uuid.uuid4().hex, _host(), os.getpid(), psutil.Process().create_time())

    def lives(self, claimed: float) -> bool:
        """Whether a claim that this owner made at the time ``claimed`` is still valid."""
        return self.can_have_claimed(claimed) and self.is_alive()

    def can_have_claimed(self, claimed: float) -> bool:
        """Whether the time of a claim is plausible.

        A claim is data of a file. One that is no number, lies in the future, or was made before its
        process began is ignored, and so is one of another host that is older than the lease.
        """
        types = (self.id, str), (self.host, str), (self.pid, int), (self.started, float)
        if not all(isinstance(value, kind) for value, kind in types):
            return False
        if not isinstance(claimed, float) or not math.isfinite(claimed):
            return False
        age = time.time() - claimed
        if self.host != _host():
            return -_HOSTS_CLOCK_SECONDS <= age <= LEASE_SECONDS
        return age >= -_CLOCK_SECONDS and claimed >= self.started - _CLOCK_SECONDS

    def is_alive(self) -> bool:
        """Whether the owner's process is there. Of another host's this host cannot tell: yes."""
        if self.host != _host():
            return True
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _CLOCK_SECONDS:
                return False
            if self.pid == os.getpid():
                # asked without a loop: other threads open and close stores meanwhile
                return self in open_owners
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except (psutil.NoSuchProcess, ValueError, OverflowError):
            return False
        except psutil.AccessDenied:
            return True


@dataclass(frozen=True)
class Claimed:
    """Masks that a living owner has claimed.

    Attributes:
        owner: who.
        since: when it claimed the last of them, in seconds since 1970.
        n_masks: how many.
    """

    owner: Owner
    since: float
    n_masks: int

    def __str__(self) -> str:
        # the name of the host is data of a file: it must not reach a terminal as it is
        name = self.owner.host.partition(" ")[0][:_LONGEST_NAME]
        host = "".join(letter if letter.isalnum() or letter in "-._" else "?" for letter in name)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.owner.pid} on {host} (since {since}, {self.n_masks} masks)"


def _host() -> str:
    # containers may share the host's name, but not its process ids
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


open_owners: WeakSet[Owner] = WeakSet()
"""The owners of this process whose stores are open. Its claims by any other owner are void."""

"""The Ray back end on a real cluster of several nodes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import interplay as ip
from interplay import GameError, RayBackend
from interplay._types import BoolArray, FloatArray

ray = pytest.importorskip("ray", reason="needs ray: pip install 'interplay[ray]'")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

N = 30


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs, and two nodes that can be lost."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


LONG = 600.0
"""Seconds after which something is taken for hung."""


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


class Logged:
    """A function that writes down each mask that it evaluates, and where.

    It gives no value before `together` processes have been asked for one: a cluster may need
    longer to start an actor than the others need for the whole run. With `hold` masks written down
    it stops until the file `go` is there, so that what happens to a run happens in its middle.
    """

    def __init__(self, log: Path, together: int = 1, hold: int = 1000) -> None:
        self.log, self.together, self.hold = log, together, hold
        self.present, self.held = log.with_name("present"), log.with_name("held")
        self.go = log.with_name("go")

    def wait(self) -> None:
        """Return once enough processes are present."""
        wait_until(lambda: len(pids(self.present)) >= self.together, "all actors being there")

    def __call__(self, masks: BoolArray) -> FloatArray:
        announce(self.present)
        self.wait()
        if len(self.asked()) >= self.hold:
            announce(self.held)
            wait_until(self.go.exists, "the file go")
        with self.log.open("a") as file:
            for mask in masks:
                file.write(f"{os.getpid()} {''.join(map(str, mask.astype(int)))}\n")
        return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2] + np.sin(masks @ np.arange(N))

    def asked(self) -> list[tuple[int, str]]:
        if not self.log.exists():
            return []
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(int(pid), mask) for pid, mask in lines]


def announce(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()


def pids(folder: Path) -> list[int]:
    return [int(file.name) for file in folder.glob("*")]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def game(f: Logged) -> ip.FunctionGame:
    return ip.FunctionGame(f, N, fingerprint="logged")


def test_the_same_numbers_as_in_this_process(cluster: Any, tmp_path: Path) -> None:
    f = Logged(tmp_path / "log", together=2)
    there = ip.explain(game(f), budget=300, backend="ray", batch_size=8)
    asked = f.asked()
    here = ip.explain(game(Logged(tmp_path / "other")), budget=300, batch_size=8)
    np.testing.assert_array_equal(there.fit.values, here.fit.values)
    np.testing.assert_array_equal(there.spectrum.coefficients, here.spectrum.coefficients)
    assert there.provenance["backend"] == "ray"
    assert len(asked) == len({mask for _, mask in asked}) == 300
    workers = {pid for pid, _ in asked}
    assert len(workers) == 2
    assert os.getpid() not in workers


def test_a_worker_killed_in_the_middle(cluster: Any, tmp_path: Path) -> None:
    """Its call is made again elsewhere; nothing is lost, and nothing that came is asked twice."""
    f = Logged(tmp_path / "log", hold=60)
    before = ip.explain(game(Logged(tmp_path / "plain")), budget=300, batch_size=8)

    import threading

    victims: list[int] = []

    def kill() -> None:
        wait_until(lambda: bool(pids(f.held)), "an actor being at a block in the middle")
        victims.append(pids(f.held)[0])
        os.kill(victims[0], signal.SIGKILL)
        f.go.touch()

    killer = threading.Thread(target=kill)
    killer.start()
    store = tmp_path / "a.db"
    there = ip.explain(game(f), budget=300, backend="ray", batch_size=8, store=store)
    killer.join()
    np.testing.assert_array_equal(there.fit.values, before.fit.values)
    asked = f.asked()
    assert len({mask for _, mask in asked}) == 300
    # what the victim had begun and not delivered: at most its two calls on their way
    assert len(asked) <= 300 + 16
    late = {pid for pid, _ in asked[-60:]}
    assert victims[0] not in late
    again = ip.explain(game(f), budget=300, store=store)
    assert again.provenance["budget"]["from_store"] == 300


def test_a_node_that_is_lost(cluster: Any, tmp_path: Path) -> None:
    f = Logged(tmp_path / "log", together=3, hold=0)
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    import threading

    def lose() -> None:
        f.wait()  # all three actors, each on its node, are at a block
        cluster.remove_node(lost)
        f.go.touch()

    thread = threading.Thread(target=lose)
    thread.start()
    found = ip.explain(game(f), budget=300, backend=RayBackend(n_actors=3), batch_size=8)
    thread.join()
    assert found.provenance["budget"]["evaluated"] == 300
    assert len(pids(f.present)) >= 3
    assert len({mask for _, mask in f.asked()}) == 300


def test_a_failing_mask_is_named(cluster: Any) -> None:
    def f(masks: BoolArray) -> FloatArray:
        if masks[:, :7].all(axis=1).any():
            raise RuntimeError("the seven")
        return masks.sum(axis=1)

    with pytest.raises(GameError, match="RuntimeError: the seven") as caught:
        ip.explain(ip.FunctionGame(f, N), budget=600, backend="ray")
    assert caught.value.masks is not None
    np.testing.assert_array_equal(caught.value.values, caught.value.masks.sum(axis=1))


class _Unstable(ip.FunctionGame):
    """A game whose copies are not what it is: as with other weights on the other machine."""

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"process {os.getpid()}"

    @fingerprint.setter
    def fingerprint(self, value: object) -> None:
        pass


def test_a_copy_that_is_another_game_is_refused(cluster: Any) -> None:
    unstable = _Unstable(lambda masks: masks.sum(axis=1), N)
    with pytest.raises(GameError, match=r"has the fingerprint 'process \d+', but the game here"):
        ip.explain(unstable, budget=300, backend="ray")


def test_a_worker_that_always_dies(cluster: Any) -> None:
    def f(masks: BoolArray) -> FloatArray:
        os._exit(1)

    with pytest.raises(GameError, match="the actors that evaluated it died 2 times"):
        ip.explain(ip.FunctionGame(f, N), budget=300, backend=RayBackend(n_actors=1, retries=1))


def test_more_than_the_cluster_has(cluster: Any) -> None:
    with pytest.raises(ValueError, match="no actor of 64 CPUs and 0 GPUs fits the cluster"):
        ip.explain(ip.FunctionGame(lambda m: m.sum(axis=1), N), backend=RayBackend(num_cpus=64))
    with pytest.raises(ValueError, match="backend='spark' is unknown; choose one of local, ray"):
        ip.explain(ip.FunctionGame(lambda m: m.sum(axis=1), N), backend="spark")


_DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import ray
import interplay as ip
from tests.ablation.test_ray import Logged, game
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
f = Logged(Path(sys.argv[2]), hold=100)
found = ip.explain(game(f), budget=300, backend="ray", batch_size=4, store=sys.argv[3])
print("stored", found.provenance["budget"]["from_store"])
"""


def test_a_killed_driver_resumes_from_its_store(cluster: Any, tmp_path: Path) -> None:
    f = Logged(tmp_path / "log")
    root = str(Path(__file__).parents[2])
    command = [
        *(sys.executable, "-c", _DRIVER),
        *(cluster.address, str(f.log), str(tmp_path / "a.db"), root),
    ]
    environment = {**os.environ, "PYTHONPATH": root}
    first = subprocess.Popen(command, env=environment)
    try:
        wait_until(lambda: len(pids(f.held)) == 2 or first.poll() is not None, "the middle")
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    # Ray ends the actors of a driver that is gone
    wait_until(lambda: not any(map(runs, pids(f.present))), "the end of the actors")
    known = len(f.asked())
    assert 100 <= known < 300
    f.go.touch()
    second = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=LONG
    )
    stored = int(second.stdout.split("stored")[1])
    assert stored >= 60
    asked = f.asked()
    assert len({mask for _, mask in asked}) == 300
    # at most what was on its way, and had not been committed, is asked again
    assert len(asked) == 300 + known - stored
    assert known - stored <= 4 * 2 * 2 + 8

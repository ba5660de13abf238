"""Several processes on one fake server, their requests interleaved by a script or by a seed.

Every process is a thread that stops before each request until it is given the turn. So a schedule is a list
of turns, and a seed gives the same one each time (but for a process with several requests under way).
"""

import random
import threading
from collections.abc import Callable

from .fake_store import Crash, FakeServer, FakeStore, Fault, Request

_PATIENCE_S = 600.0


class Process:
    def __init__(self, simulation: "Simulation", name: str, work: Callable[[FakeStore], object]) -> None:
        self.name, self.simulation = name, simulation
        self.waiting: list[Request] = []
        self.turns = 0
        self.finished = False
        self.result: object = None
        self.go = threading.Condition(simulation.lock)
        """Where its requests wait for a turn, so that nobody else is woken by one."""
        self.store = FakeStore(simulation.server, self._gate)
        self.thread = threading.Thread(target=self._run, args=(work,), daemon=True)

    def _run(self, work: Callable[[FakeStore], object]) -> None:
        try:
            self.result = work(self.store)
        except (Exception, Crash) as error:  # noqa: BLE001 - the test looks at it
            self.result = error
        with self.simulation.lock:
            self.finished = True
            self.simulation.changed.notify()

    def _gate(self, request: Request) -> Fault | None:
        with self.simulation.lock:
            self.waiting.append(request)
            self.simulation.changed.notify()
            granted = self.go.wait_for(lambda: self.turns > 0, _PATIENCE_S)
            assert granted, f"{self.name} was never given the turn for {request}"
            self.turns -= 1
            self.waiting.remove(request)
            self.simulation.changed.notify()
            return self.simulation.fault(self.name, request)


class Simulation:
    def __init__(self, server: FakeServer | None = None) -> None:
        self.server = server or FakeServer()
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        """Where whoever gives the turns waits for processes."""
        self.processes: dict[str, Process] = {}
        self.fault: Callable[[str, Request], Fault | None] = lambda name, request: None

    def start(self, name: str, work: Callable[[FakeStore], object]) -> None:
        process = self.processes[name] = Process(self, name, work)
        process.thread.start()

    def advance(self, name: str, verb: str | None = None, key: str = "") -> object:
        """Run a process until it is about to send such a request (`key`: part of its key), or to its end."""
        process = self.processes[name]
        while True:
            self._settle(process)
            if process.finished:
                assert verb is None, f"{name} ended with {process.result!r} before it would {verb} {key}"
                return process.result
            request = process.waiting[0]
            if verb is not None and request.verb == verb and key in request.key:
                return None
            self._grant(process)

    def step(self, name: str) -> None:
        """Let a process send the request it stands before, and stop before its next one."""
        process = self.processes[name]
        self._settle(process)
        self._grant(process)
        self._settle(process)

    def shuffle(self, seed: int) -> dict[str, object]:
        """Run all processes to their ends in a drawn order, in bursts, so that some sleep for long."""
        rng = random.Random(seed)
        while alive := [p for p in list(self.processes.values()) if not p.finished]:
            process = rng.choice(alive)
            for _ in range(rng.choice((1, 1, 2, 3, 5, 8, 20))):
                self._settle(process)
                if process.finished:
                    break
                self._grant(process)
                self._settle(process)
            if self.server.late and rng.random() < 0.3:
                self.server.deliver()
        self.server.deliver()
        return {name: process.result for name, process in self.processes.items()}

    def _settle(self, process: Process) -> None:
        """Wait until a process stands before a request, or has ended."""
        with self.lock:
            done = self.changed.wait_for(
                lambda: process.finished or (process.waiting and process.turns == 0), _PATIENCE_S
            )
            assert done, f"{process.name} neither asks nor ends"

    def _grant(self, process: Process) -> None:
        with self.lock:
            process.turns += 1
            process.go.notify()

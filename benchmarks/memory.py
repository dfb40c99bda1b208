"""Memory of our receiver processes while 0, 1, 8 and 32 associations send."""

import shutil
from collections.abc import Callable
from typing import Final

from benchmarks.blaster import Task
from benchmarks.corpus import CT, DX, Kind
from benchmarks.measure import Place
from benchmarks.processes import pss_mib
from benchmarks.receivers import AE_TITLE, OURS, Conditions, Running, launch
from benchmarks.results import MemoryFigure
from benchmarks.senders import blast

BASE_MIB: Final = 96
EACH_MIB: Final = 2
CASES: Final = ((CT, 0), (CT, 1), (CT, 8), (CT, 32), (DX, 1), (DX, 8))
_BYTES: Final = 768 << 20


def measure_memory(place: Place, on_step: Callable[[str], None]) -> list[MemoryFigure]:
    """Send over more and more associations to one node and watch its receivers.

    The node is not started again in between: what it does not give back counts.

    Args:
        on_step: called before each case with what it is.
    """
    folder = place.memory / "receiver-memory"
    conditions = Conditions(folder=folder, durability="process-crash", nodelay=False)
    running = launch(OURS, conditions)
    try:
        return [_one(running, place, case, on_step) for case in CASES]
    finally:
        running.program.end()
        shutil.rmtree(folder, ignore_errors=True)


def _one(
    running: Running,
    place: Place,
    case: tuple[Kind, int],
    on_step: Callable[[str], None],
) -> MemoryFigure:
    kind, associations = case
    on_step(f"{kind.name}, {associations} associations")
    pids = running.receiver_pids()
    seen = [max(map(pss_mib, pids))]
    if associations:
        paths = place.templates(kind)
        images = max(4, _BYTES // (kind.rows * kind.columns * 2) // associations)
        task = Task(
            port=running.port,
            called=AE_TITLE,
            associations=associations,
            images=images,
            templates=tuple(map(str, paths)),
            first_uid=place.first_uid((images + 2) * associations),
        )
        blast(task, watch=lambda: seen.append(max(map(pss_mib, pids))))
        running.forget()
    return MemoryFigure(
        kind=kind.title,
        associations=associations,
        largest_mib=round(max(seen), 1),
        wanted_mib=BASE_MIB + EACH_MIB * associations,
    )

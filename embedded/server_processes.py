"""Describe the API and worker processes of `make run` for the supervisor, and the order in which components stop."""

from collections.abc import Iterable

from embedded.datadir import DataDir
from embedded.processes import ProcessSpec, with_parent_death_signal

LIVENESS_PATH = "TOCSIN_LIVENESS_PATH"


def server_process(
    data_dir: DataDir, component: str, number: int, argv: tuple[str, ...], env: dict[str, str]
) -> ProcessSpec:
    """Name process 0 of a component after the component, and the others `worker-2`, `worker-3` and so on."""
    name = f"{component}-{number + 1}" if number else component
    liveness = data_dir.records / f"{name}.alive" if component == "worker" else None
    return ProcessSpec(
        name=name,
        stage=component,
        argv=with_parent_death_signal(argv),
        log=data_dir.logs / f"{name}.log",
        env=env if liveness is None else {**env, LIVENESS_PATH: str(liveness)},
        liveness=liveness,
    )


COMPONENTS = ("api", "worker", "temporal", "postgres")


def stop_order(names: Iterable[str]) -> list[str]:
    """Return all parts, and the further processes of some of them that are among the names."""
    further = sorted(name for name in names if name not in COMPONENTS)
    return [
        name
        for component in COMPONENTS
        for name in (component, *(each for each in further if each.startswith(f"{component}-")))
    ]

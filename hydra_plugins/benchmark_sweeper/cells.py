"""A version of Hydra's grid sweeper in which `benchmark.sweep` decides which cells are launched."""

# Annotations stay real types here: Hydra reads the dataclass before postponed ones could be resolved.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


@dataclass
class CellSweeperConf:
    """Settings of `hydra/sweeper=cells`."""

    _target_: str = "hydra_plugins.benchmark_sweeper.cells.CellSweeper"
    max_batch_size: Optional[int] = None
    """The most cells that a launcher gets at once; None is no bound. submitit_local has one in any case."""
    params: Optional[Dict[str, Any]] = None
    """Setting -> its values, as `a,b`; cells are all combinations."""
    arms: Optional[Dict[str, List[str]]] = None
    """Name -> overrides that go together, such as a curriculum and its number of steps. All combinations of `params`
    run in every arm; an arm wins over `params`, and the command line wins over both."""


ConfigStore.instance().store(group="hydra/sweeper", name="cells", node=CellSweeperConf, provider="benchmark")


class CellSweeper(BasicSweeper):
    """Checks every cell of the grid before any work, launches the missing ones and reports failures."""

    def __init__(
        self,
        max_batch_size: Optional[int],
        params: Optional[Dict[str, Any]] = None,
        arms: Optional[Dict[str, List[str]]] = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.arms = arms or {}

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Raises ConfigError where the launcher's packages are not installed."""
        from benchmark.launchers import launcher_of

        self.spreading = launcher_of(config, self.max_batch_size)
        self.max_batch_size = self.spreading.batch_size
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: List[str]) -> Any:
        """Runs the sweep. Raises SweepFailed if a cell failed, ConfigError if a cell cannot run.

        With mode=plan it only prints what would run; with mode=annotate it only fills the teacher store.
        """
        from benchmark.grid import Grid, grid_composer, mode_of
        from benchmark.sweep import Sweep

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params, command = parser.parse_overrides(self._parse_config()), parser.parse_overrides(arguments)
        arms = [parser.parse_overrides(list(arm)) for arm in self.arms.values()] or [[]]
        asked = [cell for arm in arms for cell in _combinations([*params, *arm, *command])]
        grid = Grid(grid_composer(self.hydra_context.config_loader, self.config), asked, launcher=self.spreading)
        if grid.plan_or_annotate(mode_of([*params, *command], self.config)):
            return []  # Hydra's own sweep would go on to leave its multirun.yaml in the results folder
        sweep = Sweep(grid)
        launch = self.launcher.launch

        def launch_missing(batch: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
            return sweep.launch(lambda cells: launch(cells, initial_job_idx), [tuple(cell) for cell in batch])

        setattr(self.launcher, "launch", launch_missing)  # noqa: B010 - where Hydra's sweeper starts cells
        returns: List[Any] = []
        for stage in sweep.stages():
            cells = [list(cell) for cell in stage]

            def in_batches(
                overrides: List[Any], max_batch_size: Optional[int], cells: List[List[str]] = cells
            ) -> List[List[List[str]]]:
                """The stage's cells in batches; Hydra's own splitting asserts that there is something to split."""
                return (
                    [batch for batch in self.split_overrides_to_chunks(cells, max_batch_size) if batch] if cells else []
                )

            setattr(self, "split_arguments", in_batches)  # noqa: B010 - where it decides what to run
            self.batch_index = 0
            returns += super().sweep(arguments)
        sweep.report()
        return returns

    def validate_batch_is_legal(self, batch: Any) -> None:
        """Does nothing: `sweep` has checked the whole grid already."""


def _combinations(overrides: List[Any]) -> List[Tuple[str, ...]]:
    """The overrides of every cell; of two overrides with one key the last one holds."""
    return [tuple(cell) for batch in BasicSweeper.split_arguments(overrides, None) for cell in batch]

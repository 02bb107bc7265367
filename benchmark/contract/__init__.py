"""What a plug-in imports: the seven axes, the context that their parts receive, tasks, and language models."""

from benchmark.contract.axes import (
    Annotator,
    Context,
    Curriculum,
    DataPolicy,
    Format,
    Loss,
    Part,
    PlanContext,
    Requirements,
    Schedule,
    ScorableFormat,
    Selection,
    StepState,
    Weighting,
)
from benchmark.contract.language_models import (
    ASSISTANT,
    STUDENT,
    AskModels,
    FrozenModel,
    StepModel,
    TextModel,
)
from benchmark.contract.method import Method
from benchmark.contract.task import Task

__all__ = [
    "ASSISTANT",
    "STUDENT",
    "Annotator",
    "AskModels",
    "Context",
    "Curriculum",
    "DataPolicy",
    "Format",
    "FrozenModel",
    "Loss",
    "Method",
    "Part",
    "PlanContext",
    "Requirements",
    "Schedule",
    "ScorableFormat",
    "Selection",
    "StepModel",
    "StepState",
    "Task",
    "TextModel",
    "Weighting",
]

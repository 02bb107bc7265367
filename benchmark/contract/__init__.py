"""What a plug-in imports: the seven axes, the context that their parts receive, tasks, and language models."""

from benchmark.contract.axes import (
    Annotator,
    Context,
    Curriculum,
    DataRng,
    ExplainingFormat,
    Format,
    Part,
    PlanContext,
    Requirements,
    Schedule,
    ScorableFormat,
    Selection,
    Weighting,
)
from benchmark.contract.language_models import (
    ASSISTANT,
    STUDENT,
    AskModels,
    FrozenModel,
    PositionFunction,
    Signal,
    StepModel,
    TextModel,
)
from benchmark.contract.loss import DataPolicy, Loss, Preparation, PreparingLoss, ReadsCrossEntropy, StepState
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
    "DataRng",
    "ExplainingFormat",
    "Format",
    "FrozenModel",
    "Loss",
    "Method",
    "Part",
    "PlanContext",
    "PositionFunction",
    "Preparation",
    "PreparingLoss",
    "ReadsCrossEntropy",
    "Requirements",
    "Schedule",
    "ScorableFormat",
    "Selection",
    "Signal",
    "StepModel",
    "StepState",
    "Task",
    "TextModel",
    "Weighting",
]

"""The values that parts and engine exchange: frozen, plain dataclasses without behaviour of their own."""

from benchmark.types.answers import Explanation, Prediction, SampledAnswer
from benchmark.types.questions import Example, Json, Pick, Question
from benchmark.types.requests import Contrast, Exchange, Finish, PlannedRequest, Reply, Request, Thinking, Usage
from benchmark.types.rounds import Round, RoundLog
from benchmark.types.training import Annotation, Per, Span, Stage, Term, TrainingExample, Weight

__all__ = [
    "Annotation",
    "Contrast",
    "Example",
    "Exchange",
    "Explanation",
    "Finish",
    "Json",
    "Per",
    "Pick",
    "PlannedRequest",
    "Prediction",
    "Question",
    "Reply",
    "Request",
    "Round",
    "RoundLog",
    "SampledAnswer",
    "Span",
    "Stage",
    "Term",
    "Thinking",
    "TrainingExample",
    "Usage",
    "Weight",
]

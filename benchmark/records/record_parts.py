"""What a record is put together from: the objects inside of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from benchmark.records.measured_after import Faithfulness, ScoreErrorCorrelation
from benchmark.records.record_values import Fraction, Number, RecordPart, Rows
from benchmark.records.schema_errors import lacking, refused


class LedgerEntry(RecordPart):
    """What one source (a teacher, people, a local model in one phase) cost from the cell's start to the round's end."""

    calls: Number
    """Requests for a reply; each sample of a request is one."""
    prompt_tokens: Number
    """Tokens of all prompts."""
    completion_tokens: Number
    """Tokens of all replies."""
    usd: Number | None
    """US dollars by the price list; None where no price is known."""
    questions: Number
    """Annotated questions."""

    def exceeds(self, other: LedgerEntry) -> bool:
        """Whether any amount is larger than the other's, rounding errors apart; an unknown price never is."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in LedgerEntry.model_fields)
        return any(own > theirs + 1e-9 for own, theirs in pairs if own is not None and theirs is not None)


NOTHING = LedgerEntry(calls=0, prompt_tokens=0, completion_tokens=0, usd=0.0, questions=0)
"""The entry of a source that no book names."""


class BudgetLimits(RecordPart):
    """The most that the cell might buy; a limit that is None was not set."""

    questions: int | None = None
    """Annotated questions."""
    calls: int | None = None
    """Calls to teachers."""
    tokens: int | None = None
    """Tokens of prompts and replies together."""
    usd: Number | None = None
    """US dollars."""


class Prerequisite(RecordPart):
    """A finished cell whose student this cell used as a model, and what that cell was charged."""

    slot: str
    """What the model was here, such as `assistant` or `teacher`."""
    cell_id: str
    """The id of the cell that made it."""
    charged: dict[str, LedgerEntry]
    """What that cell was charged in all, by source."""


MOST_UNREAD = 0.1
"""The largest share of the student's answers that a selection may lack before its score means nothing."""


def unread_shares(notes: Mapping[str, float]) -> dict[str, float]:
    """What a selection compared (`answers`, `early answers`) -> the share that could not be read, if above the most.

    `notes` are a round's, with the counts `answers` and `unread_answers`, `early_answers` and `unread_early_answers`.
    """
    shares = {
        what.replace("_", " "): notes.get(f"unread_{what}", 0) / notes[what]
        for what in ("answers", "early_answers")
        if notes.get(what)
    }
    return {what: share for what, share in shares.items() if share > MOST_UNREAD}


class RoundRecord(RecordPart):
    """A finished round. All three books are running totals of the whole cell."""

    index: int = 0
    """Counts from 0."""
    restart: bool | None = None
    """Whether it trained the initial student anew; None in older records."""
    optimiser_steps: int | None = None
    """Updates of the weights in this round alone; None in older records."""
    annotated: int | None = None
    """Questions annotated so far, this round's included."""
    charged: dict[str, LedgerEntry]
    """By source (`teacher`, `human`): the cost as if the cell had bought every distinct request itself."""
    spent: dict[str, LedgerEntry]
    """By source: what was really paid; replies from the store cost nothing."""
    computed: dict[str, LedgerEntry] = Field(default_factory=dict)
    """By local model and phase, such as `student/selection`: what models on this machine read and wrote."""
    validation: dict[str, Number] = Field(default_factory=dict)
    """By metric: the student's result on the validation split after this round."""
    notes: dict[str, Number] = Field(default_factory=dict)
    """Sums that the method's parts counted in this round."""
    score_error_correlation: ScoreErrorCorrelation | None = None
    """Whether the selection's score ranks what the student gets wrong; None where its evidence holds no answers."""


class Outcomes(RecordPart):
    """How many test answers had each outcome. Every answer has exactly one."""

    right: int
    """Right answers, cut ones included."""
    truncated: int
    """Answers that were cut at the cap of tokens and are not right."""
    unread: int
    """Whole texts in which no answer could be read."""
    wrong: int
    """Whole texts with a wrong answer."""

    @property
    def total(self) -> int:
        """All answers."""
        return self.right + self.truncated + self.unread + self.wrong


class TextOverlap(RecordPart):
    """How many questions of a test set occur in given texts. Each of the first three counts includes the one before."""

    exact: int
    """Word for word, with the same options."""
    near: int
    """Exact, or with 70 % of the question's runs of 8 words."""
    any: int
    """Near, or with one run of 8 words."""
    short: int
    """Questions of fewer than 8 words, of which only exact ones can be found."""
    covered: Fraction
    """The share of all runs of 8 words in the test questions that occur."""


class TestScore(RecordPart):
    """The student's result on one test set."""

    __test__: ClassVar[bool] = False
    """Tells pytest that this is no test class."""
    TIMES: ClassVar[tuple[str, ...]] = ("seconds_per_answer", "latency_p50_seconds", "latency_p95_seconds")
    """The fields that are other ones each time a cell runs."""

    dataset: str
    """The test set's name; the first entry's is the dataset of the cell."""
    metric: str
    """`accuracy`, or the metric of a task whose answers are graded."""
    value: Fraction
    """The result, in [0, 1]."""
    flexible_value: Fraction | None = None
    """Accuracy where the answer is searched in the whole text; None for another metric."""
    answers_by: str = "generation"
    """`generation`, or the likelihood by which an option was chosen."""
    majority_at: dict[str, Fraction] | None = None
    """By m: the share of questions that a majority of the first m sampled answers gets right; None without samples."""
    pass_at: dict[str, Fraction] | None = None
    """By m: the expected share of questions with a right answer among m samples; None without samples."""
    reasoning_accuracy: Fraction | None = None
    """The share of answers whose every step is right; None where the dataset cannot check steps."""
    right_answer_wrong_reasoning: Fraction | None = None
    """The share of right answers whose reasoning is wrong; None without a right answer or where steps go unchecked."""
    faithfulness: Faithfulness | None = None
    """How far explanations decide answers; None where it was not measured (`evaluation.faithfulness_questions=0`)."""
    n: int
    """Test questions."""
    truncated_answers: int | None = None
    """Answers that were cut at the cap of tokens, right ones included; None in older records."""
    outcomes: Outcomes | None = None
    """What became of the answers; None in older records and for a graded task, which knows no right or wrong."""
    completion_tokens_per_answer: Number | None = None
    """The mean number of tokens that the student wrote for an answer, reasoning included."""
    seconds_per_answer: Number | None = None
    """The mean time for an answer, in seconds: the time of the whole test over its questions."""
    latency_p50_seconds: Number | None = None
    """The median latency: seconds from the start of an answer's batch to its last token, all turns added; None in older
    records and where options are scored."""
    latency_p95_seconds: Number | None = None
    """The latency that 95 % of the answers do not exceed; None where the median is."""
    questions_seen_in_pool: int | None = None
    """`learnt_overlap.exact` of a further test set; None for the cell's own."""
    pool_overlap: TextOverlap | None = None
    """The test questions in the pool; None in older records."""
    learnt_overlap: TextOverlap | None = None
    """The test questions in the pool and everything that was bought together; None in older records."""

    @model_validator(mode="after")
    def _check_outcomes(self) -> TestScore:
        if self.outcomes is not None and self.outcomes.total != self.n:
            raise refused(f".outcomes has {self.outcomes.total} answers in all, expected n, which is {self.n}")
        return self

    @model_validator(mode="after")
    def _check_sizes(self) -> TestScore:
        sizes = self.majority_at
        if sizes is None:
            return self
        if not sizes or not all(size.isdecimal() for size in sizes):
            raise refused(f".majority_at has the sizes {', '.join(sizes) or 'none'}, expected whole numbers")
        largest = str(max(map(int, sizes)))
        for name, by_size in (("majority_at", sizes), ("pass_at", self.pass_at or {})):
            if largest not in by_size:
                raise lacking(f"{name}.{largest}")
        return self

    @property
    def samples_per_question(self) -> int | None:
        """How many answers to each question were sampled: the k of the next two; None without samples."""
        return None if self.majority_at is None else max(map(int, self.majority_at))

    @property
    def majority_at_k(self) -> float | None:
        """`majority_at` of all samples."""
        return None if self.majority_at is None else self.majority_at[str(self.samples_per_question)]

    @property
    def pass_at_k(self) -> float | None:
        """`pass_at` of all samples."""
        return None if self.pass_at is None else self.pass_at.get(str(self.samples_per_question))


class TeacherReference(RecordPart):
    """A teacher's own result on the cell's dataset; charged to nobody.

    It is the teacher whose distributions the loss reads, asked and read as the student is; or else the first teacher,
    asked as in few-shot annotation.
    """

    split: str
    """The split that it answered, normally `test`."""
    metric: str
    """`accuracy`, or the task's own metric."""
    value: Fraction
    """The result, in [0, 1]."""
    flexible_value: Fraction | None = None
    """Accuracy where the answer is searched in the whole reply; None for a task's own metric."""
    n: int
    """Questions that it answered; a recorded teacher may not cover all."""
    of: int | None = None
    """Questions of the split; None in older records, where all were answered."""
    distributions_of: str | None = None
    """The name of the teacher whose distributions the loss reads; None where the first teacher was asked for texts."""

    @property
    def num_asked(self) -> int:
        """Questions of the split, of which `n` were answered."""
        return self.n if self.of is None else self.of


class TeacherTraffic(RecordPart):
    """What went to the server of one live teacher in the process that finished the cell."""

    requests: int = 0
    """Every attempt."""
    retries: dict[str, int] = Field(default_factory=dict)
    """Attempts that were repeated, by reason."""
    failures: dict[str, int] = Field(default_factory=dict)
    """Requests that were given up, by reason."""
    prompt_tokens: int = 0
    """As the server reported them, or estimated."""
    completion_tokens: int = 0
    """As the server reported them, or estimated."""
    estimated_requests: int = 0
    """Requests whose tokens the server did not report."""
    uncounted_requests: int = 0
    """Requests that broke off: the server may have charged them, and no ledger holds them."""


class TeacherReplies(RecordPart):
    """What came of one teacher's replies in annotation: all that the cell was charged for."""

    replies: int
    """Their number."""
    empty: int = 0
    """Without any text or trace."""
    unreadable: int = 0
    """Of a form in which no text was found."""
    cut: int = 0
    """Cut at a cap of tokens."""
    refused: int = 0
    """Refused by the model or its provider."""
    with_trace: int = 0
    """With a trace, thought before the text."""
    unclosed_traces: int = 0
    """With a trace and nothing after it."""
    example: str = ""
    """One empty or unreadable reply as the server sent it, shortened."""


class TrainingRecord(RecordPart):
    """What all fits of the cell did together; 0 for a student that was not trained."""

    optimiser_steps: int
    """Updates of the weights in all rounds."""
    final_student_steps: int | None = None
    """Updates behind the tested weights, since the last restart; None in older records."""
    tokens: int
    """Tokens of prompts and targets that passed through the student, padding apart."""
    response_tokens: int | None = None
    """Tokens of the targets alone."""
    seconds: Number
    """Time inside the fits."""
    flops: Number
    """Floating-point operations by the usual estimate of 6 per weight and token."""
    peak_memory_bytes: int | None = None
    """The most memory that the cell held: of the accelerator where there is one, else of the process."""


class GitState(RecordPart):
    """The commit of the code, or why it is not known."""

    commit: str | None
    """Its hash."""
    dirty: bool | None
    """Whether tracked files differed from it; None where the commit is not known."""
    unknown: str | None = None
    """Why the commit is not known, such as `git is not installed`; None where it is."""

    @property
    def text(self) -> str:
        """The commit in a few words."""
        if self.commit is None:
            return f"commit unknown: {self.unknown or 'the record does not say why'}"
        return f"commit {self.commit[:12]}{', with changes' if self.dirty else ''}"


class Provenance(RecordPart):
    """Where the numbers come from. Nothing of it is part of the cell's id."""

    engine_version: int | None = None
    """Raised when a change of the engine moves numbers."""
    git: GitState | None = None
    """None in older records, where the commit was not known."""
    packages: dict[str, str | None] = Field(default_factory=dict)
    """Versions; None for a package that was not installed."""
    python: str | None = None
    """Version of Python."""
    platform: str | None = None
    """Operating system and the kind of processor."""
    processor: str | None = None
    """Name of the processor, or of the GPU where a GPU computed the student; None in older records."""
    instruction_sets: Rows[str] = ()
    """The processor's sets on which rounding depends; empty for a GPU, in older records, and where nobody can tell."""
    kernels: str | None = None
    """The variant of torch's code that ran there, such as `AVX512` or `sm_90`; None in older records."""
    device: str | None = None
    """Where the student computed, such as `cpu` or `cuda:0`."""
    threads: int | None = None
    """Threads per operation on the CPU."""
    command: Rows[str] = ()
    """Arguments of the command that ran the cell."""
    finished: str | None = None
    """UTC time at which the cell was finished, in ISO 8601."""

    @property
    def computed_on(self) -> str | None:
        """The processor with what decides how it rounds, in a few words; None in older records."""
        known = [", ".join(self.instruction_sets), f"{self.kernels} kernels" if self.kernels else ""]
        details = "; ".join(filter(None, known))
        return f"{self.processor} ({details})" if self.processor and details else self.processor


class FileContent(RecordPart):
    """Size and hash of a file in the cell's folder when the record was written."""

    bytes: int
    """Size."""
    sha256: str
    """SHA-256 of its bytes, in hexadecimal."""

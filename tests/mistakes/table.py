"""The mistakes, by what they would spoil, each with the tests that must fail while it is made.

`old` must stand in its file exactly once, so it is short and distinctive; where the source has moved on, the table
must follow. What a mistake does is said by its name; how it is made is the shortest edit that does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A replacement in one file of the source, by its path in the repository."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mistake:
    """`found_by` names tests as pytest does, without cases; `needs` is an optional package that they import."""

    name: str
    edits: tuple[Edit, ...]
    found_by: tuple[str, ...]
    needs: str | None = None


AT_ONCE = "tests/buying/test_purchase_concurrent.py"
BATCH = "tests/student/test_batch.py"
CONTEXT = "tests/cell/test_context.py"
COUNTERFACTUAL = "tests/methods/test_counterfactual.py"
DIVERGENCES = "tests/methods/test_divergences.py"
ENCODING = "tests/student/test_encoding.py"
ELAD_PAGE, ELAD_ROUNDS = "tests/methods/test_elad_page.py", "tests/methods/test_elad_rounds.py"
EVALUATION = "tests/evaluation/test_accuracy.py"
EVIDENCE = "tests/corridor/test_evidence.py"
FIT = "tests/student/test_fit.py"
GENERATION = "tests/student/test_generation.py"
IDENTITY = "tests/cell/test_identity.py"
ISOLATION = "tests/running/test_isolation.py"
EXPECTED = "tests/planning/test_expected_cost.py"
GUARD = "tests/corridor/test_guard.py"
JSONL = "tests/tasks/test_jsonl.py"
LEAKS = "tests/cli/test_leaks.py"
LIVE = "tests/teachers/test_live.py"
ODD = "tests/teachers/test_odd_replies.py"
THINKING = "tests/running/test_thinking_teachers.py"
LOGGERS = "tests/records/test_loggers.py"
PRECISION = "tests/cell/test_precision.py"
OVERLAP = "tests/tasks/test_overlap.py"
PROCESSES = "tests/cli/test_processes.py"
PURCHASE = "tests/buying/test_purchase.py"
RECORD = "tests/records/test_record.py"
ROUNDS = "tests/corridor/test_rounds.py"
RESUME = "tests/corridor/test_resume.py"
RULES = "tests/corridor/test_rules.py"
SIGNALS = "tests/methods/test_teacher_signals.py"
SPLITS = "tests/tasks/test_splits.py"
STEP_BY_STEP = "tests/methods/test_step_by_step.py"
STORE = "tests/teachers/test_store.py"
STREAM = "tests/student/test_stream.py"
SWEEP = "tests/cli/test_sweep.py"

BUY, METER = "benchmark/buying/purchase.py", "benchmark/buying/meter.py"

COLLATED = "    denominators = {name: _denominator(term, examples)"
"""Where a step begins, and every encoded example of it can still be changed."""


def changing_examples(arguments: str) -> str:
    """`COLLATED` behind a line that replaces fields of every encoded example `e` of the step."""
    return f"    width = _longest(examples)\n    examples = [replace(e, {arguments}) for e in examples]\n{COLLATED}"


MISTAKES: Mapping[str, tuple[Mistake, ...]] = {
    "micro-batch mean instead of global mean": (
        Mistake(
            "every micro-batch counts denominators of its own",
            (
                Edit(
                    "benchmark/student/batch.py",
                    "_micro_batch(cut, terms, denominators, padding_id)",
                    "_micro_batch(cut, terms, {n: _denominator(t, cut) for n, t in terms.items()}, padding_id)",
                ),
            ),
            (
                f"{BATCH}::test_unequal_micro_batches_give_the_mean_over_the_step_and_not_the_mean_of_their_means",
                f"{FIT}::test_weights_do_not_depend_on_the_micro_batch_size",
            ),
        ),
        Mistake(
            "the gradient is divided by the number of micro-batches",
            (
                Edit(
                    "benchmark/student/module.py",
                    "torch.stack(list(terms.values())).sum()",
                    "torch.stack(list(terms.values())).sum() / len(batch.micro_batches)",
                ),
            ),
            (f"{FIT}::test_the_size_of_the_gradient_does_not_depend_on_the_micro_batch_size",),
        ),
        Mistake(
            "the loss is a mean over the micro-batch's tokens",
            (Edit("benchmark/axes/loss.py", "(scale * nats).sum()", "nats[scale != 0].mean()"),),
            (
                f"{BATCH}::test_unequal_micro_batches_give_the_mean_over_the_step_and_not_the_mean_of_their_means",
                f"{STEP_BY_STEP}::test_each_task_is_a_mean_over_its_own_tokens_however_the_step_is_cut",
            ),
        ),
    ),
    "prompt or padding tokens in the loss": (
        Mistake(
            "prompt tokens in the loss",
            (
                Edit(
                    "benchmark/student/batch.py",
                    COLLATED,
                    changing_examples(
                        "prompt=e.prompt[:1], target=(*e.prompt[1:], *e.target), "
                        "weights=(*(1.0 for _ in e.prompt[1:]), *e.weights), "
                        "spans=(*(e.spans[0] for _ in e.prompt[1:]), *e.spans)"
                    ),
                ),
            ),
            (
                f"{BATCH}::test_loss_reaches_exactly_the_positions_before_response_tokens",
                f"{BATCH}::test_plain_term_equals_the_loss_that_transformers_computes_from_labels",
                f"{FIT}::test_the_report_counts_real_tokens_response_tokens_and_steps",
            ),
        ),
        Mistake(
            "padding tokens in the loss",
            (
                Edit(
                    "benchmark/student/batch.py",
                    COLLATED,
                    changing_examples(
                        "target=(*e.target, *[padding_id] * (width - e.length)), "
                        "weights=(*e.weights, *[1.0] * (width - e.length)), "
                        "spans=(*e.spans, *[e.spans[-1]] * (width - e.length))"
                    ),
                ),
            ),
            (
                f"{BATCH}::test_padding_changes_neither_loss_nor_gradient_of_a_short_row",
                f"{BATCH}::test_eos_is_learnt_also_where_padding_has_the_same_id",
            ),
        ),
    ),
    "EOS masked": (
        Mistake(
            "EOS masked because its id is that of padding",
            (
                Edit(
                    "benchmark/student/batch.py",
                    COLLATED,
                    changing_examples(
                        "weights=tuple(w * (t != padding_id) for t, w in zip(e.target, e.weights, strict=True))"
                    ),
                ),
            ),
            (
                f"{BATCH}::test_eos_is_learnt_also_where_padding_has_the_same_id",
                f"{FIT}::test_sixteen_examples_are_learnt_by_heart_with_their_end",
            ),
        ),
        Mistake(
            "EOS has weight 0 whatever its id",
            (
                Edit(
                    "benchmark/student/encoding.py",
                    "for owner in owners[:room]),\n            spans",
                    "for owner in owners[:room][:-1]) + (0.0,),\n            spans",
                ),
            ),
            (
                f"{BATCH}::test_eos_is_learnt_also_where_padding_has_the_same_id",
                f"{ENCODING}::test_every_character_token_belongs_to_the_span_of_its_character_and_eos_to_the_last",
            ),
        ),
    ),
    "loss shifted by one": (
        Mistake(
            "a token is predicted from itself",
            (Edit("benchmark/student/batch.py", "e.length) - 1 for e", "e.length) for e"),),
            (f"{BATCH}::test_a_token_is_predicted_from_those_before_it_and_only_them",),
        ),
        Mistake(
            "a token is predicted without the one before it",
            (Edit("benchmark/student/batch.py", "e.length) - 1 for e", "e.length) - 2 for e"),),
            (f"{BATCH}::test_a_token_is_predicted_from_those_before_it_and_only_them",),
        ),
    ),
    "two tasks under one token mean": (
        Mistake(
            "step-by-step has one term for both tasks",
            (
                Edit(
                    "methods/label_and_rationale.py",
                    '        return {\n            "label": Term(',
                    '        return {"label": Term(frozenset({"label", "rationale"}))}\n'
                    '        return {\n            "label": Term(',
                ),
            ),
            (
                f"{STEP_BY_STEP}::test_longer_rationales_do_not_drown_the_labels",
                f"{STEP_BY_STEP}::test_alpha_one_is_label_only_training_on_the_same_batch",
            ),
        ),
        Mistake(
            "all terms share one denominator",
            (
                Edit(
                    "benchmark/student/batch.py",
                    "group_of_example, denominators[name])",
                    "group_of_example, sum(denominators.values()))",
                ),
            ),
            (
                f"{BATCH}::test_two_tasks_as_two_terms_are_two_means_and_not_one_token_mean",
                f"{STEP_BY_STEP}::test_each_task_is_a_mean_over_its_own_tokens_however_the_step_is_cut",
            ),
        ),
    ),
    "test split read before the end": (
        Mistake(
            "the seal is broken before the first round",
            (
                Edit(
                    "benchmark/corridor.py",
                    "self.splits = cell.dataset.load()",
                    "self.splits = cell.dataset.load()\n        self.splits.test.unseal()",
                ),
            ),
            (
                f"{RULES}::test_the_test_split_is_opened_once_and_only_at_the_end",
                f"{RULES}::test_a_teachers_copy_of_the_questions_is_never_the_cells",
            ),
        ),
        Mistake(
            "the seal holds nothing",
            (Edit("benchmark/tasks/dataset.py", "self._sealed = True", "self._sealed = False"),),
            (f"{SPLITS}::test_reading_before_the_seal_is_broken_raises",),
        ),
        Mistake(
            "a part may break the seal",
            (Edit("benchmark/tasks/dataset.py", '        refuse_test("broke the seal of a test split")\n', ""),),
            (f"{GUARD}::test_the_cheat_that_unseals_a_test_split_fails_whatever_it_declared",),
        ),
        Mistake(
            "a seal may be broken twice",
            (Edit("benchmark/tasks/dataset.py", "        if not self._sealed:", "        if False:"),),
            (f"{GUARD}::test_a_seal_is_broken_once",),
        ),
        Mistake(
            "rounds are validated on test questions",
            (
                Edit(
                    "benchmark/running/examination.py",
                    "splits.validation[: self.cell.evaluation.validation_size]",
                    "splits.test._examples[: self.cell.evaluation.validation_size]",
                ),
            ),
            (f"{RULES}::test_every_round_is_judged_on_the_validation_split_and_only_the_end_on_test",),
        ),
    ),
    "a leak that nobody hears of": (
        Mistake(
            "only the annotated questions are looked through, not what was written about them",
            (Edit("benchmark/evaluation/leaks.py", "dict.fromkeys(_texts(annotations))", "()"),),
            (f"{LEAKS}::test_a_teacher_that_quotes_test_questions_is_counted",),
        ),
        Mistake(
            "signs do not make another question",
            (Edit("benchmark/tasks/overlap.py", "_WORD_OR_SIGN.findall(plain) or", "_WORD.findall(plain) or"),),
            (f"{OVERLAP}::test_signs_count",),
        ),
        Mistake(
            "a question is near from one run of words on",
            (Edit("benchmark/tasks/overlap.py", "100 * seen >= NEAR_PERCENT * count", "seen > 0"),),
            (
                f"{OVERLAP}::test_seventy_percent_itself_is_near",
                f"{OVERLAP}::test_a_plain_search_counts_the_same",
                f"{LEAKS}::test_a_run_warns_once_and_record_and_table_hold_the_counts",
            ),
        ),
        Mistake(
            "other datasets get the count of the first",
            (
                Edit(
                    "benchmark/evaluation/leaks.py", "own.fingerprint(), tested.fingerprint()", "own.name, tested.name"
                ),
            ),
            (f"{LEAKS}::test_a_pair_of_datasets_is_counted_once_in_a_process_and_anew_for_other_rows",),
        ),
    ),
    "gold read by a selection": (
        Mistake(
            "gold is given to whoever asks",
            (Edit("benchmark/cell/context.py", "if axis not in self.gold_axes:", "if False:"),),
            (
                f"{RULES}::test_undeclared_gold_fails_the_cell",
                f"{CONTEXT}::test_gold_without_a_declaration_is_a_leak_on_every_axis",
            ),
        ),
        Mistake(
            "what one part declares is given to all",
            (
                Edit(
                    "benchmark/cell/context.py",
                    "if getattr(method, axis).requires().gold)",
                    "if method.requires().gold)",
                ),
            ),
            (f"{RULES}::test_gold_that_one_part_declared_is_not_given_to_another",),
        ),
        Mistake(
            "the guard closes nothing",
            (Edit("benchmark/tasks/guard.py", "return bool(_closed) and not _opened.get()", "return False"),),
            (
                f"{GUARD}::test_the_cheat_that_reads_gold_through_a_dataset_fails",
                f"{GUARD}::test_no_part_of_a_method_reaches_a_dataset",
            ),
        ),
        Mistake(
            "a refusal that a part caught is forgotten",
            (Edit("benchmark/tasks/guard.py", "        stretch.refused.append(error)", "        pass"),),
            (f"{GUARD}::test_a_part_that_catches_its_refusal_fails_all_the_same",),
        ),
        Mistake(
            "what a teacher opened stays open",
            (Edit("benchmark/tasks/guard.py", "        _opened.reset(before)", "        pass"),),
            (f"{GUARD}::test_gold_opened_ends_with_its_block_and_reaches_no_other_thread",),
        ),
        Mistake(
            "a question carries its gold rationale",
            (Edit("benchmark/types/questions.py", "self.choices, self.context)", "self.choices, self.rationale)"),),
            (f"{JSONL}::test_fields_are_kept_and_gold_is_taken_off",),
        ),
    ),
    "a stale cell reused": (
        Mistake(
            "an identity without the source of its parts",
            (Edit("benchmark/cell/identity.py", '"sources": _sources(list(parts.values()))', '"sources": {}'),),
            (
                f"{PROCESSES}::test_a_method_whose_source_changed_is_run_again_by_the_next_process",
                f"{IDENTITY}::test_what_a_method_imports_from_its_own_package_counts",
            ),
        ),
        Mistake(
            "a hash of the source that an earlier process kept",
            (
                Edit(
                    "benchmark/cell/identity.py",
                    "    code = _Undocumented().visit(ast.parse(_source(module)))",
                    '    kept = Path(sys.modules[module].__file__ or "").with_suffix(".kept")\n'
                    "    if not kept.exists():\n"
                    '        kept.write_text(_source(module), encoding="utf-8")\n'
                    '    code = _Undocumented().visit(ast.parse(kept.read_text(encoding="utf-8")))',
                ),
            ),
            (f"{PROCESSES}::test_a_method_whose_source_changed_is_run_again_by_the_next_process",),
        ),
        Mistake(
            "what a method imports does not count",
            (Edit("benchmark/cell/identity.py", "== package and _is_module(name)", '== "" and _is_module(name)'),),
            (f"{IDENTITY}::test_what_a_method_imports_from_its_own_package_counts",),
        ),
        Mistake(
            "rows are known by their ids alone",
            (Edit("benchmark/tasks/dataset.py", "[asdict(row) for row in rows]", "[row.id for row in rows]"),),
            (
                f"{IDENTITY}::test_content_counts_and_its_folder_does_not",
                f"{JSONL}::test_the_fingerprint_follows_the_rows_and_the_splits_not_the_folder",
            ),
        ),
        Mistake(
            "a failed record is taken for a complete one",
            (Edit("benchmark/records/catalog.py", 'if status == "complete":', 'if status in ("complete", "failed"):'),),
            (f"{RECORD}::test_what_stood_there_is_kept", f"{SWEEP}::test_a_failing_cell_stops_no_other"),
        ),
    ),
    "a second W&B cell logged into the first one's run": (
        Mistake(
            "a W&B run is left open and the next cell goes on with it",
            (
                Edit("benchmark/records/loggers.py", 'reinit="create_new"', 'reinit="return_previous"'),
                Edit("benchmark/records/loggers.py", "                logger.close(failed)", "                pass"),
                Edit("benchmark/running/isolation.py", "_torch_switches, _no_wandb_run)", "_torch_switches)"),
            ),
            (f"{LOGGERS}::test_two_cells_of_one_process_have_a_run_each",),
            needs="wandb",
        ),
        Mistake(
            "a W&B run is left open",
            (Edit("benchmark/records/loggers.py", "                logger.close(failed)", "                pass"),),
            (f"{LOGGERS}::test_a_cell_closes_its_run",),
            needs="wandb",
        ),
        Mistake(
            "a W&B run that a part opened outlives the cell",
            (Edit("benchmark/running/isolation.py", "_torch_switches, _no_wandb_run)", "_torch_switches)"),),
            (f"{LOGGERS}::test_a_run_that_a_part_leaves_open_ends_with_its_cell",),
            needs="wandb",
        ),
    ),
    "a W&B run without the curve before a death": (
        Mistake(
            "a resumed cell logs only what it does itself",
            (
                Edit(
                    "benchmark/records/wandb_logger.py",
                    "self._log_again(before(self._earlier, _as_row(metrics, step)))",
                    "self._earlier = ()",
                ),
            ),
            (f"{LOGGERS}::test_a_cell_that_was_killed_goes_on_in_one_run_with_the_whole_curve",),
            needs="wandb",
        ),
        Mistake(
            "a resumed cell logs again what comes after its checkpoint",
            (
                Edit(
                    "benchmark/records/wandb_logger.py",
                    "before(self._earlier, _as_row(metrics, step))",
                    "self._earlier",
                ),
            ),
            (f"{LOGGERS}::test_a_cell_that_was_killed_goes_on_in_one_run_with_the_whole_curve",),
            needs="wandb",
        ),
    ),
    "numbers that depend on how a cell is run": (
        Mistake(
            "dropout at evaluation",
            (Edit("benchmark/student/student.py", "self.network.train(False)", "self.network.train(training)"),),
            (f"{GENERATION}::test_generation_runs_in_evaluation_mode_and_puts_the_mode_back",),
        ),
        Mistake(
            "left padding moves the positions of generated tokens",
            (
                Edit(
                    "benchmark/student/architecture.py",
                    "(mask.cumsum(1) - 1).clamp(min=0)",
                    "torch.arange(mask.shape[1]).expand(len(mask), -1)",
                ),
            ),
            (f"{GENERATION}::test_greedy_text_is_that_of_transformers_generate_in_batches_of_unequal_prompts",),
        ),
        Mistake(
            "a group is cut over micro-batches",
            (
                Edit(
                    "benchmark/student/batch.py",
                    "by_group.setdefault(example.example.group, [])",
                    "by_group.setdefault(str(len(by_group)), [])",
                ),
            ),
            (
                f"{BATCH}::test_micro_batches_hold_every_example_once_in_whole_groups_within_the_limit",
                f"{STEP_BY_STEP}::test_label_and_rationale_of_a_question_are_one_group_and_never_split",
            ),
        ),
        Mistake(
            "a selection draws from numpy's global state",
            (
                Edit(
                    "benchmark/axes/selection.py",
                    'context.rng("order").permutation',
                    '__import__("numpy").random.permutation',
                ),
            ),
            (
                f"{ISOLATION}::test_a_cell_gives_the_same_alone_and_after_others",
                f"{CONTEXT}::test_random_selection_ranks_the_whole_pool_and_follows_the_seed",
            ),
        ),
    ),
    "a loss or a schedule that is slightly another": (
        Mistake(
            "tokens of weight 0 in the denominator",
            (Edit("benchmark/student/batch.py", "weight != 0 and (", "("),),
            (f"{BATCH}::test_weight_zero_is_context_and_out_of_the_denominator",),
        ),
        Mistake(
            "the learning rate is a step ahead",
            (Edit("benchmark/student/stream.py", "else (at + 0.5) / total", "else (at + 1.5) / total"),),
            (
                f"{STREAM}::test_progress_runs_over_the_fit_or_over_the_stage_after_a_fresh_start",
                f"{FIT}::test_a_fit_equals_a_plain_loop_of_adamw_over_single_sequences",
            ),
        ),
        Mistake(
            "rounds that continue a student train all steps each",
            (Edit("benchmark/corridor.py", "replace(cell.optimization, max_steps=steps)", "cell.optimization"),),
            (f"{ROUNDS}::test_the_final_student_has_all_steps_and_every_round_is_validated",),
        ),
        Mistake(
            "the curves of a round begin at step 0 again",
            (
                Edit(
                    "benchmark/student/module.py",
                    "step=self.state.steps_before + self.state.step",
                    "step=self.state.step",
                ),
            ),
            (f"{EVIDENCE}::test_the_logged_step_never_goes_back_and_all_rounds_are_kept",),
        ),
    ),
    "costs and scores that look better than they are": (
        Mistake(
            "a repeated request is asked and charged again",
            (
                Edit(METER, "known = self._got.get(addressed, [])", "known: list[Delivery] = []"),
                Edit(
                    METER,
                    "before, samples = self._charged.get(request, 0), taken[-1]",
                    "before, samples = 0, taken[-1]",
                ),
            ),
            (
                f"{PURCHASE}::test_a_repeated_request_is_charged_once_within_a_purchase",
                f"{ROUNDS}::test_a_request_that_is_repeated_in_a_later_round_is_not_charged_again",
            ),
        ),
        Mistake(
            "a reply that the store held counts as paid",
            (
                Edit(
                    "benchmark/teachers/stored_teacher.py",
                    "key if found[key].buyer == self.buyer else None",
                    "key",
                ),
            ),
            (
                f"{STORE}::test_what_the_store_held_is_charged_and_not_spent",
                f"{STORE}::test_a_second_sweep_calls_nobody_and_is_charged_alike",
            ),
        ),
        Mistake(
            "what was paid for before a death is forgotten",
            (Edit("benchmark/teachers/stored_teacher.py", "found[key].buyer == self.buyer", "False"),),
            (f"{STORE}::test_what_was_paid_for_before_a_death_is_spent_and_never_twice",),
        ),
        Mistake(
            "two processes buy one question",
            (Edit("benchmark/teachers/store.py", "return claim is None or not _stands(*claim)", "return True"),),
            (
                f"{STORE}::test_processes_that_fill_one_store_buy_no_question_twice",
                f"{STORE}::test_a_request_that_a_living_process_buys_is_waited_for",
            ),
        ),
        Mistake(
            "a reply that was cut is replayed for good",
            (
                Edit(
                    "benchmark/teachers/stored_teacher.py",
                    '(finish == "length" and request.cap_is_final)',
                    'finish == "length"',
                ),
            ),
            (f"{STORE}::test_what_is_not_final_is_delivered_and_counted_and_asked_again",),
        ),
        Mistake(
            "a damaged reply is replayed",
            (Edit("benchmark/teachers/stored_reply.py", "!= checksum.hex():", "is None:"),),
            (f"{STORE}::test_a_damaged_row_is_told_and_bought_again",),
        ),
        Mistake(
            "replies of another temperature are replayed",
            (Edit("benchmark/teachers/store_key.py", '"temperature": float(request.temperature),', ""),),
            (f"{STORE}::test_another_request_is_bought",),
        ),
        Mistake(
            "a budget admits one question too many",
            (Edit(BUY, "len(self.open) + 1", "len(self.open)"),),
            (
                f"{PURCHASE}::test_rounds_share_one_budget",
                f"{ROUNDS}::test_each_round_buys_its_share_and_no_question_twice",
            ),
        ),
        Mistake(
            "a budget admits a pick whose worst case does not fit",
            (Edit(BUY, "replace(total + most,", "replace(total + Usage(calls=1),"),),
            (f"{PURCHASE}::test_a_pick_is_admitted_only_if_its_worst_case_fits",),
        ),
        Mistake(
            "questions in flight are admitted as if they cost nothing",
            (Edit(BUY, "self.meter.cost if self.task.done() else self.most", "self.meter.cost"),),
            (
                f"{AT_ONCE}::test_the_admitted_questions_have_a_closed_form",
                f"{AT_ONCE}::test_a_cheap_answer_lets_a_later_question_in_and_what_may_not_fit_waits",
            ),
        ),
        Mistake(
            "what was paid for what no question took is forgotten",
            (Edit("benchmark/teachers/stored_teacher.py", "if payment not in self.booked}", "if False}"),),
            (
                f"{STORE}::test_what_no_question_took_is_settled_once",
                f"{STORE}::test_what_a_failed_request_was_charged_is_settled_and_is_no_call",
            ),
        ),
        Mistake(
            "samples of one request are charged a prompt each",
            (Edit(METER, "self.price.priced(replace(each, prompt_tokens=0))", "each"),),
            (f"{STORE}::test_samples_of_one_request_share_a_prompt_however_they_were_bought",),
        ),
        Mistake(
            "a reply is booked when it comes and not in its question's turn",
            (
                Edit(
                    METER,
                    "        taken = self.asked.get(",
                    "        self.meter.commit({(who, request): (samples,)})\n        taken = self.asked.get(",
                ),
            ),
            (
                f"{AT_ONCE}::test_whoever_answers_first_the_purchase_is_that_of_one_after_the_other",
                f"{AT_ONCE}::test_a_purchase_that_was_cut_goes_on_as_if_it_had_not_been",
            ),
        ),
        Mistake(
            "questions in flight share their notes",
            (Edit(BUY, "self.context.apart()", "self.context"),),
            (f"{AT_ONCE}::test_a_purchase_that_was_cut_goes_on_as_if_it_had_not_been",),
        ),
        Mistake(
            "a server's unusable attempts are charged",
            (
                Edit(
                    "benchmark/teachers/teacher.py",
                    "return self.priced(Usage(1, reply.prompt_tokens, reply.completion_tokens))",
                    "return self.with_waste(reply)",
                ),
            ),
            (f"{LIVE}::test_what_a_server_wastes_is_spent_and_not_charged",),
            needs="openai",
        ),
        Mistake(
            "unreadable answers are left out of the accuracy",
            (
                Edit(
                    "benchmark/evaluation/accuracy.py",
                    "p.correct for p in self.predictions) / len(self.predictions)",
                    "p.correct for p in self.predictions) / sum(p.answer is not None for p in self.predictions)",
                ),
            ),
            (f"{EVALUATION}::test_a_path_of_two_turns_gives_the_first_text_to_the_second",),
        ),
    ),
    "a cell that goes on differs from one that never stopped": (
        Mistake(
            "the stream starts at its first batch again",
            (Edit("benchmark/student/stream.py", "for _ in range(self.position.drawn):", "for _ in range(0):"),),
            (f"{RESUME}::test_killed_at_any_step_training_ends_in_the_same_weights",),
        ),
        Mistake(
            "what was counted is not put back with the weights",
            (
                Edit(
                    "benchmark/student/checkpoint.py",
                    'self.fit_journal.counts.restore(found["tallies"])',
                    "pass",
                ),
            ),
            (f"{RESUME}::test_killed_at_any_step_training_ends_in_the_same_weights",),
        ),
        Mistake(
            "a checkpoint falls inside of one supply",
            (Edit("benchmark/student/stream.py", "if not self.between_supplies:", "if False:"),),
            (f"{RESUME}::test_the_stream_goes_on_where_a_policy_supplied_several_steps",),
        ),
        Mistake(
            "bought questions are bought again",
            (
                Edit(
                    "benchmark/corridor.py",
                    "rest = picks[len(before) :]",
                    "rest = picks[max(0, len(before) - 1) :]",
                ),
            ),
            (f"{RESUME}::test_killed_at_any_question_nothing_is_paid_twice",),
        ),
        Mistake(
            "requests of earlier rounds are forgotten",
            (
                Edit(
                    "benchmark/corridor.py",
                    "for log in self.state.history:\n            self.purchases",
                    "for log in ():\n            self.purchases",
                ),
            ),
            (f"{RESUME}::test_what_an_earlier_round_asked_is_not_paid_for_again",),
        ),
        Mistake(
            "changed weights are taken for whole",
            (
                Edit(
                    "benchmark/records/journal.py",
                    "if file_hash(self.folder / name) == sha256:",
                    "if (self.folder / name).stat().st_size:",
                ),
            ),
            (f"{RESUME}::test_damaged_weights_are_trained_again_from_purchases_that_stay",),
        ),
    ),
    "replies that think, are empty or cannot be read": (
        Mistake(
            "a trace is learnt as part of the reply",
            (Edit(METER, "until_stop(thought_apart(each.reply, self.thinking), request)", "each.reply"),),
            (f"{ODD}::test_a_trace_stands_apart_however_it_is_sent",),
            "openai",
        ),
        Mistake(
            "an answer is read in the middle of a trace that never ends",
            (
                Edit(
                    "benchmark/tasks/thinking.py",
                    '"" if inside else "".join(replies)',
                    '"".join((*replies, *traces)) if inside else "".join(replies)',
                ),
            ),
            (f"{ODD}::test_a_trace_that_never_ends_gives_neither_rationale_nor_answer",),
            "openai",
        ),
        Mistake(
            "another policy for traces buys all replies again",
            (Edit("benchmark/teachers/store_key.py", "if not counts or", "if"),),
            (f"{THINKING}::test_a_policy_is_part_of_the_cell_and_buys_nothing_again",),
            "openai",
        ),
        Mistake(
            "an empty reply is replayed for good",
            (
                Edit(
                    "benchmark/teachers/stored_teacher.py",
                    "return ended and (bool(apart.text.strip()) or reply.continuation_log_probabilities is not None)",
                    "return ended",
                ),
            ),
            (f"{ODD}::test_an_empty_reply_is_paid_once_quoted_and_never_replayed",),
            "openai",
        ),
        Mistake(
            "a cell that learnt nothing fails for ever from its journal",
            (Edit("benchmark/corridor.py", "            self.purchases.forget(round_.index)\n", ""),),
            (f"{THINKING}::test_empty_replies_are_counted_and_quoted_and_bought_anew",),
            "openai",
        ),
        Mistake(
            "every question pays for a form that nobody can read",
            (Edit("benchmark/teachers/live.py", "self._unknown_in_a_row += 1", "self._unknown_in_a_row = 1"),),
            (f"{ODD}::test_a_few_unknown_forms_in_a_row_end_the_purchase",),
            "openai",
        ),
        Mistake(
            "every question tries a server that never answered",
            (Edit("benchmark/teachers/live.py", "            self._ended = error\n", "            pass\n"),),
            (f"{ODD}::test_a_server_that_never_answered_is_not_tried_by_every_question",),
            "openai",
        ),
        Mistake(
            "an answer that a base model gives to a repeated question is taken",
            (
                Edit(
                    "benchmark/tasks/stopping.py",
                    "behind = None if _answers(text[start:place]) else _behind_restated",
                    "behind = _behind_restated",
                ),
            ),
            ("tests/tasks/test_stopping.py::test_what_is_repeated_behind_an_answer_ends_the_reply",),
        ),
    ),
    "a precision that is not what the id says": (
        Mistake(
            "a job settles auto anew",
            (Edit("benchmark/cell/starting_cells.py", "(*settled_overrides(cell), *folders)", "tuple(folders)"),),
            (f"{PRECISION}::test_a_job_computes_in_what_was_planned",),
        ),
        Mistake(
            "the untrained student of a sweep computes in the default",
            (
                Edit(
                    "benchmark/cell/overrides.py", 'if o.lstrip("+").startswith("optimization.precision=")', "if False"
                ),
            ),
            (f"{PRECISION}::test_the_untrained_student_computes_in_the_same",),
        ),
        Mistake(
            "emulated bfloat16 counts",
            (Edit("benchmark/student/hardware.py", "including_emulation=False", ""),),
            ("tests/student/test_hardware.py::test_a_gpu_is_asked_and_not_the_processor",),
        ),
    ),
    "a frozen model reads what is not written for it": (
        Mistake(
            "a teacher reads the student's prompt",
            (Edit("benchmark/student/frozen.py", "own = self._rendered(batch)", "own = batch"),),
            (
                "tests/student/test_rendering.py::"
                "test_a_decoder_teacher_under_an_encoder_decoder_student_reads_its_own_prompt",
            ),
        ),
    ),
    "a plan that promises less than is charged": (
        Mistake(
            "only the first round is rehearsed",
            (Edit("benchmark/planning/expected_cost.py", "sample, round_, known)", "sample, rounds[0], known)"),),
            (f"{EXPECTED}::test_each_round_has_its_own_cost",),
        ),
        Mistake(
            "a rehearsal takes the place of the dearest option",
            (Edit("benchmark/planning/expected_cost.py", "known and not excluding else", "known else"),),
            (f"{EXPECTED}::test_options_without_the_student_are_planned_by_the_dearest",),
        ),
        Mistake(
            "options of one choice are added up",
            (Edit("benchmark/buying/branches.py", "        if request.branch:", "        if False:"),),
            (f"{EXPECTED}::test_a_budget_in_calls_holds_for_the_dearer_option",),
        ),
    ),
    "ELAD": (
        Mistake(
            "an accepted step loses the gap before it",
            (
                Edit(
                    "methods/elad/revision.py", "            kept.append(step)", "            kept.append(_bare(step))"
                ),
            ),
            (
                f"{ELAD_PAGE}::test_a_right_explanation_stays_and_costs_a_call_for_each_step_and_one_for_the_answer",
                f"{ELAD_ROUNDS}::test_what_stands_before_the_flaw_stays_in_any_form",
            ),
        ),
        Mistake(
            "the flaw of a correction is one step late",
            (Edit("methods/elad/revision.py", "max(0, int(flaw[1]) - 1)", "int(flaw[1])"),),
            (
                f"{ELAD_PAGE}::test_a_single_call_finds_the_flaw_and_keeps_the_steps_before",
                f"{ELAD_ROUNDS}::test_what_stands_before_the_flaw_stays_in_any_form",
            ),
        ),
        Mistake(
            "a warm-up round asks the student",
            (Edit("methods/elad/selection.py", "if context.round.warmup or not pool:", "if not pool:"),),
            (f"{ELAD_ROUNDS}::test_the_first_round_asks_the_student_nothing",),
        ),
        Mistake(
            "a rule that is switched off ends a cell",
            (Edit("methods/elad/schedule.py", "return self.least_gain > 0 and", "return"),),
            (f"{ELAD_ROUNDS}::test_a_gain_of_nothing_can_be_switched_off",),
        ),
        Mistake(
            "a separator is all that is left of the first step",
            (Edit("benchmark/evaluation/early_answers.py", '_GAP.sub("", text) if dropped_first else text', "text"),),
            ("tests/evaluation/test_early_answers.py::test_each_step_is_left_out_once_and_no_separator_stands_alone",),
        ),
    ),
    "white-box distillation": (
        Mistake(
            "the skewed mixture has the shares of the two models exchanged",
            (
                Edit(
                    "methods/divergences.py",
                    "kl(log_p, mixed(log_p, log_q, skew))",
                    "kl(log_p, mixed(log_q, log_p, skew))",
                ),
            ),
            (
                f"{DIVERGENCES}::test_the_values_are_the_closed_forms",
                f"{DIVERGENCES}::test_the_gradient_is_the_closed_form",
            ),
        ),
        Mistake(
            "a limit of the alpha-beta divergence divides by the power and not by its square",
            (Edit("methods/divergences.py", "+ other.exp()).sum(-1) / power**2", "+ other.exp()).sum(-1) / power"),),
            (f"{DIVERGENCES}::test_alpha_beta_limits",),
        ),
        Mistake(
            "gaps of the adaptive KL stand in the order of the vocabulary",
            (Edit("methods/divergences.py", "(p - q).abs().gather(-1, order)", "(p - q).abs()"),),
            (f"{DIVERGENCES}::test_adaptive_weights",),
        ),
        Mistake(
            "every term gets the gradient of all terms together",
            (Edit("benchmark/student/weighted_sums.py", "if (gradient == 1).all():", "if True:"),),
            ("tests/student/test_weighted_sums.py::test_values_and_gradients_are_those_of_the_plain_way_in_any_cut",),
        ),
        Mistake(
            "the divergence is not multiplied by the temperature's square",
            (
                Edit(
                    "methods/comparison.py",
                    "self.temperature**2 if self.temperature_squared",
                    "1.0 if self.temperature_squared",
                ),
            ),
            ("tests/methods/test_white_box.py::test_value_and_gradient_of_every_step_are_those_of_whole_sequences",),
        ),
        Mistake(
            "a stored signal is found by its example alone, whatever its prompt and target were",
            (
                Edit(
                    "benchmark/student/kept_signals.py",
                    "SignalKey(example_id(example), _hash_of(prompt, target))",
                    'SignalKey(example_id(example), "")',
                ),
            ),
            (
                f"{SIGNALS}::"
                "test_a_step_on_text_that_was_not_prepared_is_refused_by_name_and_the_next_preparation_computes_it",
            ),
        ),
        Mistake(
            "a teacher's kept score is taken for another format",
            (Edit("benchmark/cell/identity.py", '        "format": cell.method.format,\n', ""),),
            ("tests/running/test_kept_reference.py::test_what_decides_the_score_asks_for_a_test_of_its_own",),
        ),
        Mistake(
            "what the teacher's test had to cut is missing in cells that share it",
            (
                Edit(
                    "benchmark/running/examination.py",
                    "book(Usage(), Counter(found.counts))",
                    "book(Usage(), Counter())",
                ),
            ),
            ("tests/running/test_kept_reference.py::test_cells_with_other_students_and_losses_share_one_test",),
        ),
        Mistake(
            "the bucket of a top-k signal is left out",
            (
                Edit(
                    "methods/divergences.py",
                    'if tail == "drop" or kept.shape[-1] == log_q.shape[-1]:',
                    'if tail != "renormalise" or kept.shape[-1] == log_q.shape[-1]:',
                ),
            ),
            (
                f"{DIVERGENCES}::test_the_rules_for_the_tail_by_hand",
                f"{SIGNALS}::test_a_measured_tail_is_kept_where_rounding_would_leave_nothing_of_it",
            ),
        ),
        Mistake(
            "what an interrupted preparation had computed is booked for nobody",
            (Edit("benchmark/student/kept_signals.py", "for part in store.work_before():", "for part in ():"),),
            (f"{SIGNALS}::test_a_cell_that_is_killed_in_a_preparation_or_a_step_computes_and_books_nothing_twice",),
        ),
        Mistake(
            "own text keeps the task of the example that it replaces, so that cross-entropy learns it",
            (Edit("benchmark/axes/data_policy.py", "[replace(one, task=OWN) for one in written]", "written"),),
            ("tests/methods/test_own_text.py::test_a_cross_entropy_never_covers_own_text",),
        ),
        Mistake(
            "own text is the text of the first step",
            (Edit("benchmark/axes/data_policy.py", 'key=f"step{state.step}"', 'key="step0"'),),
            (
                "tests/methods/test_own_text.py::test_text_comes_from_the_weights_at_its_step_and_ends_where_the_student_ended",
            ),
        ),
        Mistake(
            "the given explanation of a wrong choice is learnt too",
            (Edit("methods/counterfactual.py", 'span = "answer" if self.learns == "answer" else None', "span = None"),),
            (f"{COUNTERFACTUAL}::test_of_scotts_reply_the_answer_alone_is_learnt",),
        ),
        Mistake(
            "the explained wrong choice is the first one for all questions",
            (Edit("methods/counterfactual.py", 'if self.distractor == "first":', 'if self.distractor != "all":'),),
            (f"{COUNTERFACTUAL}::test_a_random_choice_is_never_the_right_one_and_any_other",),
        ),
        Mistake(
            "the weight between multitask and counterfactual training is the same for both",
            (
                Edit(
                    "methods/honey/format.py",
                    "(1 - self.gamma, self.counterfactual)",
                    "(self.gamma, self.counterfactual)",
                ),
            ),
            (f"{COUNTERFACTUAL}::test_all_four_are_gamma_of_two_and_the_rest_of_the_others",),
        ),
        Mistake(
            "the label task learns from the coupling as well",
            (
                Edit(
                    "methods/mutual_information.py",
                    "self._pooled(logits.detach(), batch, LABEL, groups)",
                    "self._pooled(logits, batch, LABEL, groups)",
                ),
            ),
            ("tests/methods/test_mutual_information.py::test_the_gradient_reaches_the_rationale_alone",),
        ),
        Mistake(
            "a begun reply ends in a token for its last space, which no target has",
            (Edit("benchmark/student/encoding.py", 'request.prefix.rstrip(" ")', "request.prefix"),),
            (f"{ENCODING}::test_a_begun_reply_ends_where_a_token_of_training_ends",),
        ),
        Mistake(
            "an encoder reads the begun reply, which the decoder wrote in training",
            (
                Edit(
                    "benchmark/student/fitting.py",
                    "FittedRequest(kept if apart else read, prefix if apart else [], None, room, counts)",
                    "FittedRequest(read, [], None, room, counts)",
                ),
            ),
            ("tests/student/test_architectures.py::test_a_begun_reply_is_read_by_the_decoder",),
            needs="peft",
        ),
        Mistake(
            "the counterfactual task is not shown its explanation",
            (Edit("methods/counterfactual.py", 'f"{prompt}{self.rationale_lead}{explanation}"', "prompt"),),
            (
                "tests/methods/test_golden_batch.py::test_the_texts_of_a_question_letter_by_letter",
                "tests/methods/test_explanations_decide.py"
                "::test_after_counterfactual_training_the_answer_is_what_the_given_explanation_argues_for",
            ),
        ),
        Mistake(
            "both tasks of multitask are asked behind one prefix",
            (Edit("methods/honey/format.py", 'if role == "explain":', "if False:"),),
            ("tests/methods/test_learnt_by_heart.py::test_all_four_tasks_of_honey_are_learnt_by_heart",),
        ),
        Mistake(
            "an explanation that argues for another choice is held against the old answer",
            (
                Edit(
                    "benchmark/evaluation/faithfulness.py",
                    "[found[beginning] == other for beginning, other in wanted.items()]",
                    "[found[beginning] != other for beginning, other in wanted.items()]",
                ),
            ),
            (
                "tests/evaluation/test_faithfulness.py"
                "::test_every_measure_tells_a_student_that_reads_its_explanation_from_one_that_does_not",
            ),
        ),
    ),
}

"""Tables, tests, plots and reports over the records of finished cells.

Reads files only: never imports torch, transformers or `methods`, and of `benchmark` only the schema of the records.
"""

from analysis.output.report.page import write_report
from analysis.records.results import Results, load_results

__all__ = ["Results", "load_results", "write_report"]

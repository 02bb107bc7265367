"""The HTML page: one file without scripts or links, everything from records escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jinja2 import Environment, StrictUndefined

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; }
  h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .3rem .5rem; text-align: left; vertical-align: top; white-space: nowrap; }
  thead th { border-bottom: 2px solid; vertical-align: bottom; white-space: normal; }
  tbody tr { border-bottom: 1px solid #8884; }
  tbody th { font-weight: 600; }
  .number { text-align: right; }
  td.records, td.record { font: 12px/1.75 ui-monospace, monospace; }
  td.records { white-space: normal; min-width: 17em; }
  .error { white-space: normal; min-width: 20em; }
  .notes { max-width: 60rem; margin-top: 2rem; padding-left: 1.2rem; font-size: .9rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{%- if not blocks %}
<p>No cell is complete yet.</p>
{%- endif %}
{%- for heading, columns, rows in blocks %}
<h2>{{ heading }}</h2>
<div class="scroll"><table>
<thead><tr>
{%- for column in columns %}<th scope="col" class="{{ css_class(column) }}">{{ column }}</th>{% endfor -%}
</tr></thead>
<tbody>
{%- for row in rows %}
<tr>
{%- for cell in row -%}
{%- if columns[loop.index0] == "method" -%}
<th scope="row">{{ cell }}</th>
{%- else -%}
<td class="{{ css_class(columns[loop.index0]) }}">{{ cell }}</td>
{%- endif -%}
{%- endfor -%}
</tr>
{%- endfor %}
</tbody>
</table></div>
{%- endfor %}
{%- if notes %}
<ul class="notes">
{%- for note in notes %}
<li>{{ note }}</li>
{%- endfor %}
</ul>
{%- endif %}
</body>
</html>
"""

Block = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, columns, rows."""


def html_page(title: str, blocks: Sequence[Block], notes: Sequence[str], text_columns: Collection[str]) -> str:
    """The page as text; columns that are not among `text_columns` are set to the right."""
    template = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True).from_string(PAGE)

    def css_class(column: str) -> str:
        return column if column in text_columns else "number"

    return template.render(title=title, blocks=blocks, notes=notes, css_class=css_class)

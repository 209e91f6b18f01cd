"""The style sheet and the script that all pages for people share, and the policy that lets only these two run.

A page is one file. It loads nothing, in any browser: its policy allows this style sheet, this script and nothing else,
so a text from a row could not run even if it were not escaped. For the same reason no element has a `style` of its own:
what follows from numbers is an attribute of an SVG element.

The colours have a contrast of at least 4.5 to 1 with the page, light or dark.
"""

import re
from base64 import b64encode
from hashlib import sha256

from markupsafe import Markup, escape

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1c2127; --soft: #59636e; --line: #dde2e7;
  --accent: #0b5cad; --tint: #eaf2fb; --warning: #a8340c; }
@media (prefers-color-scheme: dark) { :root { --page: #121519; --text: #e7eaed; --soft: #9ea8b3; --line: #2e353d;
  --accent: #6fb3ff; --tint: #1a2735; --warning: #ff9f7c; } }
* { box-sizing: border-box; } [hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; color: var(--text);
  background: var(--page); max-width: 72rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1 { font-size: 1rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.125rem; font-weight: 600; line-height: 1.3; margin: 3.5rem 0 1rem; overflow-wrap: break-word; }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p, li { overflow-wrap: anywhere; } p { margin: 0 0 .5rem; max-width: 44rem; }
p.verdict { font-size: clamp(1.7rem, 4.5vw, 2.6rem); font-weight: 650; line-height: 1.15; letter-spacing: -.02em;
  margin: .4rem 0 .75rem; max-width: none; overflow-wrap: break-word; text-wrap: balance; }
.soft, small { color: var(--soft); } small, caption { font-size: .875rem; }
a { color: var(--accent); text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
code, pre { font: .875em/1.5 ui-monospace, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; margin: 0 0 1.5rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
dl.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1.5rem 2rem; margin: 2.5rem 0 2rem; }
dl.figures > div { display: flex; flex-direction: column; }
dl.figures dt { color: var(--soft); font-size: .875rem; }
dl.figures dd { margin: 0; font-size: clamp(1.35rem, 3vw, 1.9rem); font-weight: 600; line-height: 1.25;
  letter-spacing: -.01em; }
dl.figures dd small { display: block; font-size: .875rem; font-weight: 400; line-height: 1.45; letter-spacing: 0;
  margin-top: .2rem; }
svg { display: block; overflow: visible; fill: var(--accent); }
svg text { font-size: 12px; fill: var(--text); } svg text.soft { fill: var(--soft); }
svg .bad, svg.bad { fill: var(--warning); } svg .skipped { fill: var(--soft); } svg .track { fill: var(--line); }
p.legend { margin: .6rem 0 1rem; max-width: none; } .legend > span { margin-right: 1.5rem; white-space: nowrap; }
.legend .bad { color: var(--warning); } .legend .ok, .legend .skipped { color: var(--soft); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 0 4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 2.5rem 4rem; }
figure { margin: 0; min-width: 0; } figure > p { font-size: .875rem; color: var(--soft); margin-bottom: .6rem; }
table { border-collapse: collapse; min-width: min(22rem, 100%); }
caption { text-align: start; color: var(--soft); padding-bottom: .4rem; }
td, th { text-align: start; vertical-align: top; padding: .4rem 1.5rem .4rem 0; border-bottom: 1px solid var(--line);
  unicode-bidi: plaintext; }
th { font-weight: 600; } tr.head th, thead th { color: var(--soft); font-size: .875rem; font-weight: 400; }
td:last-child, th:last-child { padding-right: 0; }
td.n, th.n { text-align: right; white-space: nowrap; } td.text { overflow-wrap: anywhere; }
td.bad { color: var(--warning); } td.when { white-space: nowrap; } table + table { margin-top: 1.25rem; }
td.code { white-space: nowrap; }
.scroll td.text { overflow-wrap: break-word; } .scroll td.long { overflow-wrap: anywhere; }
.scroll td.code { white-space: normal; } p + .scroll { margin-top: 1.5rem; }
.scroll td { padding-right: 1rem; } .scroll { overflow-x: auto; }
table.wide { width: 100%; } table.columns { table-layout: fixed; } .columns th:first-child { width: 25%; }
table.bars { width: 100%; table-layout: fixed; } .bars td, .bars th { border: 0; padding: .2rem .75rem .2rem 0; }
.bars th { font-weight: 400; width: 38%; overflow-wrap: anywhere; }
.bars td { vertical-align: middle; }
.bars td.n { width: 4.5rem; padding-right: .5rem; }
.bars td.share { width: 4rem; color: var(--soft); padding-right: 0; }
.timeline td.what { width: 34%; color: var(--soft); padding: .2rem 0; } .timeline th { width: 24%; }
.timeline td.n { width: 6.5rem; }
.cross table { min-width: 0; } .cross th { font-weight: 400; }
.cross td, .cross thead th:not(:first-child) { text-align: right; padding: .4rem .75rem; }
.cross td { white-space: nowrap; min-width: 6.5rem; } .cross td small { display: inline-block; min-width: 3rem; }
.cross td:last-child { padding-right: .75rem; } .cross td.most { background: var(--tint); font-weight: 600; }
table + p, div + p.soft { margin-top: .75rem; }
details + h3, table + h3, .scroll + h3 { margin-top: 2rem; } details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
details[open] > summary { margin-bottom: 1rem; } td details { margin: .25rem 0 0; }
td details[open] > summary { margin-bottom: .25rem; }
select, input[type="search"] { font: inherit; color: inherit; background: var(--page); border: 1px solid var(--soft);
  border-radius: .3rem; padding: .35rem .6rem; max-width: 100%; }
.menu { margin-bottom: 1rem; } .menu label { margin-right: .5rem; color: var(--soft); }
footer { margin-top: 4rem; font-size: .875rem; }
@media (max-width: 40rem) {
  body { padding: 1.5rem 1rem 3rem; }
  h2 { margin-top: 2.75rem; }
  dl.figures { grid-template-columns: 1fr 1fr; gap: 1.25rem; margin: 1.75rem 0; }
  .charts { gap: 2.25rem; }
  table.wide, .wide thead, .wide tbody, .wide tr, .wide td { display: block; }
  .wide tr { border-bottom: 1px solid var(--line); padding: .6rem 0; } .wide tr.head { display: none; }
  .wide td { border: 0; padding: .1rem 0; } .wide td.n { text-align: start; } .wide td.when { white-space: normal; }
  .wide td[data-label]:empty { display: none; }
  .wide td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
  td.code { white-space: normal; overflow-wrap: break-word; }
  .bars th { width: 38%; } .bars td.share { width: 3.4rem; } .bars td.n { width: 4.6rem; }
  .timeline tr { display: grid; grid-template-columns: 1fr auto; padding: .4rem 0; }
  .timeline th, .timeline td.what, .timeline td.n { width: auto; }
  .timeline td.chart { grid-row: 2; grid-column: 1 / -1; } .timeline td.what { grid-row: 3; grid-column: 1 / -1; }
}
@media print {
  @page { size: A4; margin: 11mm 14mm; }
  :root { font-size: 6px; color-scheme: light; --page: #fff; --text: #000; --soft: #555; --line: #ccc;
    --accent: #0b5cad; --tint: #eaf2fb; --warning: #a8340c; }
  body { font-size: 9px; line-height: 1.3; padding: 0; max-width: none; print-color-adjust: exact; }
  .screen, details, footer, .menu { display: none; }
  p { margin-bottom: 2px; max-width: none; } p.verdict { font-size: 20px; margin: 3px 0 5px; }
  h2 { font-size: 11px; margin: 11px 0 4px; break-after: avoid; } h3, h1 { font-size: 9.5px; margin: 0; }
  small, caption, .soft, figure > p, dl.figures dt, dl.figures dd small, tr.head th, thead th { font-size: 8px; }
  dl.figures { margin: 9px 0; gap: 12px; grid-template-columns: repeat(4, 1fr); } dl.figures dd { font-size: 16px; }
  p.legend { margin: 4px 0; } figure > p { margin-bottom: 3px; }
  .charts { grid-template-columns: 1fr 1fr; gap: 10px 32px; zoom: .75; } figure { break-inside: avoid; }
  .charts .bars td, .charts .bars th { padding: 0 6px 0 0; }
  .bars td.n { width: 48px; } .bars td.share { width: 46px; } .timeline td.n { width: 64px; padding-right: 10px; }
  .charts > figure:nth-child(n + 7), .charts + p { display: none; }
  .bars tr:nth-child(n + 7), .cross tr:nth-child(n + 9), .reasons tr:nth-child(n + 5) { display: none; }
  .pair { grid-template-columns: 1fr 1fr; gap: 0 32px; }
  td, th, .cross td, .cross thead th:not(:first-child), .scroll td { padding: 1px 10px 1px 0; }
  .cross td { min-width: 0; } tr { break-inside: avoid; } svg text { font-size: 9px; }
  a { color: inherit; text-decoration: none; }
}
"""

SCRIPT = """
for (const at of document.querySelectorAll("time"))
  at.textContent = new Date(at.dateTime).toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"});
const menu = document.getElementById("menu"), search = document.getElementById("search");
if (menu) {
  const show = () => {
    for (const each of document.querySelectorAll("[data-choice]")) each.hidden = each.dataset.choice !== menu.value;
  };
  menu.closest("p").hidden = false;
  menu.addEventListener("change", show);
  show();
}
if (search) {
  const rows = [...document.querySelectorAll("#rows tbody tr")], found = document.getElementById("found");
  search.closest("p").hidden = false;
  search.addEventListener("input", () => {
    const text = search.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(text);
    found.textContent = text ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
  });
}
"""


def _allowed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_allowed(STYLE)}; script-src {_allowed(SCRIPT)}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy of all pages."""


def breakable(name: str) -> Markup:
    """Return the name of a file or a folder, which a line may break after a sign, and not within a word."""
    return Markup(re.sub(r"([_/=-]+)(?=\w)", r"\1<wbr>", str(escape(name))))  # noqa: S704  # escaped


GLOBALS = {"policy": POLICY, "style": Markup(STYLE), "script": Markup(SCRIPT), "breakable": breakable}  # noqa: S704  # constants
"""What the frame of every page needs. Style and script are written as they are: the policy has their hashes."""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ title or name }}</title>
<style>{{ style }}</style>
</head>
"""
"""The beginning of every page, up to its body."""

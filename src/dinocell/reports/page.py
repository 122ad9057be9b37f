"""Pages of HTML that need no other file, no script and no network, and the tables on them."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from dinocell.io.saving import atomic_path

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--page:#fff;--line:#d5dae0;--note:#fff4d6}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa5b1;--page:#15181c;--line:#363d46;--note:#3a3010}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1180px;
margin:0 auto;padding:1.5rem 1rem 4rem;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0}h2{margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{margin:1.5rem 0 .3rem}h4{margin:1rem 0 .4rem}p,ul{margin:.5rem 0}small,.soft{color:var(--soft)}
.note{background:var(--note);border-left:4px solid #E69F00;padding:.5rem .8rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.9rem}
.scroll{overflow-x:auto}.dark .key span{background:#444;padding:0 .25rem;border-radius:3px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.8rem 0}
caption{text-align:left;font-weight:600;white-space:nowrap}dt{font-weight:600}dd{margin:0}
th,td{padding:.3rem .5rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
th,td{white-space:nowrap;overflow-wrap:normal}th:first-child{text-align:left}
thead th{vertical-align:bottom;white-space:normal}td small,th small{display:block;font-weight:400}
.key{display:inline-block;margin-right:1.2rem}svg{max-width:100%;height:auto;display:block}
.charts{display:flex;flex-wrap:wrap;gap:0 2rem}.charts>*{min-width:0;max-width:100%}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(480px,100%),1fr));gap:1rem}
.pictures{align-items:start}figure{margin:0}figure:focus{grid-column:1/-1;outline:none}
figcaption{font-size:.85rem}figcaption b{display:block}
img{max-width:100%;height:auto;display:block;cursor:zoom-in}figure:focus img{cursor:default}
details{margin:1.5rem 0;font-size:.9rem}summary{cursor:pointer;color:var(--soft)}a{color:inherit}
.missing{border:1px dashed var(--line);padding:1rem;margin:0}
"""


def write_page(path: Path, title: str, body: str) -> None:
    """Write one HTML file.

    Parameters
    ----------
    path : Path
        An existing file is replaced in one step.
    title : str
        Plain text.
    body : str
        HTML.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    with atomic_path(path) as temporary:
        # A file name that is not Unicode has characters that cannot be encoded.
        temporary.write_text(page, encoding="utf-8", errors="replace", newline="\n")


def html_table(caption: str, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that scrolls on a narrow page; cells are HTML, the first of a row names it."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def fold(title: str, body: str) -> str:
    """Return HTML that shows its title alone until it is clicked."""
    return f"<details><summary>{title}</summary>{body}</details>\n"


def format_score(value: float) -> str:
    """Return a score with three decimals, or a dash where it is undefined."""
    return "–" if math.isnan(value) else f"{value:.3f}"

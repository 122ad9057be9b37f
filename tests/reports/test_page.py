import math

from dinocell.reports.page import format_score, html_table, write_page


def test_a_page_escapes_its_title_and_holds_its_body(tmp_path):
    write_page(tmp_path / "page.html", "a < b \udcff", "<h1>x</h1>")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<title>a &lt; b ?</title>" in text
    assert "<body>\n<h1>x</h1>\n</body>" in text


def test_the_first_cell_of_a_row_names_it():
    table = html_table("Scores", ["dataset", "SEG"], [["val", "0.5"]])
    assert "<caption>Scores</caption>" in table
    assert '<th scope="col">SEG</th>' in table
    assert '<th scope="row">val</th><td>0.5</td>' in table


def test_an_undefined_score_is_a_dash():
    assert (format_score(0.12345), format_score(math.nan)) == ("0.123", "–")

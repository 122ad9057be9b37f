"""Options of `dinocell serve` that cannot be used: one line, before anything is made."""

import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.errors import DINOCellError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-upload", "nan"], "--max-upload is nan, expected a number above 0"),
        (["--max-upload", "inf"], "--max-upload is inf"),
        (["--max-disk", "-1"], "--max-disk is -1"),
        (["--keep", "0"], "--keep is 0"),
        (["--name", ""], "--name is '', expected a host name"),
        (["--name", "http://x"], "--name is 'http://x'"),
        (["--device", "cuda:x"], "--device is 'cuda:x', expected auto, cpu"),
        (["--scheduler", "nonsense"], "--scheduler is 'nonsense', expected an address"),
        (["--folder", "/no/such"], "/no/such does not exist"),
        (["--host", "nonsense.invalid"], "--host nonsense.invalid --port 8765 cannot be used"),
    ],
)
def test_a_wrong_option_says_what_is_expected(tmp_path, options, message):
    data = tmp_path / "data"
    found = CliRunner().invoke(app, ["serve", "--no-browser", "--data", str(data), *options])
    assert isinstance(found.exception, DINOCellError)
    assert message in str(found.exception)


def test_a_token_that_is_too_short_is_not_printed(tmp_path):
    run = CliRunner(env={"DINOCELL_TOKEN": "secret"})
    found = run.invoke(app, ["serve", "--no-browser", "--data", str(tmp_path / "data")])
    assert "DINOCELL_TOKEN has 6 letters, expected 16 or more" in str(found.exception)
    assert "secret" not in str(found.exception)


def test_a_folder_that_cannot_be_made_names_the_option(tmp_path):
    (tmp_path / "file").write_text("")
    found = CliRunner().invoke(app, ["serve", "--no-browser", "--data", str(tmp_path / "file")])
    assert "choose another --data" in str(found.exception)

"""A server that the tests of a module share."""

import pytest

from tests.web.servers import running


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running(tmp_path_factory.mktemp("server")) as (_, found):
        yield found

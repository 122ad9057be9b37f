"""A server that the tests of a module share."""

import pytest

from tests.web.servers import running


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    data = tmp_path_factory.mktemp("server")
    with running(data) as (_, found):
        found.data = data
        yield found

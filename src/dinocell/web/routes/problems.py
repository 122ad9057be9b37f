"""Answers to requests that are wrong, for the description of the API and in our words."""

from typing import Any, get_args

from fastapi.exceptions import RequestValidationError

from dinocell.web.messages import JobName, Problem

_MEANINGS = {
    400: "The request cannot be used.",
    401: "A token is needed.",
    403: "The request comes from another page.",
    404: "Something with that id is not here.",
    409: "Something is not in the state for it.",
    413: "It is too large.",
    415: "The file cannot be read.",
    421: "The name is not that of this server.",
    429: "Too many jobs wait.",
    501: "A package is not installed.",
    507: "There is no room left.",
}

Responses = dict[int | str, dict[str, Any]]
"""Descriptions of answers by status, as FastAPI takes them."""

PROBLEMS: Responses = {
    status: {"model": Problem, "description": meaning} for status, meaning in _MEANINGS.items()
}
"""For ``responses`` of a route."""


_TAGS = {*get_args(JobName), "add", "delete", "merge", "paint", "split"}
"""Names of alternatives, which pydantic puts before the fields of each."""


def explain_request(error: RequestValidationError) -> str:
    """Describe the first problem of a request in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:] if part not in _TAGS) or str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r:.100}: leave it out"
    if first["type"] == "missing":
        return f"{where:.100} is missing: give it"
    if first["type"] == "union_tag_invalid":
        found = first["ctx"]
        return f"{found['discriminator']} is {found['tag']!r:.60}, expected one of {found['expected_tags']}"
    if first["type"] == "union_tag_not_found":
        return f"{first['ctx']['discriminator']} is missing: give it"
    if first["type"] in ("json_invalid", "model_attributes_type", "dict_type"):
        return "the request is not a JSON object, expected one"
    words = str(first["msg"]).replace("Value error, ", "").replace("Input should be", "expected")
    return f"{where:.100}: {words:.300}"

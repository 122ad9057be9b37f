"""All kinds of jobs. To add one, write its class and list it here."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from dinocell.web.jobs.fine_tune import FinetuneJob, FinetuneRequest
from dinocell.web.jobs.job_kind import JobKind
from dinocell.web.jobs.measure import MeasureJob, MeasureRequest
from dinocell.web.jobs.segment import SegmentJob, SegmentRequest
from dinocell.web.jobs.segment_large import SegmentLargeJob, SegmentLargeRequest

KINDS: dict[str, JobKind] = {
    each.name: each for each in (SegmentJob(), SegmentLargeJob(), MeasureJob(), FinetuneJob())
}
"""Kinds by name."""

AnyRequest = Annotated[
    SegmentRequest | SegmentLargeRequest | MeasureRequest | FinetuneRequest, Field(discriminator="kind")
]
"""Request of any kind."""

REQUESTS: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)

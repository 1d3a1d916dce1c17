"""A CloudWatch metric that an alarm or a graph of the template refers to."""

from dataclasses import dataclass

from tests.template.deployment import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric with one statistic.

    The value of a dimension is text, or a reference to a resource of the stack.
    """

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str | Reference]]
    stat: str

    @property
    def resource(self) -> str:
        """The logical id of the resource that its only dimension names."""
        ((_, value),) = self.dimensions
        assert isinstance(value, Reference), self
        return value.logical_id

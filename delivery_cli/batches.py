"""Splitting items into batches that a service accepts."""

from collections.abc import Callable, Iterable, Iterator


def split_into_batches[T](
    items: Iterable[T], *, max_items: int, max_bytes: int, size_of: Callable[[T], int]
) -> Iterator[list[T]]:
    """Yield the items in order, in batches within both limits.

    An item that is larger than `max_bytes` is a batch of its own.
    """
    batch: list[T] = []
    batch_bytes = 0
    for item in items:
        size = size_of(item)
        if batch and (len(batch) == max_items or batch_bytes + size > max_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size
    if batch:
        yield batch

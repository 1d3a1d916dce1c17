"""As many at once as whoever takes them allows, by number and by size."""

from collections.abc import Callable, Iterable, Iterator


def batches[T](
    things: Iterable[T], *, most: int, most_bytes: int, size: Callable[[T], int]
) -> Iterator[list[T]]:
    """The things in their order, each batch as full as it may be; a larger one goes alone."""
    batch: list[T] = []
    bytes_in_it = 0
    for thing in things:
        length = size(thing)
        if batch and (len(batch) == most or bytes_in_it + length > most_bytes):
            yield batch
            batch, bytes_in_it = [], 0
        batch.append(thing)
        bytes_in_it += length
    if batch:
        yield batch

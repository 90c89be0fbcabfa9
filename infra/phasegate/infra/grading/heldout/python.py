"""Generators of inputs for sealed Python tests, named as Hypothesis names its own; laid into the test file.

Names of it are seen by code under test where that looks at its callers, so none is bound in the test file for long. It
must not spell what tests do that read their own names: their names are left to them in a plain process.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
import string
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

SEED = 0


class Generator:
    """A source of inputs."""

    def __init__(self, draw: Callable[[random.Random], Any]) -> None:
        """Take the function that draws one input from a source of random numbers."""
        self.draw = draw

    def map(self, change: Callable[[Any], Any]) -> Generator:
        """Inputs made of these."""
        return Generator(lambda chance: change(self.draw(chance)))

    def filter(self, fits: Callable[[Any], object]) -> Generator:
        """The same inputs, without those that do not fit."""

        def draw(chance: random.Random) -> Any:
            for _ in range(1000):
                drawn = self.draw(chance)
                if fits(drawn):
                    return drawn
            raise ValueError("hardly any input fits the filter")

        return Generator(draw)


class Unfit(Exception):
    """An input that a property says nothing about."""


def assume(fits: object) -> None:
    """Leave out an input that a property says nothing about."""
    if not fits:
        raise Unfit


class DrawnInputs:
    """Inputs of a property, drawn anew each time that they are gone through."""

    def __init__(self, name: str, generators: Sequence[Generator], named: dict[str, Generator], examples: int) -> None:
        """Take the property's name, generators by place and by name, and a number of inputs."""
        self.name, self.generators, self.examples = name, [*generators, *named.values()], examples
        self.held, self.fits, self.tried = True, True, 0

    def __iter__(self) -> Iterator[Any]:
        chance = random.Random(f"{SEED} {self.name}")  # noqa: S311 - to be drawn again from its seed
        self.held, self.tried = True, 0
        for _ in range(self.examples * 10):
            self.fits = True
            yield [generator.draw(chance) for generator in self.generators]
            self.tried += self.fits
            if not self.held or self.tried == self.examples:
                return

    def note(self) -> None:
        """Note the error that is being handled, and go on unless it tells that the property has no outcome."""
        error = sys.exc_info()[1]
        self.fits = False
        if not isinstance(error, Unfit):
            self.held = False
            if error and not isinstance(error, Exception) and "Failed" not in str(type(error)):
                raise error

    def end(self) -> None:
        """Tell that the property does not hold, without the input: the error itself may quote it."""
        if not self.held:
            raise AssertionError(f"the property {self.name} does not hold for a held-out input")
        if not self.tried:
            raise AssertionError(f"the property {self.name} was tried with no input: none fits")


def given(*generators: Generator, examples: int = 100, **named: Generator) -> Callable[[Callable[..., Any]], Any]:
    """Make a test of a property: it is called with inputs drawn anew in each grade."""
    size, names = len(generators), list(named)

    def decorate(call: Callable[..., Any]) -> Any:
        rows = DrawnInputs(str(call).split()[1].rpartition(".")[2], generators, named, examples)

        @functools.wraps(call)
        def test(*own: Any) -> None:
            for row in rows:
                words = dict(zip(names, row[size:]))  # noqa: B905 - Python 3.8 is to run it
                try:
                    call(*own, *row[:size], **words)
                except BaseException:  # noqa: BLE001 - whatever the code under test raises
                    rows.note()
                del row, words
            rows.end()

        del test.__wrapped__
        return test

    return decorate


def _edges(edges: list[Any], draw: Callable[[random.Random], Any]) -> Generator:
    return Generator(lambda chance: chance.choice(edges) if edges and chance.random() < 0.2 else draw(chance))


def integers(min_value: int | None = None, max_value: int | None = None) -> Generator:
    """Whole numbers, small and large, in bounds that are included."""
    low = min_value if min_value is not None else min(-(10**6), (max_value or 0) - 10**6)
    high = max_value if max_value is not None else max(10**6, (min_value or 0) + 10**6)
    edges = [edge for edge in (low, high, 0, 1, -1) if low <= edge <= high]

    def draw(chance: random.Random) -> int:
        near = low + chance.randrange(min(100, high - low + 1))
        return near if chance.random() < 0.3 else chance.randint(low, high)

    return _edges(edges, draw)


def floats(min_value: float = -1e6, max_value: float = 1e6) -> Generator:
    """Finite numbers in bounds."""
    edges = [edge for edge in (min_value, max_value, 0.0, 1.0, -1.0, 0.5) if min_value <= edge <= max_value]
    return _edges([float(edge) for edge in edges], lambda chance: chance.uniform(min_value, max_value))


def booleans() -> Generator:
    """True and False."""
    return sampled_from([True, False])


def none() -> Generator:
    """None alone."""
    return just(None)


def just(value: object) -> Generator:
    """The same value each time."""
    return Generator(lambda _: value)


def sampled_from(values: Iterable[Any]) -> Generator:
    """Members of a collection."""
    known = list(values)
    return Generator(lambda chance: chance.choice(known))


def one_of(*generators: Generator) -> Generator:
    """Inputs of several generators."""
    return Generator(lambda chance: chance.choice(generators).draw(chance))


def characters(alphabet: str | None = None) -> Generator:
    """Single characters."""
    known = (
        alphabet or string.ascii_letters + string.digits + string.punctuation + " \t\u00e4\u00df\u0130\u6f22\U0001f600"
    )
    return Generator(lambda chance: chance.choice(known))


def text(alphabet: str | None = None, min_size: int = 0, max_size: int = 20) -> Generator:
    """Texts; of ASCII, of letters with accents, and of other scripts."""
    return lists(characters(alphabet), min_size, max_size).map("".join)


def binary(min_size: int = 0, max_size: int = 20) -> Generator:
    """Bytes."""
    return lists(integers(0, 255), min_size, max_size).map(bytes)


def lists(elements: Generator, min_size: int = 0, max_size: int = 10) -> Generator:
    """Lists."""
    return Generator(lambda chance: [elements.draw(chance) for _ in range(chance.randint(min_size, max_size))])


def sets(elements: Generator, min_size: int = 0, max_size: int = 10) -> Generator:
    """Sets."""
    return lists(elements, min_size, max_size).map(set).filter(lambda drawn: len(drawn) >= min_size)


def tuples(*elements: Generator) -> Generator:
    """Tuples, a generator for each place."""
    return Generator(lambda chance: tuple(element.draw(chance) for element in elements))


def dictionaries(keys: Generator, values: Generator, min_size: int = 0, max_size: int = 10) -> Generator:
    """Dictionaries."""
    return lists(tuples(keys, values), min_size, max_size).map(dict).filter(lambda drawn: len(drawn) >= min_size)


def dates() -> Generator:
    """Dates of two centuries, leap days among them."""
    first = dt.date(1900, 1, 1).toordinal()
    leap = [dt.date(2000, 2, 29), dt.date(1999, 12, 31)]
    return _edges(leap, lambda chance: dt.date.fromordinal(first + chance.randrange(73000)))


def datetimes() -> Generator:
    """Dates with a time of day, without a zone."""
    first = dt.datetime(1900, 1, 1)  # noqa: DTZ001 - without a zone, as it says
    return Generator(lambda chance: first + dt.timedelta(seconds=chance.randrange(6_300_000_000)))

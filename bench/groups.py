"""The one list of groups, in the order of the report."""

from . import (
    cases_asyncio,
    cases_binlog,
    cases_caching,
    cases_client,
    cases_compat,
    cases_errors,
    cases_fleet,
    cases_hash,
    cases_large,
    cases_memcache,
    cases_murmur,
    cases_oihash,
    cases_placement,
    cases_pools,
    cases_scale,
    cases_sharded,
    cases_sql,
    cases_sql_sharding,
    cases_writes,
)
from .model import Group

__all__ = ["GROUPS", "group_named"]

GROUPS: tuple[Group, ...] = (
    *cases_hash.GROUPS,
    *cases_murmur.GROUPS,
    *cases_oihash.GROUPS,
    *cases_placement.GROUPS,
    *cases_memcache.GROUPS,
    *cases_client.GROUPS,
    *cases_writes.GROUPS,
    *cases_compat.GROUPS,
    *cases_sharded.GROUPS,
    *cases_scale.GROUPS,
    *cases_fleet.GROUPS,
    *cases_large.GROUPS,
    *cases_asyncio.GROUPS,
    *cases_sql.GROUPS,
    *cases_sql_sharding.GROUPS,
    *cases_binlog.GROUPS,
    *cases_errors.GROUPS,
    *cases_pools.GROUPS,
    *cases_caching.GROUPS,
)


def group_named(name: str) -> Group:
    """Return the group of that name."""
    return next(group for group in GROUPS if group.name == name)

"""Fixtures of tests that take a part's steps one by one."""

from tests.support.step_fixtures import admin, flows, installation, records, steady_memory

__all__ = ["admin", "flows", "installation", "records", "steady_memory"]

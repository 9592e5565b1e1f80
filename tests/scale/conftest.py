"""Fixtures of tests that measure a part's steps."""

from tests.support.step_fixtures import admin, flows

__all__ = ["admin", "flows"]

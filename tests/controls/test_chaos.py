"""Chaos with a guard taken away from outside: the verdict has to be able to fail."""

from pathlib import Path

import pytest

from tests.e2e.chaos import run_chaos

pytestmark = pytest.mark.rabbitmq

#: Sales believes whatever it is told of a delivery, old news too.
WITHOUT_VERSIONS = """
@after_import("sales.following")
def believe_old_news(module):
    def keep_any_pair(self, message):
        if message.delivery_version is None:
            return False
        self.delivery_status, self.delivery_version = message.delivery_status, message.delivery_version
        self.changed = self.awaited = True
        return True
    module._Following._keep_newest_pair = keep_any_pair
"""


def test_without_the_delivery_version_old_news_moves_orders_back(tmp_path: Path) -> None:
    ran = run_chaos(tmp_path, seed=1, minutes=0.5, orders=150, patch=WITHOUT_VERSIONS)
    assert ran.patched("sales.following"), ran.said
    assert ran.code == 1, ran.said
    assert "delivery_version" in ran.violations, ran.said
    assert ran.verdict["violations"] > 0

"""What is wrong with a request is said before the database is asked."""

import pytest

from chassis.settings import Settings
from inventory.app import create_app

ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"
PRODUCT = {"sku": "LAMP-1", "name": "Lamp", "price": "5.00"}
MOVEMENT = {"quantity": 1, "reason": "counted"}


@pytest.mark.parametrize(("path", "body"), [("/products", PRODUCT), (f"/products/{ID}/stock", MOVEMENT)])
def test_an_idempotency_key_against_the_rules_is_refused_by_its_name(path, body):
    client = create_app(Settings(inventory_database_url="postgresql://nobody@127.0.0.1:1/nothing")).test_client()
    answer = client.post(path, json=body, headers={"Idempotency-Key": ""})
    assert (answer.status_code, [each["field"] for each in answer.json["errors"]]) == (422, ["Idempotency-Key"])

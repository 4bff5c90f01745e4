"""THE table of public routes: which request goes to which service.

What is not here is not public. Paths are the same inside and outside; a method differs where the services keep the
verb they were designed with.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of public request."""

    method: str
    path: str
    service: str
    #: The method that the service knows it by; empty for the same one.
    inner_method: str = ""
    #: Makes a row: an Idempotency-Key is honoured.
    creates: bool = False
    #: Starts a saga: ``Prefer: wait=N`` is honoured.
    waits: bool = False
    #: A POST that changes nothing the second time, or nothing at all: it may be sent to the service again.
    repeatable: bool = False

    @property
    def reads(self) -> bool:
        """True when the request changes nothing, whatever becomes of it."""
        return self.method == "GET" or self.path == "/check-availability"


ROUTES = (
    Route("POST", "/orders", "sales", creates=True, waits=True),
    Route("GET", "/orders", "sales"),
    Route("GET", "/orders/<uuid:order_id>", "sales"),
    Route("PATCH", "/orders/<uuid:order_id>/status", "sales", inner_method="PUT", waits=True),
    Route("POST", "/orders/<uuid:order_id>/cancel", "sales", waits=True, repeatable=True),
    Route("GET", "/orders/<uuid:order_id>/events", "sales"),
    Route("POST", "/customers", "sales", creates=True),
    Route("GET", "/customers", "sales"),
    Route("GET", "/customers/<uuid:customer_id>", "sales"),
    Route("POST", "/products", "inventory", creates=True),
    Route("GET", "/products", "inventory"),
    Route("GET", "/products/<uuid:product_id>", "inventory"),
    Route("PATCH", "/products/<uuid:product_id>", "inventory"),
    Route("POST", "/products/<uuid:product_id>/stock", "inventory", creates=True),
    Route("GET", "/products/<uuid:product_id>/movements", "inventory"),
    Route("POST", "/check-availability", "inventory", repeatable=True),
    Route("GET", "/deliveries", "delivery"),
    Route("GET", "/deliveries/<serial_or_uuid:delivery_id>", "delivery"),
    Route("GET", "/deliveries/<serial_or_uuid:delivery_id>/events", "delivery"),
    Route("GET", "/deliveries/order/<uuid:order_id>", "delivery"),
    Route("PATCH", "/deliveries/<serial_or_uuid:delivery_id>/status", "delivery"),
)

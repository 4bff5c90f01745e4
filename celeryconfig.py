"""THE queue topology, one table from task to queue, and the delivery policy of every worker.

Nothing else names a queue. A queue belongs to the service that consumes it: the part of the task's name before the dot.
Each queue has ``<queue>.dead`` behind it, for what never reached a step (an unknown task, a body that is no message).
"""

from kombu import Connection, Exchange, Queue

from chassis.errors import SettingsError
from chassis.settings import settings as _read_settings
from chassis.sockets import GIVE_UP_AFTER, OPTIONS

QUEUE_OF_TASK = {
    # place:  check, price, reserve, dispatch, confirm
    "inventory.check_availability": "inventory_check_queue",  # sales -> inventory
    "sales.record_inventory_response": "inventory_response_queue",  # inventory -> sales
    "inventory.reserve_stock": "stock_reservation_queue",  # sales -> inventory
    "delivery.create_delivery": "delivery_queue",  # sales -> delivery
    "sales.update_order_status": "order_status_queue",  # delivery -> sales
    # cancel: stop the parcel, give the stock back, confirm
    "delivery.cancel_delivery": "delivery_queue",
    "inventory.release_stock": "stock_release_queue",
    # an operator's move of a parcel, the sweeper's question, what could not be worked on
    "delivery.update_delivery": "delivery_queue",
    "delivery.report_status": "delivery_queue",
    "sales.record_fault": "order_status_queue",
}

#: Routing keys are queue names and have no dots: kombu binds ``#.<key>`` for delays, which would cross-match suffixes.
EXCHANGE = Exchange("conveyor", type="topic", durable=True)
DEAD_EXCHANGE = Exchange("conveyor_dead", type="direct", durable=True)

#: Deliveries until the broker gives a message up: never. Faults are counted and settled by the step (tasks/step.py).
#: The broker counts innocent messages too, that were handed back because a database was away, or that waited behind
#: one that killed its worker. Not left out: RabbitMQ 4 then drops a message after 20, and 3 puts one that is handed
#: back behind all others.
DELIVERY_LIMIT = 1_000_000
#: What it was in the queues of the releases up to 0.2.0; `conveyor topology` moves them (tasks/moving.py).
DELIVERY_LIMIT_BEFORE = 100


def queues_of(service: str) -> list[str]:
    """The queues that a service's workers consume."""
    return sorted({queue for task, queue in QUEUE_OF_TASK.items() if task.startswith(f"{service}.")})


def work_queue(name: str, limit: int = DELIVERY_LIMIT) -> Queue:
    """A queue that workers consume."""
    return Queue(
        name,
        EXCHANGE,
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": limit,
            "x-dead-letter-exchange": DEAD_EXCHANGE.name,
            "x-dead-letter-routing-key": name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def dead_queue(name: str) -> Queue:
    """Where the broker puts what the queue of this name could not deliver."""
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    return Queue(f"{name}.dead", DEAD_EXCHANGE, routing_key=name, durable=True, queue_arguments=arguments)


try:
    _settings = _read_settings()
except SettingsError as error:  # celery's own command line would show it as a traceback
    raise SystemExit(f"conveyor: {error}") from None
#: Where there is no RabbitMQ, a Valkey stands in: no confirms, no dead letters, redelivery after a time-out.
STAND_IN = _settings.broker_url.startswith(("redis://", "rediss://"))

broker_url = _settings.broker_url
result_backend = _settings.redis_url or None
redis_socket_timeout = 2
redis_socket_connect_timeout = 1
redis_socket_keepalive = True

task_queues = [work_queue(name) for name in sorted(set(QUEUE_OF_TASK.values()))]
task_routes = {task: {"queue": queue} for task, queue in QUEUE_OF_TASK.items()}
task_create_missing_queues = False
task_default_delivery_mode = 2
task_serializer = "json"
accept_content = ["json"]
task_protocol = 2

# A message is acknowledged when its work is committed. What raises out of a step is dead-lettered, not lost.
task_acks_late = True
task_acks_on_failure = False
task_acks_on_timeout = False
task_reject_on_worker_lost = True
task_ignore_result = True

worker_prefetch_multiplier = 1 if STAND_IN else 4
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False

# A worker that has lost its connection is back before RabbitMQ knows that the old one is dead. A control queue that is
# exclusive would still be the old one's then, and the worker would end. RabbitMQ means to allow only durable others.
control_queue_exclusive = False
control_queue_durable = True

broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# A channel that the broker closes (its consumer held a message for too long, say) is opened anew, as a connection is.
broker_channel_error_retry = True
#: Seconds: the broker and we each say something within half of it, and give each other up after twice as long.
broker_heartbeat = 5
# One RabbitMQ queue for each power of two seconds; nothing here is ever delayed, so they need not be replicated.
broker_native_delayed_delivery_queue_type = "classic"
#: Seconds after which the stand-in broker gives a killed worker's messages to another.
VISIBILITY_TIMEOUT = 60
_TO_RABBITMQ = {
    # Beside the heartbeats, which nobody reads while something else is waited for.
    "socket_settings": OPTIONS,
    # For each answer of the broker's that is waited for: to a declaration, say.
    "read_timeout": GIVE_UP_AFTER,
}
_TO_STAND_IN = {
    "visibility_timeout": VISIBILITY_TIMEOUT,
    # Looks for them every ten seconds; each tenth time, were this not said.
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "socket_keepalive_options": OPTIONS,
}
broker_transport_options = _TO_STAND_IN if STAND_IN else _TO_RABBITMQ


def connection_to(url: str, connect_timeout: float = 5.0, heartbeat: int = 0) -> Connection:
    """A connection to a broker, opened on first use; one that went silent is noticed.

    Whoever asks for a ``heartbeat`` (seconds) calls its ``heartbeat_check()`` at least that often.
    """
    options = _TO_STAND_IN if url.startswith(("redis://", "rediss://")) else _TO_RABBITMQ
    return Connection(url, connect_timeout=connect_timeout, heartbeat=heartbeat, transport_options=options)

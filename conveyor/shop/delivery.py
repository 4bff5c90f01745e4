"""``conveyor delivery``."""

from urllib.parse import quote

import click

from conveyor.client import JSON, Gateway, Refused
from conveyor.shop import shown
from conveyor.shop.options import LARGEST_PAGE, AsJson, Listing, gateway, listed, none_of, telling_what_is_allowed
from conveyor.terminal import say, say_json
from conveyor.words import Words

STATUSES = ("PENDING", "IN_TRANSIT", "DELIVERED", "FAILED", "CANCELLED")
#: What a courier scans; a delivery is cancelled with its order.
SCANNED = STATUSES[1:4]
#: A log that is shown with its delivery has so many entries at most; then there may be older ones.
SHOWN_ENTRIES = 100

Named = click.argument("named", type=Words(), metavar="ID|ORDER")


@click.group()
def delivery() -> None:
    """See where the parcels are, and report scans of them.

    \b
      conveyor delivery list --status FAILED
      conveyor delivery move ID IN_TRANSIT --location "Hub Lyon-Est" --at 2026-11-22T09:30:00Z

    A delivery is named by its own id or by that of its order. `conveyor order cancel` stops a parcel.
    """


@delivery.command("list")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those that are this.")
@Listing
def list_(
    status: str | None, after: str | None, before: str | None, oldest_first: bool, limit: int, as_json: bool
) -> None:
    """List deliveries, newest first.

    \b
      conveyor delivery list --status PENDING --oldest-first
      conveyor delivery list --after 2026-11-22T00:00:00Z --limit 1000 --json | jq -r '.[].order_id'
    """
    sort = "created_at" if oldest_first else None
    found = listed(
        gateway(), "/deliveries", limit, status=status, created_after=after, created_before=before, sort=sort
    )
    if as_json:
        say_json(found)
    elif found:
        say(*shown.deliveries(found))
    else:
        say(none_of("deliveries", status, after, before))


@delivery.command()
@Named
@AsJson
def show(named: str, as_json: bool) -> None:
    """Show a delivery: its order, its address, and all scans of it.

    \b
      conveyor delivery show 0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4
    """
    at = gateway()
    found = _found(at, named)
    if len(found["log"]) >= SHOWN_ENTRIES:
        found["log"] = list(at.every(f"/deliveries/{found['id']}/events", limit=LARGEST_PAGE))
    _show(found, as_json)


@delivery.command(short_help="Report a scan of a parcel.")
@Named
@click.argument("status", type=click.Choice(SCANNED, case_sensitive=False))
@click.option("--location", type=Words(), help="Where the parcel is.")
@click.option("--notes", type=Words(), help="What else there is to say.")
@click.option("--at", "occurred_at", metavar="TIME", type=Words(), help="When it happened; ISO 8601. Else: now.")
@click.option("--event-id", type=Words(), help="The courier's own name for the scan: the same one is kept once.")
@AsJson
def move(named: str, status: str, location: str | None, notes: str | None, as_json: bool, **told: str | None) -> None:
    """Report a scan: a parcel is on its way, was delivered, or could not be delivered. Its order follows.

    \b
      conveyor delivery move 0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4 IN_TRANSIT --location "Hub Lyon-Est"
      conveyor delivery move 0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4 FAILED --notes "nobody at home"
      conveyor delivery move 0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4 DELIVERED --at 2026-11-22T16:05:00+01:00

    The latest scan decides, in whatever order they are reported, and DELIVERED stays. Every one is kept.
    """
    at = gateway()
    found = _found(at, named)
    given = {name: value for name, value in told.items() if value is not None}
    body: JSON = {"status": status, "location": location, "notes": notes, **given}
    with telling_what_is_allowed():
        _show(at.patch(f"/deliveries/{found['id']}/status", body).body, as_json)


def _found(at: Gateway, named: str) -> JSON:
    """The delivery with this id, or of the order with this id. Raises GatewayError."""
    try:
        found: JSON = at.get(f"/deliveries/{quote(named, safe='')}").body
    except Refused as refusal:
        if refusal.status != 404:
            raise
        found = at.get(f"/deliveries/order/{quote(named, safe='')}").body
    return found


def _show(found: JSON, as_json: bool) -> None:
    if as_json:
        say_json(found)
    else:
        say(*shown.delivery(found))

"""Shared infrastructure, with not one business word in it.

| concern                                              | module      |
|------------------------------------------------------|-------------|
| settings, read once from the environment             | settings    |
| engine, sessions, the one ``transaction()``          | database    |
| the outbox table and ``enqueue()``                   | outbox      |
| waking the relay after a commit                      | wake        |
| attempts at a message that may kill its worker       | attempts    |
| the error tree                                       | errors      |
| the base Flask app, problem+json, health             | web         |
| what the OpenAPI document says of refusals           | openapi     |
| the OpenAPI document, completed, and its page        | documents   |
| routes that take JSON                                | blueprints  |
| the fields of request bodies                         | fields      |
| cursors of lists                                     | paging      |
| a request sent twice makes one row                   | idempotency |
| Redis with short timeouts; announcing what has ended | cache       |
| hearing what was announced                           | listening   |
| structured logs, correlation ids                     | logs        |
| saying that a process is at work                     | ready       |
| running an Alembic history                           | migrations  |
"""

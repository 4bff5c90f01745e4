"""The servers and processes of ``conveyor run``, on a machine that has none of them.

| what                                             | module     |
|--------------------------------------------------|------------|
| a process, its record on disk, passwords         | processes  |
| ports that are free, or have to be               | ports      |
| what is supervised: a process that serves, a job | unit       |
| what PostgreSQL, Valkey and RabbitMQ share       | server     |
| the three servers                                | postgres, valkey, rabbitmq |
| starting, watching and stopping all of it        | supervisor |

A server is given its directory and its port and keeps no global state, so a test can have as many as it
likes: ``Postgres(tmp_path / "postgres", free_port()).start()``.
"""

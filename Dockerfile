# One image for every process of ours; the command says which: `docker run ... conveyor worker inventory`.
# Builds with BuildKit and without it.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/conveyor
WORKDIR /src
# What we stand on changes seldom: a layer of its own, so that a change to our code installs only our code.
COPY setup.cfg ./
RUN python -c "from configparser import ConfigParser as P; p = P(); p.read('setup.cfg'); print(p['options']['install_requires'])" >requirements.txt \
 && /opt/conveyor/bin/pip install -r requirements.txt
COPY . ./
RUN /opt/conveyor/bin/pip install --no-deps . \
 && /opt/conveyor/bin/python -m compileall -q /opt/conveyor/lib

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin conveyor
COPY --from=build /opt/conveyor /opt/conveyor
ENV PATH=/opt/conveyor/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Touched while the process is connected and at work; the health checks of workers and relays look at its age.
ENV CONVEYOR_READY_FILE=/tmp/ready
USER conveyor
WORKDIR /opt/conveyor
ENTRYPOINT ["conveyor"]
CMD ["--help"]

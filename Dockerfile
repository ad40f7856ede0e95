# One image for the replicas and one for the embedded proxies' server, from the same stages:
#   docker build -t rashomon-replica .
#   docker build -t rashomon-toxiproxy --target proxy .
# Nothing here needs BuildKit. Where no registry can be reached, scripts/build-images gives a base image and a folder
# wheelhouse/ of packages; elsewhere that folder isn't there, and pip asks its index.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS python
# The name of the interpreter, the place of packages and what may be installed there differ between base images; those of
# a virtual environment don't.
RUN python3 -m venv /opt/venv && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin rashomon
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app


# Speaks Toxiproxy's API on Toxiproxy's port, for machines that can't have the real image.
FROM python AS proxy
COPY faults/ faults/
COPY scripts/toxiproxy-cli /toxiproxy-cli
RUN python -m compileall -q .
USER rashomon
EXPOSE 8474
ENTRYPOINT ["python", "-m", "faults.proxy"]
CMD ["--host", "0.0.0.0", "--port", "8474"]


FROM python AS replica
COPY node/requirements.txt wheelhouse* /tmp/packages/
RUN if ls /tmp/packages/*.whl >/dev/null 2>&1; then \
        pip install --no-cache-dir --no-index --find-links /tmp/packages -r /tmp/packages/requirements.txt; \
    else \
        pip install --no-cache-dir -r /tmp/packages/requirements.txt; \
    fi && rm -rf /tmp/packages
COPY node/ node/
# The root file system is read-only in the cluster, so what Python would compile at every start is compiled here.
RUN python -m compileall -q . && mkdir /data && chown rashomon:rashomon /data
USER rashomon
VOLUME /data
EXPOSE 8000 8001
ENTRYPOINT ["python", "-m", "node", "--host", "0.0.0.0", "--port", "8000", "--control-port", "8001", "--data", "/data"]

# One image with both doors: HTTP by default, MLServer with `mlserver start FOLDER`.
FROM python:3.12-slim-bookworm AS build
WORKDIR /app
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.txt requirements-mlserver.txt ./
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --requirement requirements-mlserver.txt
COPY . .
RUN python -m pip --python /opt/venv/bin/python install --no-deps .

FROM python:3.12-slim-bookworm
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY manage.py .
COPY memory_api/default_models /models
# 1000 is also the user as whom Seldon Core 2 runs its servers.
RUN install --directory --owner 1000 --group 1000 data
USER 1000:1000
VOLUME /app/data
# Left to itself MLServer writes into the working directory, and works in a second process.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    DATA_DIR=/app/data \
    MODELS_DIR=/models \
    MLSERVER_PARALLEL_WORKERS=0 \
    MLSERVER_DEBUG=false \
    MLSERVER_GRPC_MAX_MESSAGE_LENGTH=67108864 \
    MLSERVER_METRICS_DIR=/tmp/mlserver-metrics \
    MLSERVER_ENVIRONMENTS_DIR=/tmp/mlserver-environments
# HTTP and metrics; MLServer's gRPC and metrics.
EXPOSE 8080 8081 8082
HEALTHCHECK --start-period=60s --interval=10s --timeout=5s CMD ["python", "-c", "\
import os; from http.client import HTTPConnection as Connection; \
port = os.environ.get('MLSERVER_HTTP_PORT') or os.environ.get('PORT') or '8080'; \
door = Connection('127.0.0.1', int(port), timeout=4); door.request('GET', '/v2/health/live'); \
raise SystemExit(door.getresponse().status != 200)"]
# Seldon Core 2 sets MLSERVER_MODELS_DIR and no command: there the image alone decides.
CMD ["sh", "-c", "if [ \"$MLSERVER_MODELS_DIR\" ]; then exec mlserver start \"$MLSERVER_MODELS_DIR\"; fi; exec convstore serve"]

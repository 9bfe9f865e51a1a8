"""Files that deploy a worker well, and an app that nothing is wrong with."""

from __future__ import annotations

from celery_graceful.doctor.facts import AppFacts, Kind, TaskFacts

APP = AppFacts(
    name="shop",
    broker="redis",
    tasks=(
        TaskFacts("shop.import", Kind.ITERABLE, "celery", True, True),
        TaskFacts("shop.mail", Kind.PLAIN, "celery", True, True, time_limit=20),
    ),
    soft_shutdown_timeout=0,
    store_url="redis://localhost:6379/0",
    default_queue="celery",
)

KUBERNETES = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop-worker
spec:
  replicas: 2
  template:
    spec:
      terminationGracePeriodSeconds: 60
      initContainers:
        - name: migrate
          image: shop
          command: ["python", "manage.py", "migrate"]
        - name: sql
          image: gcr.io/cloud-sql-connectors/cloud-sql-proxy:2
          restartPolicy: Always
      containers:
        - name: worker
          image: shop
          command: ["celery", "-A", "shop", "worker", "-n", "worker@%h"]
          env:
            - name: LEVEL
              value: INFO
            - name: GRACEFUL_GRACE_PERIOD
              value: 55s
          lifecycle:
            preStop:
              exec:
                command: ["sh", "-c", "sleep 5"]
"""

UNIT = """\
[Unit]
Description=Workers of the shop

[Service]
Type=exec
User=shop
Environment=LEVEL=INFO
ExecStart=/srv/shop/bin/celery -A shop worker \\
    --loglevel=INFO
KillMode=mixed
TimeoutStopSec=1min
Restart=always

[Install]
WantedBy=multi-user.target
"""

SUPERVISORD = """\
[supervisord]
nodaemon=true

[program:worker]
command=/srv/shop/bin/celery -A shop worker -n worker%(process_num)d@%%h
process_name=%(program_name)s-%(process_num)d
numprocs=2
environment=LEVEL="INFO"
stopwaitsecs=60 ; a minute
stopasgroup=false
killasgroup=true
"""

COMPOSE = """\
x-common: &common
  restart: unless-stopped
  environment:
    - LEVEL=${LEVEL:-INFO}
    - GRACEFUL_GRACE_PERIOD=${GRACE:-1m}
services:
  redis:
    image: valkey/valkey
  worker:
    <<: *common
    image: shop
    init: true
    command: celery -A shop worker
    stop_grace_period: ${GRACE:-1m}
"""

DOCKERFILE = """\
FROM python:3.12 AS build
RUN pip install celery

FROM build
ENV LEVEL=INFO
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--"]
CMD ["celery", "-A", "shop", "worker"]
"""

PROCFILE = """\
# processes of the shop
web: gunicorn shop.wsgi
worker: REMAP_SIGTERM=SIGQUIT celery -A shop worker
"""

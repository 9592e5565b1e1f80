# The dashboard is built by Node.js, of which nothing gets into the image but the files.
FROM node:24-bookworm-slim AS dashboard
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN npm ci
COPY dashboard .
RUN npm run build -- --outDir /built --emptyOutDir

# The hot path is compiled (setup.py). That needs mypy and the types of everything that it imports, so the build has an
# environment of its own. Both environments have the versions that constraints.txt pins.
FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt setup.py README.md LICENSE ./
COPY app app
COPY --from=dashboard /built app/admin/dashboard/built
COPY consumers consumers
COPY sync sync
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --constraint constraints.txt ".[compile]" \
    && PENSTOCK_COMPILE=1 /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels .
RUN python -m venv /opt/penstock && /opt/penstock/bin/pip install --no-cache-dir --constraint constraints.txt /wheels/*.whl

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home penstock
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH PYTHONUNBUFFERED=1
USER penstock
ENTRYPOINT ["penstock"]

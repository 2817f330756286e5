# The service with the generator that ships. Two stages: what installs, and what runs.
#
#   docker build -t ganserve .                                       # CPUs
#   docker build -t ganserve:cuda --build-arg TORCH=cuda .           # NVIDIA GPUs
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp --cap-drop ALL \
#       --security-opt no-new-privileges ganserve
#
# TORCH=no    without PyTorch: the CPU in float32 is served by ONNX Runtime and never imports it
# TORCH=cpu   with it, for GAN_PRECISION=bf16 on CPUs that have it
# TORCH=cuda  with it, for GPUs
# TORCH_INDEX names the package index that torch comes from: of cpu, by default, PyTorch's own;
#             set but empty, it comes from where everything else comes from, as it does for cuda.
# BASE        the image below; a release names it by its digest (.github/workflows/release.yml)

ARG BASE=python:3.11.14-slim-bookworm

FROM $BASE AS build
ARG TORCH=no
ARG TORCH_INDEX
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# the dependencies are a layer of their own: it changes only with these two files
COPY constraints.txt locks/serve.txt ./
RUN case "$TORCH" in \
        no) index= ;; \
        cpu) index="${TORCH_INDEX-https://download.pytorch.org/whl/cpu}" ;; \
        cuda) index="$TORCH_INDEX" ;; \
        *) echo "TORCH=$TORCH; allowed: no, cpu, cuda" >&2; exit 2 ;; \
    esac && \
    pip install --require-hashes -r serve.txt && \
    torch=$(grep '^torch==' constraints.txt) && \
    if [ -n "$index" ]; then pip install --no-deps --index-url "$index" "$torch"; fi && \
    if [ "$TORCH" != no ]; then pip install -c constraints.txt "$torch"; fi && \
    # what only building against torch, or testing it, needs: 190 MiB
    cd /opt/venv/lib/python3.11/site-packages && \
    rm -rf torch/test torch/include torch/share torch/bin/[!t]* torch/bin/test_* torch/lib/*.a

COPY pyproject.toml hatch_build.py LICENSE NOTICE README.md ./
COPY ganserve ganserve
COPY app app
COPY model model
RUN PIP_CONSTRAINT=/build/constraints.txt pip install --no-deps . && \
    if [ "$TORCH" = no ]; then pip uninstall --yes --quiet setuptools; fi && \
    pip uninstall --yes --quiet pip

FROM $BASE
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title=ganserve \
    org.opencontainers.image.description="An image generator behind a URL" \
    org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=$VERSION
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ganserve
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000 GAN_LOG_FORMAT=json \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /srv
# `python -m app`, as images before this one were told to run
RUN mkdir app && echo 'import runpy; runpy.run_module("ganserve.app", run_name="__main__", alter_sys=True)' > app/__main__.py
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["ganserve", "health"]
CMD ["ganserve", "serve"]
